"""The virtual world around the demo's agent: a river, two gauges, tags, a road and a city."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgeagent.demo.verdict import Held
from edgeagent.errors import EdgeAgentError, SourceUnavailable
from edgeagent.simulate.ascii_gauge import AsciiGauge
from edgeagent.simulate.city import City
from edgeagent.simulate.modbus_slave import ModbusSlave
from edgeagent.simulate.private_bus import ADDRESS_VARIABLE, bluetoothd, private_bus
from edgeagent.simulate.river import Flood, River
from edgeagent.simulate.tags import crowd

__all__ = ["Clip", "World", "look_at", "open_world", "render"]

LEVEL_REGISTER = 0x20  # of the profile geolux-lx80-modbus, millimetres
MOUNT_M = 4.0  # of the ultrasonic gauge above gauge zero
PEOPLE = 3
TAG_SEED = 1


@dataclass(frozen=True)
class Clip:
    """What the camera looks at: size in pixels, length, counting lines, and the truth if it is known.

    `truth` and `edge` are vehicles over all lines and directions, as a truth file counts them.
    """

    path: Path
    width: int
    height: int
    seconds: float
    lines: tuple[tuple[str, tuple[int, int], tuple[int, int]], ...]
    truth: int | None
    edge: int


@dataclass
class World:
    """What the agent is connected to, and what was true in it."""

    city: City
    slave: ModbusSlave
    ascii_gauge: AsciiGauge
    clip: Clip
    tags: list[str] = field(default_factory=list)
    no_tags: EdgeAgentError | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def held(self) -> list[Held]:
        """Every level a gauge answered, by the id of the source that reads it."""
        to_wall_ms = time.time() * 1000 - time.monotonic() * 1000
        names = {1: "miyagawa", 2: "susobana"}
        answers = [
            Held(names[h.unit], round(h.at * 1000 + to_wall_ms), h.values[LEVEL_REGISTER - h.address] / 1000)
            for h in list(self.slave.held)
            if h.address <= LEVEL_REGISTER < h.address + len(h.values)
        ]
        answers += [
            Held("akutagawa", round(at * 1000 + to_wall_ms), MOUNT_M - mm / 1000)
            for at, mm in list(self.ascii_gauge.said)
        ]
        return answers

    def config(self, state_dir: Path, lang: str) -> str:
        """The demo's config file: the same keys an installer writes."""
        return "\n".join(
            [
                f'[gateway]\nid = "GW-DEMO"\nname = "デモ"\nlang = "{lang}"\nlocation = [138.1812, 36.6486]',
                f'state_dir = "{state_dir}"',
                _gauge("miyagawa", "宮川橋", self.slave.path, 1, 331.20),
                _gauge("susobana", "裾花川", self.slave.path, 2, 362.75),
                '[[sources]]\nid = "akutagawa"\nname = "芥川"\ndriver = "serial-gauge"\nprofile = "maxbotix-hrxl-wr"',
                f'port = "{self.ascii_gauge.path}"\nevery_s = 2\ncalibrate = {{ mount_height_m = {MOUNT_M} }}',
                *self._tag_section(),
                '[[sources]]\nid = "route140"\nname = "国道140号"\ndriver = "traffic-camera"',
                f'camera = "{self.clip.path}"',
                f"window_s = 5\nlines = [ {', '.join(_line(*one) for one in self.clip.lines)} ]",
                '[[sources]]\nid = "box"\nname = "ゲートウェイ"\ndriver = "host"\nevery_s = 15',
                f'[[uplinks]]\nid = "city"\ndriver = "ngsi-ld"\nurl = "{self.city.url}"',
                'tenant = "nagano"\nhistory = "temporal"\ntimeout_s = 5',
            ]
        )

    def _tag_section(self) -> list[str]:
        if not self.tags:
            return []
        listed = ", ".join(f'{{ id = "{tag}" }}' for tag in self.tags)
        return [f'[[sources]]\nid = "tags"\nname = "見守りタグ"\ndriver = "ble-tags"\ntags = [ {listed} ]']


@contextlib.asynccontextmanager
async def open_world(folder: Path, clip: Clip, seconds: float) -> AsyncIterator[World]:
    """Start everything virtual; all of it ends with the context."""
    began = time.monotonic()
    # Two rivers of one valley: the first rises over its evacuation level while the uplink is cut.
    steep = River(1, base_m=0.8, floods=[Flood(seconds * 0.2, seconds * 0.4, seconds, 1.6)])
    calm = River(2, base_m=0.45, floods=[])

    def level(river: River) -> int:
        return round(river.level_m(time.monotonic() - began) * 1000)

    def registers(river: River) -> object:
        return lambda address, count: [level(river)] if (address, count) == (LEVEL_REGISTER, 1) else None

    async with contextlib.AsyncExitStack() as stack:
        city = City()
        city.start()
        stack.callback(city.stop)
        slave = stack.enter_context(
            ModbusSlave({1: registers(steep), 2: registers(calm)}, path=folder / "ttyRS485")  # type: ignore[dict-item]  # both are Registers
        )
        gauge = stack.enter_context(
            AsciiGauge(lambda t: MOUNT_M - calm.level_m(t + 100.0), path=folder / "ttyULTRASONIC")
        )
        world = World(city, slave, gauge, clip, environment=dict(os.environ))
        await _add_tags(stack, world, seconds)
        yield world


async def _add_tags(stack: contextlib.AsyncExitStack, world: World, seconds: float) -> None:
    """A BlueZ of our own where dbus-daemon is installed; without it the demo goes on without tags."""
    try:
        address = await stack.enter_async_context(private_bus())
        await stack.enter_async_context(
            bluetoothd(address, "--people", str(PEOPLE), "--seconds", str(seconds), "--seed", str(TAG_SEED))
        )
    except SourceUnavailable as error:
        world.no_tags = error
        return
    world.tags = crowd(PEOPLE, seconds=seconds, seed=TAG_SEED).allow_list
    world.environment[ADDRESS_VARIABLE] = address


async def render(path: Path, seconds: float) -> Clip:
    """Render a road scene in a process of its own (OpenCV stays out of this one)."""
    code = "import sys; from pathlib import Path; from edgeagent.simulate.road import render_clip; "
    code += "render_clip(Path(sys.argv[1]), float(sys.argv[2]))"
    await _python(code, str(path), str(seconds))
    return await look_at(path)


async def look_at(path: Path) -> Clip:
    """Size, length, lines and truth of a clip; the truth from the `.json` beside it, if there is one.

    Raises:
        EdgeAgentError: it is not a video that OpenCV can open.
    """
    code = "import sys, cv2; c = cv2.VideoCapture(sys.argv[1]); g = c.get; "
    code += "print(int(g(3)), int(g(4)), g(7) / max(g(5), 0.001)) if c.isOpened() and c.read()[0] else sys.exit(1)"
    width, height, seconds = (await _python(code, str(path))).split()[-3:]
    beside = path.with_suffix(".json")
    if beside.is_file():
        told = msgspec.json.decode(beside.read_bytes())
        lines = tuple((str(one["id"]), _point(one["p1"]), _point(one["p2"])) for one in told["lines"])
        truth = sum(n for one in told["lines"] for counts in one["counts"].values() for n in counts.values())
        edge = sum(int(one.get("edge_events", 0)) for one in told["lines"])
        return Clip(path, int(width), int(height), float(seconds), lines, truth, edge)
    middle = int(height) * 6 // 10
    line = ("across", (0, middle), (int(width) - 1, middle))
    return Clip(path, int(width), int(height), float(seconds), (line,), None, 0)


async def _python(code: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise EdgeAgentError("demo.video", file=arguments[0])
    return out.decode()


def _gauge(source: str, name: str, port: str, unit: int, zero_point_m: float) -> str:
    return (
        f'[[sources]]\nid = "{source}"\nname = "{name}"\ndriver = "modbus-gauge"\nport = "{port}"\n'
        f'profile = "geolux-lx80-modbus"\nunit = {unit}\nevery_s = 1\n'
        f'calibrate = {{ zero_point_m = {zero_point_m}, datum = "T.P." }}\n'
        "alarm = { levels_m = { standby = 1.0, caution = 1.5, evacuate = 2.1, danger = 2.6 } }"
    )


def _line(name: str, start: tuple[int, int], end: tuple[int, int]) -> str:
    upright = abs(end[0] - start[0]) < abs(end[1] - start[1])
    return f'{{ id = "{name}", from = {list(start)}, to = {list(end)}, forward = "{"right" if upright else "down"}" }}'


def _point(pair: Sequence[float]) -> tuple[int, int]:
    return round(pair[0]), round(pair[1])
