"""Watches a release on trial from inside the agent: keeps it when all is well, goes back when not.

Looks at what the loops measured (a valid value per source, an acknowledgement per uplink, memory),
asks `update.trial` for its judgement, writes the record, and ends the agent when it is to be started
with another config.  It also tells the city how it stands, as a Device, and notes jumps of the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from edgeagent import __version__, messages
from edgeagent.clock import Clock
from edgeagent.daemon.health import Health
from edgeagent.ports import OutboxStats
from edgeagent.reading import Kind, Moment, Quantity, Reading, Unit
from edgeagent.security_log import SecurityLog
from edgeagent.update import durable, report, trial
from edgeagent.update.report import Reported
from edgeagent.update.section import UpdateSection
from edgeagent.update.slots import Slots
from edgeagent.update.trial import Evidence, Record

__all__ = ["Keeper", "memory_mb"]

log = logging.getLogger("edgeagent")

LOOK_S = 1.0
NOTE_S = 900.0  # how often the time in probation is written down
TELL_S = 3600.0  # how often the city is told, when nothing changes
_INTERVALS = 2.5
STEP_MS = 2000  # a synchronised clock is never set by more


class Keeper:
    """For one run of the agent.

    Args:
        folder: the update folder.
        section: `[update]`.
        gateway: its id.
        health: measured by the loops.
        stats: of the outbox.
        emit: takes a reading for the city.
        clock: of everything.
        end: ends the agent.
        lang: of the log.
        memory: MB used now by the agent and its workers.
        slowest_s: longest interval of a source; the window is long enough for two and a half of them.
    """

    def __init__(
        self,
        folder: Path,
        section: UpdateSection,
        *,
        gateway: str,
        health: Health,
        stats: Callable[[], Awaitable[OutboxStats]],
        emit: Callable[[Reading], Awaitable[None]],
        clock: Clock,
        end: Callable[[], None],
        lang: str = "en",
        memory: Callable[[], float] | None = None,
        slowest_s: float = 0.0,
    ) -> None:
        self._slots, self._section, self._gateway = Slots(folder), section, gateway
        self._health, self._stats, self._emit, self._clock, self._end = health, stats, emit, clock, end
        self._lang, self._memory = lang, memory or memory_mb
        self._log = SecurityLog(folder.parent, clock)
        self._began_s = self._noted_s = clock.mono()
        self._most_mb = 0.0
        self._window_s = max(section.window_s, _INTERVALS * slowest_s)
        self._told: tuple[float, Reported | None] = (0.0, None)
        self._offset_ms: int | None = None
        self._complained = False

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Judge, write down, tell."""
        self._health.keeper_mono_ms = self._clock.now().mono_ms
        record = self._slots.record()
        self._watch_clock()
        try:
            if record.state == "trial":
                await self._judge(record)
            elif record.state == "probation":
                self._steady(record)
            if record.state == "staged":
                durable.write(self._slots.folder / "restart", b"")  # a start that cannot be written down is not tried
                log.info("update: a release is staged; starting again to try it")
                self._end()
        except OSError as error:  # nothing can be kept on a card that takes nothing; three starts decide
            if not self._complained:
                self._complained = True
                said = messages.text("update.disk", {"why": error.strerror or error}, self._lang)
                log.error("%s", said)  # noqa: TRY400  no traceback
        await self._tell()

    async def reported(self) -> Reported:
        """The reported state, with what only the running agent knows."""
        now, stats = self._clock.now(), await self._stats()
        made = report.report(
            self._slots.folder,
            gateway=self._gateway,
            version=__version__,
            ring=self._section.ring,
            wall_ms=now.wall_ms,
            trust=now.trust,
        )
        failing = tuple(s.id for s in self._health.sources.values() if not s.well(now.mono_ms))
        return msgspec.structs.replace(made, failing=failing, oldest_s=stats.oldest_s, waiting=stats.waiting)

    async def _judge(self, record: Record) -> None:
        stats = await self._stats()
        self._most_mb = max(self._most_mb, self._memory())
        evidence = Evidence(
            elapsed_s=self._clock.mono() - self._began_s,
            sources={s.id: s.valid > 0 for s in self._health.sources.values()},
            uplinks={u.id: u.well(_waiting(stats, u.id)) for u in self._health.uplinks.values()},
            memory_mb=self._most_mb,
        )
        found = trial.judge(record, evidence, window_s=self._window_s, memory_mb=self._section.memory_mb)
        if found is None:
            return
        wall_ms = self._clock.now().wall_ms
        release = record.runs
        if found.keep:
            self._slots.write(trial.commit(record, wall_ms))
            self._log.note("config-committed", release=release.name[:12], sequence=release.sequence)
            log.info("update: release %s (sequence %d) is kept", release.name[:12], release.sequence)
            return
        self._slots.write(trial.roll_back(record, found.code, found.facts, wall_ms))
        self._log.note("config-rolled-back", release=release.name[:12], code=found.code, **found.facts)
        log.error("update: %s", messages.text(found.code, found.facts, self._lang))
        self._end()

    def _steady(self, record: Record) -> None:
        now_s = self._clock.mono()
        if now_s - self._noted_s >= NOTE_S:
            self._slots.write(trial.steady(record, now_s - self._noted_s))
            self._noted_s = now_s

    def _watch_clock(self) -> None:
        now = self._clock.now()
        offset_ms = now.wall_ms - now.mono_ms
        if self._offset_ms is not None and abs(offset_ms - self._offset_ms) > STEP_MS:
            self._log.note("clock-step", by_s=round((offset_ms - self._offset_ms) / 1000, 1))
        self._offset_ms = offset_ms

    async def _tell(self) -> None:
        """A reading when something changed, and once an hour."""
        now_s = self._clock.mono()
        said = await self.reported()
        before_s, before = self._told
        if before is not None and _key(said) == _key(before) and now_s - before_s < TELL_S:
            return
        self._told = (now_s, said)
        await self._emit(reading_of(said, self._clock.now()))


def reading_of(said: Reported, at: Moment) -> Reading:
    """The reported state as a reading of the gateway: `Device … :config` at the city."""
    days = (said.expires_s - said.wall_ms / 1000) / 86_400
    signed = Quantity(round(days, 1), Unit.ONE) if said.expires_s else Quantity.missing(Unit.ONE)
    return Reading(
        source="config",
        kind=Kind.GATEWAY,
        entity="config",
        at=at,
        quantities={
            "config_applied": Quantity(said.applied, Unit.ONE),
            "config_desired": Quantity(said.desired, Unit.ONE),
            "config_signed_days": signed,
        },
        facts={
            "edgeagent": said.version,
            "config_state": said.state,
            "config_reason": said.reason or "none",
            "config_hash": said.release or "own",
        },
    )


def memory_mb(root: Path = Path("/proc")) -> float:
    """MB that this process and its children have in memory now."""
    total_kb, wanted = 0, [os.getpid()]
    while wanted:
        folder = root / str(wanted.pop())
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = (folder / "status").read_text(encoding="ascii", errors="replace")
            total_kb += int(status.split("VmRSS:")[1].split()[0])
            for task in (folder / "task").iterdir():
                wanted += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
    return total_kb / 1024


def _waiting(stats: OutboxStats, uplink: str) -> int:
    found = stats.uplinks.get(uplink)
    return found.waiting if found else 0


def _key(said: Reported) -> tuple[object, ...]:
    return (said.state, said.desired, said.applied, said.release, said.on_trial, said.reason, said.stale)
