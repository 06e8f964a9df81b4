"""What is plugged in: gauges on every free serial port, cameras, a radio that hears tags.  Read-only.

Ports are looked at side by side, each as a person would: first listen whether somebody talks by himself, then ask.
A port that somebody holds is not touched, and said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec

from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError, SourceUnavailable
from edgeagent.install import camera_scan, discover_lines, modbus_scan, serial_ports
from edgeagent.sources.camera_messages import without_password

__all__ = ["Blank", "Discover", "Eye", "Found", "Gauge", "Radio", "everything", "eye"]

_LOOK_S = 0.25

Progress = Callable[[str, float, float], None]


class Discover(msgspec.Struct, frozen=True, kw_only=True):
    """`[discover]` of the answers: where to look, and how long.

    Attributes:
        ports: serial ports; empty for all there are.
        bauds, frames, units: what is tried on them; empty for all that is usual.
        cameras: streams to try besides the cameras that are plugged in.
        tags_s: seconds to listen for tags; 0 leaves the radio alone.
        watch_s: seconds to watch the traffic before a counting line is proposed; 0 proposes one unseen.
    """

    ports: tuple[str, ...] = ()
    bauds: tuple[Annotated[int, msgspec.Meta(ge=300, le=4_000_000)], ...] = ()
    frames: tuple[Annotated[str, msgspec.Meta(pattern="^[78][NEO][12]$")], ...] = ()
    units: tuple[Annotated[int, msgspec.Meta(ge=1, le=247)], ...] = ()
    cameras: tuple[str, ...] = ()
    tags_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 10.0
    watch_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 30.0


class Gauge(msgspec.Struct, frozen=True, kw_only=True):
    """A gauge that answered or was heard.

    Attributes:
        driver: that reads it.
        port, baud, frame: where, and how the line is set.
        unit: Modbus unit; 0 for one that talks by itself.
        profiles: that fit, the best first; empty where none does.
        values: quantity -> number in SI, as the best profile reads it.
    """

    driver: str
    port: str
    baud: int
    frame: str
    unit: int = 0
    profiles: tuple[str, ...] = ()
    values: dict[str, float] = {}


class Eye(msgspec.Struct, frozen=True, kw_only=True):
    """A camera that shows something: what to write into the config, what it calls itself, its picture."""

    camera: str
    card: str = ""
    width: int
    height: int
    fps: float


class Radio(msgspec.Struct, frozen=True, kw_only=True):
    """A radio that listens: tags heard, and the strongest, dBm."""

    tags: int
    strongest: float | None = None


class Blank(msgspec.Struct, frozen=True, kw_only=True):
    """A place where no device was found, and why: code and facts of a message."""

    place: str
    code: str
    facts: dict[str, str] = {}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    gauges: tuple[Gauge, ...] = ()
    eyes: tuple[Eye, ...] = ()
    radio: Radio | None = None
    blanks: tuple[Blank, ...] = ()


async def everything(wish: Discover, *, clock: Clock, progress: Progress) -> Found:
    """Look at all there is.

    Args:
        wish: where, and how long.
        clock: for deadlines.
        progress: told what is tried, and how far it has come.
    """
    ports = _ports(wish)
    names = [*(one.name for one in camera_scan.cameras()), *wish.cameras]
    looked = await asyncio.gather(
        *(_port(one, wish, clock, progress) for one in ports),
        *(eye(one, progress) for one in names),
        *((_radio(wish.tags_s, clock, progress),) if wish.tags_s else ()),
    )
    flat = [one for some in looked for one in (some if isinstance(some, list) else [some])]
    return Found(
        gauges=tuple(one for one in flat if isinstance(one, Gauge)),
        eyes=tuple(one for one in flat if isinstance(one, Eye)),
        radio=next((one for one in flat if isinstance(one, Radio)), None),
        blanks=tuple(one for one in flat if isinstance(one, Blank)),
    )


async def eye(camera: str, progress: Progress) -> Eye | Blank:
    """One camera."""
    try:
        shown = await camera_scan.look(camera, progress=progress)
    except SourceUnavailable as error:
        return _blank(without_password(camera), error)
    return Eye(camera=camera, width=shown.width, height=shown.height, fps=shown.fps)


def _ports(wish: Discover) -> list[serial_ports.Port]:
    if wish.ports:
        return [serial_ports.Port(name=one, device=one) for one in wish.ports]
    return serial_ports.ports()


async def _port(port: serial_ports.Port, wish: Discover, clock: Clock, progress: Progress) -> Sequence[Gauge | Blank]:
    if port.holders:
        held = ", ".join(f"{one.program} (pid {one.pid})" for one in port.holders)
        return [Blank(place=port.name, code="setup.port-held", facts={"port": port.name, "who": held})]
    if "install.console-on-port" in port.notes:
        return [Blank(place=port.name, code="install.console-on-port", facts={"device": port.device})]

    def told(what: str, done: float, of: float) -> None:
        progress(f"{port.name.rpartition('/')[2]} {what}", done, of)

    try:
        heard = await discover_lines.listen(
            port.name, clock=clock, progress=told, bauds=wish.bauds or discover_lines.BAUDS
        )
        if isinstance(heard, discover_lines.Stranger):
            facts = {"port": port.name, "sample": heard.sample}
            return [Blank(place=port.name, code="setup.stranger", facts=facts)]
        if heard is not None:
            return [
                Gauge(
                    driver="serial-gauge",
                    port=port.name,
                    baud=heard.baud,
                    frame=heard.frame,
                    profiles=(heard.profile,),
                    values=heard.values,
                )
            ]
        found = await _modbus(port.name, wish, clock, told)
    except SourceUnavailable as error:
        return [_blank(port.name, error)]
    return found or [Blank(place=port.name, code="setup.port-silent", facts={"port": port.name})]


async def _modbus(port: str, wish: Discover, clock: Clock, progress: Progress) -> list[Gauge | Blank]:
    devices = modbus_scan.scan(
        port,
        clock=clock,
        progress=progress,
        bauds=wish.bauds or modbus_scan.BAUDS,
        frames=wish.frames or modbus_scan.FRAMES,
        units=wish.units or modbus_scan.likely_units(),
    )
    return [
        Gauge(
            driver="modbus-gauge",
            port=port,
            baud=one.baud,
            frame=one.frame,
            unit=one.unit,
            profiles=tuple(dict.fromkeys(guess.profile for guess in one.guesses)),
            values=one.guesses[0].values if one.guesses else {},
        )
        async for one in devices
        if isinstance(one, modbus_scan.Found)
    ]


async def _radio(seconds: float, clock: Clock, progress: Progress) -> Radio | Blank:
    from edgeagent.install.tag_scan import listening  # noqa: PLC0415  bleak

    async with listening(None, None, clock=clock) as listener:
        began_s = clock.mono()
        while (took_s := clock.mono() - began_s) < seconds:
            listener.check()
            if listener.trouble is not None and not listener.survey.anybody:
                trouble = listener.trouble
                trouble.facts["source"] = "Bluetooth"  # no section of a config yet
                return _blank("Bluetooth", trouble)
            progress("Bluetooth", took_s, seconds)
            await asyncio.sleep(_LOOK_S)
        rows = listener.survey.rows(clock.mono())
    return Radio(tags=len(rows), strongest=max((row.rssi for row in rows), default=None))


def _blank(place: str, error: EdgeAgentError) -> Blank:
    return Blank(place=place, code=error.code, facts={name: str(fact) for name, fact in error.facts.items()})
