"""An outbox that is opened when it can be: a bad card or a read-only mount must not stop the daemon.

Until then `put` says why it cannot, so the pump keeps readings in memory and `status` shows it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence

from edgeagent import messages
from edgeagent.errors import OutboxUnavailable
from edgeagent.outbox.sqlite import SqliteOutbox
from edgeagent.ports import Batch, DayBooks, DeadLetter, Delivery, OutboxPlan, OutboxStats, Row
from edgeagent.reading import Reading

__all__ = ["OpeningOutbox"]

log = logging.getLogger("edgeagent")

NOTHING = OutboxStats(accepted=0, acknowledged=0, waiting=0, thinned=0, lost=0, oldest_s=0.0, bytes=0, uplinks={})


class OpeningOutbox:
    """Fits `ports.Outbox`.

    Args:
        make: opens the real one; raises OutboxUnavailable while it cannot be.
        lang: of what is logged.
    """

    def __init__(self, make: Callable[[], SqliteOutbox], lang: str = "en") -> None:
        self._make, self._lang = make, lang
        self._real: SqliteOutbox | None = None
        self._opened = asyncio.Event()
        self._told = 0

    def open(self) -> SqliteOutbox:
        """The store, opened if it is not yet.

        Raises:
            OutboxUnavailable: it cannot be opened now.
        """
        if self._real is None:
            self._real = self._make()
            self._opened.set()
            self._tell_notices(self._real)
        return self._real

    def _tell_notices(self, real: SqliteOutbox) -> None:
        """What the store did that nobody asked for (a damaged file set aside) is a line in the log."""
        fresh, self._told = real.notices[self._told :], len(real.notices)
        for notice in fresh:
            log.warning("%s", messages.text(notice.code, notice.facts, self._lang))

    async def put(self, readings: Sequence[Reading]) -> Sequence[Reading]:
        """As SqliteOutbox, after opening it if that has not worked yet."""
        real = self.open()
        stored = await real.put(readings)
        self._tell_notices(real)
        return stored

    async def lease(
        self, uplink: str, limit: int, *, backfill: bool = True, live: bool = True, together: bool = False
    ) -> Batch:
        """As SqliteOutbox, once it is open."""
        with contextlib.suppress(OutboxUnavailable):  # a backlog must leave even if no reading ever comes
            self.open()
        await self._opened.wait()
        return await self.open().lease(uplink, limit, backfill=backfill, live=live, together=together)

    async def settle(self, batch: Batch, delivery: Delivery) -> None:
        """As SqliteOutbox."""
        await self.open().settle(batch, delivery)

    async def stats(self) -> OutboxStats:
        """Counts; zeros while there is no store to count."""
        return NOTHING if self._real is None else await self._real.stats()

    async def plan(self) -> OutboxPlan:
        """As SqliteOutbox."""
        return await self.open().plan()

    async def day(self, day: str = "") -> DayBooks:
        """As SqliteOutbox."""
        return await self.open().day(day)

    async def waiting(self, after: int = 0, limit: int = 100) -> list[Row]:
        """As SqliteOutbox."""
        return await self.open().waiting(after, limit)

    async def take_in(self, readings: Sequence[Reading]) -> int:
        """As SqliteOutbox."""
        return await self.open().take_in(readings)

    async def dead_letters(self, after: int = 0, limit: int = 100) -> list[DeadLetter]:
        """As SqliteOutbox."""
        return await self.open().dead_letters(after, limit)

    async def retry_dead(self, numbers: Iterable[int]) -> int:
        """As SqliteOutbox."""
        return await self.open().retry_dead(numbers)

    async def close(self) -> None:
        """Let go of the file."""
        if self._real is not None:
            await self._real.close()
