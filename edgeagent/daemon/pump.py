"""Inlet -> rules -> outbox, in one task: the only place where readings become durable.

Group commit: a commit costs an fsync, so readings wait for company, at most COMMIT_S or until
COMMIT_ROWS are there, an alarm not at all.  Under load everything that arrived during the last
commit goes into the next.  While the store is away, readings stay in a bounded ring in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterable, Mapping

from edgeagent import messages
from edgeagent.clock import Clock
from edgeagent.daemon.health import Health
from edgeagent.errors import OutboxUnavailable
from edgeagent.ports import Outbox
from edgeagent.reading import Reading, ReadingClass
from edgeagent.rules.chain import Chain

__all__ = ["INLET", "Pump"]

log = logging.getLogger("edgeagent")

INLET = 1000  # readings between sources and pump; a full inlet makes sources wait
COMMIT_ROWS = 20
COMMIT_S = 2.0
TICK_S = 1.0
RETRY_S = 2.0  # pause after the store refused
RAM_RING = 20_000  # readings kept while the store is away (about 20 MB, hours of a usual site)


class Pump:
    """Feed it through `inlet`; `None` is the last word, an Event is set when all before it is durable."""

    def __init__(
        self, *, chains: Mapping[str, Chain], outbox: Outbox, health: Health, clock: Clock, lang: str = "en"
    ) -> None:
        self.inlet: asyncio.Queue[Reading | asyncio.Event | None] = asyncio.Queue(INLET)
        self._chains, self._outbox, self._health, self._clock, self._lang = chains, outbox, health, clock, lang
        self._unstored: deque[Reading] = deque()
        self._receipts: list[asyncio.Event] = []
        self._ended = False

    async def run(self) -> None:
        """Until `None` comes; what was taken in before is durable then, if the store works at all."""
        tick_at = commit_at = self._clock.mono()
        while not self._ended:
            await self._take_until(min(tick_at, commit_at) if self._unstored else tick_at)
            now_s = self._clock.mono()
            if now_s >= tick_at:
                self._tick()
                tick_at = now_s + TICK_S
            if not self._unstored:
                self._confirm()
                commit_at = now_s + COMMIT_S  # the wait for company starts with the first reading
            elif now_s >= commit_at or self._pressing():
                commit_at = self._clock.mono() + (COMMIT_S if await self._store() else RETRY_S)
        if self._unstored and not await self._store():
            log.error("outbox: %d readings could not be stored before the end", len(self._unstored))

    async def _take_until(self, deadline_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, deadline_s - self._clock.mono())):
                self._take(await self.inlet.get())
        while not self._ended and not self.inlet.empty():
            self._take(self.inlet.get_nowait())

    def _take(self, reading: Reading | asyncio.Event | None) -> None:
        if reading is None:
            self._ended = True
            return
        if isinstance(reading, asyncio.Event):
            self._receipts.append(reading)
            return
        chain = self._chains.get(reading.source)
        made = tuple(chain.feed(reading)) if chain else (reading,)
        seen = self._health.sources.get(reading.source)
        if seen:
            seen.proved(made, reading)
        self._keep(made)

    def _tick(self) -> None:
        now = self._clock.now()
        self._health.pump_mono_ms = now.mono_ms
        for chain in self._chains.values():
            self._keep(chain.tick(now))

    def _keep(self, readings: Iterable[Reading]) -> None:
        for reading in readings:
            seen = self._health.sources.get(reading.source)
            if seen:
                seen.saw(reading)
            self._unstored.append(reading)
        while len(self._unstored) > RAM_RING:
            self._drop_one()

    def _drop_one(self) -> None:
        """The oldest goes, alarms last; counted, because a loss is never silent."""
        for index, reading in enumerate(self._unstored):
            if reading.cls is not ReadingClass.ALARM:
                del self._unstored[index]
                break
        else:
            self._unstored.popleft()
        self._health.dropped_from_ram += 1

    def _pressing(self) -> bool:
        if self._health.outbox_problem is not None:
            return False
        return len(self._unstored) >= COMMIT_ROWS or any(r.cls is ReadingClass.ALARM for r in self._unstored)

    async def _store(self) -> bool:
        readings = tuple(self._unstored)
        try:
            await self._outbox.put(readings)
        except OutboxUnavailable as error:
            if self._health.outbox_problem is None:
                log.error("%s", messages.text(error.code, error.facts, self._lang))  # noqa: TRY400  no traceback
            self._health.outbox_problem = error
            self._health.held_in_ram = len(self._unstored)
            return False
        if self._health.outbox_problem is not None:
            log.warning("outbox: storing again; %d readings held in memory are safe now", len(readings))
            self._health.outbox_problem = None
        self._unstored.clear()  # nobody else appends while this task awaits put()
        self._health.held_in_ram = 0
        self._confirm()
        return True

    def _confirm(self) -> None:
        for receipt in self._receipts:
            receipt.set()
        self._receipts.clear()
