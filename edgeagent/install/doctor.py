"""`edgeagent doctor`: is this site ready, and if not, what is to be done?

Every check has a code for ever; a group that breaks stops no other.  Looking is in `doctor_probe_*`,
judging in `doctor_box`, `doctor_city` and `doctor_data`, so a failing world for every code is a value.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from edgeagent import shipped
from edgeagent.clock import Clock
from edgeagent.config import Config
from edgeagent.errors import ConfigError, EdgeAgentError
from edgeagent.install import doctor_box, doctor_city, doctor_data, doctor_probe_box, doctor_probe_city
from edgeagent.install.doctor_item import Cause, Item, failed, good, left_out, warned
from edgeagent.install.doctor_probe_devices import Agent, from_agent, read_directly
from edgeagent.ports import OutboxPlan, OutboxStats
from edgeagent.update import durable, report
from edgeagent.update.slots import Slots

__all__ = ["NOTE", "World", "examine", "note"]

NOTE = "doctor.json"  # in the state directory: what was well before the power is cut
_DEFAULT_MAX_BYTES = 512 << 20
_CYCLE_PATIENCE_S, _CYCLE_STEP_S = 180.0, 3.0


@dataclass
class World:
    """What there is to look at.

    Attributes:
        file: the config file.
        config: what it says; None when it cannot be read, then `problems` says why.
        state_dir: None when even that is not known.
        clock: for the time and for deadlines.
        agent: asks the running agent; raises `daemon.not-running` or `daemon.not-allowed`.
        store: asks whoever has the store (`outbox`, `plan`); raises EdgeAgentError.
        root: where /proc, /sys, /etc are.
        ntp: server and port; None for those this machine is set to ask.
        after_power_cycle: compare with what was noted before.
        devices: as they were read while it was examined.
    """

    file: Path
    config: Config | None
    problems: Sequence[ConfigError]
    state_dir: Path | None
    clock: Clock
    agent: Callable[[], Agent]
    store: Callable[[str], bytes]
    root: Path = Path("/")
    ntp: tuple[str, int] | None = None
    after_power_cycle: bool = False
    cycle_patience_s: float = _CYCLE_PATIENCE_S
    devices: Sequence[doctor_data.Device] = field(default=(), init=False)
    heard: Agent | None = field(default=None, init=False)
    silence: str = field(default="", init=False)
    time: doctor_city.Ntp | None = field(default=None, init=False)


async def examine(world: World) -> AsyncIterator[Item]:
    """Every check, as its result comes."""
    groups: tuple[tuple[str, Callable[[World], Awaitable[Iterable[Item]]]], ...] = (
        ("CONFIG", _config),
        *((("CYCLE", _cycle),) if world.after_power_cycle else ()),
        ("POWER", _power),
        ("CLOCK", _clock),
        ("STORE", _storage),
        ("IDENT", _identity),
        ("NET", _network),
        ("DEVICE", _devices),
        ("BUFFER", _buffer),
        ("OTA", _updates),
        ("SERVICE", _service),
    )
    _hear(world)
    for name, look in groups:
        try:
            items = list(await look(world))
        except Exception as error:  # noqa: BLE001  a check that breaks is a result, and stops no other
            items = [failed(f"E-{name}-00", said="broken", kind=type(error).__name__, why=str(error)[:200])]
        for item in items:
            yield item


def note(world: World) -> None:
    """Remember what is well now, for `--after-power-cycle`; nothing where that cannot be written.

    Only while the agent runs: without it there is nothing that could come back by itself.
    """
    if world.state_dir is None or world.heard is None:
        return
    now, store = world.clock.now(), _stats(world)
    before = doctor_data.Before(
        boot_id=now.boot_id,
        wall_ms=now.wall_ms,
        sources=tuple(s.id for s in world.heard.sources if s.well),
        accepted=store.accepted if store else 0,
        lost=store.lost if store else 0,
    )
    with contextlib.suppress(OSError):
        durable.write(world.state_dir / NOTE, msgspec.json.encode(before))


async def _config(world: World) -> Iterable[Item]:
    if world.config is None:
        first = world.problems[0] if world.problems else ConfigError("config.no-file", file=str(world.file))
        cause = _cause(first)
        return [failed("E-CONFIG-01", cause=cause, file=world.file, n=len(world.problems), why="")]
    sources = sum(s.config.enabled for s in world.config.sources)
    uplinks = sum(u.enabled for u in world.config.uplinks)
    facts: dict[str, Any] = {"file": world.file, "sources": sources, "uplinks": uplinks}
    return [good("E-CONFIG-01", **facts), (good if sources and uplinks else warned)("E-CONFIG-02", **facts)]


async def _power(world: World) -> Iterable[Item]:
    return doctor_box.power(doctor_probe_box.power(world.root))


async def _clock(world: World) -> Iterable[Item]:
    asked = await _ntp(world)
    seen = doctor_probe_box.clock(world.clock, built_s=shipped.built_s(), root=world.root)
    return doctor_box.clock(msgspec.structs.replace(seen, server=asked.server, offset_s=asked.offset_s))


async def _storage(world: World) -> Iterable[Item]:
    if world.state_dir is None:
        return [left_out(f"E-STORE-0{n}", "config") for n in range(1, 6)]
    most = getattr(world.config.outbox, "max_bytes", _DEFAULT_MAX_BYTES) if world.config else _DEFAULT_MAX_BYTES
    seen = await asyncio.to_thread(doctor_probe_box.storage, world.state_dir, most, world.root)
    return doctor_box.storage(seen)


async def _identity(world: World) -> Iterable[Item]:
    if world.config is None:
        return [left_out("E-IDENT-01", "config")]
    certificates, secrets = doctor_probe_city.certificates(world.config), doctor_probe_city.secrets(world.config)
    return doctor_city.identity(certificates, secrets, world.clock.now().wall_ms / 1000)


async def _network(world: World) -> Iterable[Item]:
    asked = await _ntp(world)
    route = doctor_probe_city.has_route(world.root)
    if world.config is None:
        seen = doctor_city.Network(route=route, remote=True, ntp=asked)
        return [left_out(f"E-NET-0{n}", "config") for n in range(2, 8)] + [
            item for item in doctor_city.network(seen) if item.code in ("E-NET-01", "E-NET-08")
        ]
    uplinks = [u for u in world.config.uplinks if u.enabled]
    walked = await asyncio.gather(*(doctor_probe_city.reach(u, world.config, world.clock) for u in uplinks))
    told = {u.id: u for u in world.heard.uplinks} if world.heard else {}
    links = []
    for link in walked:
        one = told.get(link.owner) if link else None
        if link and one:
            problem = (one.last_problem.code, one.last_problem.facts) if one.last_problem else None
            link = msgspec.structs.replace(link, delivers=one.well, problem=problem)  # noqa: PLW2901
        links += [link] if link else []
    remote = bool(doctor_probe_city.remote_hosts(uplinks))
    return doctor_city.network(doctor_city.Network(route=route, remote=remote, links=tuple(links), ntp=asked))


async def _devices(world: World) -> Iterable[Item]:
    if world.heard is not None:
        world.devices = await from_agent(world.agent, world.config)
        return doctor_data.devices(world.devices)
    if world.silence == "daemon.not-allowed":
        return [left_out("E-DEVICE-01", "not-allowed")]
    if world.config is None:
        return [left_out("E-DEVICE-01", "config")]
    world.devices = await read_directly(world.config, world.clock)
    return doctor_data.devices(world.devices)


async def _buffer(world: World) -> Iterable[Item]:
    if world.config is None and world.heard is None:
        return [left_out("E-BUFFER-01", "config")]
    if world.heard is not None and world.heard.outbox_problem is not None:
        trouble = world.heard.outbox_problem
        return doctor_data.buffer(doctor_data.Store(problem=(trouble.code, trouble.facts)))
    if world.state_dir is None or (world.heard is None and not (world.state_dir / "outbox.db").exists()):
        return doctor_data.buffer(None)
    try:
        stats = msgspec.json.decode(await asyncio.to_thread(world.store, "outbox"), type=OutboxStats)
        plan = msgspec.json.decode(await asyncio.to_thread(world.store, "plan"), type=OutboxPlan)
    except EdgeAgentError as error:
        if error.code in ("daemon.not-allowed", "daemon.not-running"):
            return [left_out("E-BUFFER-01", "not-allowed")]
        return doctor_data.buffer(doctor_data.Store(problem=_cause(error)))
    return doctor_data.buffer(
        doctor_data.Store(
            accepted=stats.accepted,
            waiting=stats.waiting,
            lost=stats.lost,
            thinned=stats.thinned,
            dead=sum(u.dead for u in stats.uplinks.values()),
            oldest_s=stats.oldest_s,
            hours=plan.hours,
        )
    )


async def _updates(world: World) -> Iterable[Item]:
    if world.config is None:
        return [left_out("E-OTA-01", "config")]
    section = world.config.update
    if section is None or world.state_dir is None:
        return doctor_city.updates(None)
    folder, now = world.state_dir / "update", world.clock.now()
    polled = report.read_note(folder)
    record = Slots(folder).record()
    last = record.last
    back = (last.code, dict(last.facts)) if last and last.what == "rolled-back" else None
    root = getattr(section, "root", "")
    seen = doctor_city.Updates(root=root, root_found=Path(root).is_file(), rolled_back=back)
    if polled is not None:
        seen = msgspec.structs.replace(
            seen,
            what=polled.what,
            why=(polled.code, polled.facts) if polled.code else None,
            asked_s=(now.wall_ms - polled.ok_wall_ms) / 1000 if polled.ok_wall_ms else None,
            left_s=polled.expires_s - now.wall_ms / 1000 if polled.expires_s else None,
        )
    return doctor_city.updates(seen)


async def _service(world: World) -> Iterable[Item]:
    unit = await asyncio.to_thread(doctor_probe_box.unit, world.root)
    remote = tuple(doctor_probe_city.remote_hosts(world.config.uplinks)) if world.config else ()
    answers = None if world.silence == "daemon.not-allowed" else world.heard is not None
    return doctor_box.service(
        doctor_box.Service(systemd=unit is not None, unit=unit or {}, remote=remote, answers=answers)
    )


async def _cycle(world: World) -> Iterable[Item]:
    before = None
    if world.state_dir is not None:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            before = msgspec.json.decode((world.state_dir / NOTE).read_bytes(), type=doctor_data.Before)
    now = world.clock.now()
    if before is not None and before.boot_id != now.boot_id:
        await _wait_for(world, before.sources)
    well = tuple(s.id for s in world.heard.sources if s.well) if world.heard else None
    store = await asyncio.to_thread(_stats, world)
    return doctor_data.cycle(
        before,
        doctor_data.Now(
            boot_id=now.boot_id,
            wall_ms=now.wall_ms,
            sources=well,
            accepted=store.accepted if store else 0,
            lost=store.lost if store else 0,
        ),
    )


async def _wait_for(world: World, wanted: Sequence[str]) -> None:
    """A box that has just booted needs its time: until everything is back, or patience ends."""
    left = world.cycle_patience_s
    while left > 0 and not (world.heard and set(wanted) <= {s.id for s in world.heard.sources if s.well}):
        await asyncio.sleep(min(_CYCLE_STEP_S, left))
        left -= _CYCLE_STEP_S
        _hear(world)


async def _ntp(world: World) -> doctor_city.Ntp:
    """Asked once, told twice: for the clock and for the network."""
    if world.time is None:
        server, port = world.ntp or (doctor_probe_city.time_servers(world.root)[0], 123)
        world.time = await doctor_probe_city.ntp(server, port=port)
    return world.time


def _hear(world: World) -> None:
    try:
        world.heard, world.silence = world.agent(), ""
    except EdgeAgentError as error:
        world.heard, world.silence = None, error.code


def _stats(world: World) -> OutboxStats | None:
    if world.heard is None:
        return None
    try:
        return msgspec.json.decode(world.store("outbox"), type=OutboxStats)
    except (EdgeAgentError, msgspec.DecodeError):
        return None


def _cause(error: EdgeAgentError) -> Cause:
    return error.code, {name: str(value) for name, value in error.facts.items()}
