"""Reads each configured device three times: through the running agent, or, when none runs, directly.

A port has one owner.  While the agent runs nothing is opened: its own last readings are asked for over the
control socket.  Otherwise each source runs as it would in the agent, only faster, until it has given
three readings; it never writes to a device.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgeagent import profiles, sources
from edgeagent.clock import Clock
from edgeagent.config import Config
from edgeagent.errors import EdgeAgentError
from edgeagent.install import serial_ports
from edgeagent.install.doctor_data import WANTED, Device
from edgeagent.install.doctor_item import Cause
from edgeagent.ports import Site, Source, Surroundings
from edgeagent.reading import Quantity, Reading

__all__ = ["Agent", "from_agent", "read_directly"]

_LIMIT_S = 25.0
_CAMERA_LIMIT_S = 60.0
_CAMERA_WINDOW_S = 5.0
_QUICK_S = 1.0
_AGAIN_S = 1.0
_COMPLAINTS = 5
_PASSING = re.compile(r"/dev/(ttyUSB|ttyACM|video)\d+")


class Problem(msgspec.Struct, frozen=True):
    """An error, as the agent tells it."""

    code: str
    facts: dict[str, str] = {}


class AgentSource(msgspec.Struct, frozen=True, kw_only=True):
    """One source, of the agent's `status`."""

    id: str
    driver: str
    name: str = ""
    readings: int = 0
    age_s: float | None = None
    last: dict[str, Quantity] = {}
    problems: dict[str, int] = {}
    last_problem: Problem | None = None
    well: bool = True


class AgentUplink(msgspec.Struct, frozen=True, kw_only=True):
    """One uplink, of the agent's `status`."""

    id: str
    well: bool = True
    acknowledged: int = 0
    last_problem: Problem | None = None


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """What `doctor` needs of the agent's answer to `status`."""

    sources: list[AgentSource]
    uplinks: list[AgentUplink]
    outbox_problem: Problem | None = None
    up_s: float = 0.0


async def from_agent(
    ask: Callable[[], Agent], config: Config | None, *, patience_s: float = 10.0, step_s: float = 1.0
) -> list[Device]:
    """What the agent read last, up to three different readings of each source within `patience_s`."""
    reads: dict[str, dict[int, Mapping[str, Quantity]]] = {}
    now = ask()
    left = patience_s
    while True:
        for one in now.sources:
            if _usable(one.last):
                reads.setdefault(one.id, {})[one.readings] = one.last
        if left <= 0 or all(len(reads.get(one.id, ())) >= WANTED for one in now.sources):
            break
        await asyncio.sleep(step_s)
        left -= step_s
        now = ask()
    places = {s.config.id: _place(s.config) for s in config.sources} if config else {}
    return [_told(one, tuple(reads.get(one.id, {}).values())[-WANTED:], places.get(one.id, "")) for one in now.sources]


async def read_directly(config: Config, clock: Clock, *, limit_s: float = _LIMIT_S) -> list[Device]:
    """Open every enabled device, all buses at once, and read each three times.

    Sources keep small files of their own (a key they made, presses they told).  Here they get a folder
    that only looks like the state directory: what they write is gone afterwards, so that nothing in the real
    one belongs to whoever ran this, usually root.
    """
    groups: dict[tuple[str, Hashable], list[Any]] = {}
    for section in config.sources:
        one = section.config
        if one.enabled:
            groups.setdefault((one.driver, sources.driver(one.driver).group(one)), []).append(one)
    site = Site(gateway=config.gateway.id, location=config.gateway.location)
    ports = serial_ports.ports()
    known = {name: p for p in ports for name in (p.name, p.device, p.by_id, p.by_path) if name}
    with tempfile.TemporaryDirectory(prefix="edgeagent-doctor-") as scratch:
        _look_like(Path(config.gateway.state_dir), Path(scratch))
        around = Surroundings(clock=clock, site=site, state_dir=Path(scratch))
        read = (_read_group(driver, configs, around, known, limit_s) for (driver, _), configs in groups.items())
        return [device for devices in await asyncio.gather(*read) for device in devices]


def _look_like(state_dir: Path, scratch: Path) -> None:
    """Links to the files of a state directory, without the store and the sockets."""
    with contextlib.suppress(OSError):
        for file in state_dir.iterdir():
            if file.is_file() and not file.name.startswith("outbox"):
                (scratch / file.name).symlink_to(file)


class _Reader:
    """An Emit that keeps what it is given until everybody has said enough."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.reads: dict[str, list[Reading]] = {one: [] for one in ids}
        self.problems: dict[str, EdgeAgentError] = {}
        self._complaints: dict[str, int] = dict.fromkeys(ids, 0)
        self.enough = asyncio.Event()

    async def __call__(self, *readings: Reading) -> None:
        for one in readings:
            if one.source in self.reads and _usable(one.quantities):
                self.reads[one.source].append(one)
        self._look()

    async def kept(self) -> None:
        """Nothing is stored."""

    def problem(self, source: str, error: EdgeAgentError) -> None:
        self.problems[source] = error
        self._complaints[source] = self._complaints.get(source, 0) + 1
        self._look()

    def _look(self) -> None:
        """Who has complained so often and never given anything will not in the next seconds either."""
        if all(
            len(reads) >= WANTED or (not reads and self._complaints[one] >= _COMPLAINTS)
            for one, reads in self.reads.items()
        ):
            self.enough.set()


async def _read_group(
    driver: str, configs: Sequence[Any], around: Surroundings, known: Mapping[str, serial_ports.Port], limit_s: float
) -> list[Device]:
    ids = [one.id for one in configs]
    reader = _Reader(ids)
    limit_s = max(limit_s, _CAMERA_LIMIT_S) if driver == "traffic-camera" else limit_s
    general: EdgeAgentError | None = None
    task: asyncio.Task[None] | None = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while not reader.enough.is_set():
                try:
                    made: Source = sources.driver(driver).make(tuple(_quick(one) for one in configs), around)
                    task = asyncio.create_task(made.run(reader))
                    waiter = asyncio.create_task(reader.enough.wait())
                    await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
                    waiter.cancel()
                    if task.done():
                        await task
                except EdgeAgentError as error:
                    general = error
                    for one in ids:
                        reader.problem(one, error)
                    await asyncio.sleep(_AGAIN_S)
    if task is not None and not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, EdgeAgentError):
            await task
    return [_seen(one, reader, general, known) for one in configs]


def _seen(
    config: Any,  # noqa: ANN401  any driver's section
    reader: _Reader,
    general: EdgeAgentError | None,
    known: Mapping[str, serial_ports.Port],
) -> Device:
    place, port = _place(config), known.get(_place(config))
    error = reader.problems.get(config.id) or general
    return Device(
        id=config.id,
        name=config.name,
        driver=config.driver,
        place=place,
        lasting=not _PASSING.fullmatch(place),
        holder=", ".join(f"{h.program} (pid {h.pid})" for h in port.holders) if port else "",
        console=bool(port and "install.console-on-port" in port.notes),
        reads=tuple(r.quantities for r in reader.reads[config.id][:WANTED]),
        problem=_cause(error),
    )


def _told(one: AgentSource, reads: tuple[Mapping[str, Quantity], ...], place: str) -> Device:
    return Device(
        id=one.id,
        name=one.name,
        driver=one.driver,
        place=place,
        lasting=not _PASSING.fullmatch(place),
        by_agent=True,
        reads=reads,
        wanted=1,
        problem=(one.last_problem.code, one.last_problem.facts) if one.last_problem else None,
        well=one.well and bool(reads),
        age_s=one.age_s,
        readings=one.readings,
        errors=one.problems,
    )


def _quick(config: Any) -> Any:  # noqa: ANN401  any driver's section
    """The same section, measuring as fast as the device may be asked."""
    changes: dict[str, object] = {}
    if hasattr(config, "every_s"):
        least = _QUICK_S
        if hasattr(config, "profile"):
            profile, _ = profiles.load(config.profile)
            least = max(least, profile.link.min_poll_s) if profile else least
        changes["every_s"] = min(config.every_s, least)
    if getattr(config, "samples", 1) > 1:
        changes["samples"] = 1
    if hasattr(config, "window_s"):
        changes["window_s"] = min(config.window_s, _CAMERA_WINDOW_S)
    return msgspec.structs.replace(config, **changes)


def _place(config: Any) -> str:  # noqa: ANN401  any driver's section
    host = getattr(config, "host", None)
    if host:
        return f"{host}:{getattr(config, 'tcp_port', '')}"
    for key in ("port", "camera", "adapter", "chip"):
        value = getattr(config, key, None)
        if value:
            return re.sub(r"//[^/@]*@", "//", str(value))  # a camera's password is nobody's business
    return ""


def _usable(quantities: Mapping[str, Quantity]) -> bool:
    listening = quantities.get("listening")
    if listening is not None and listening.value is False:
        return False
    return any(one.usable for one in quantities.values())


def _cause(error: EdgeAgentError | None) -> Cause | None:
    return None if error is None else (error.code, {name: str(value) for name, value in error.facts.items()})
