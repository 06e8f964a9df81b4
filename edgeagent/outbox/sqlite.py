"""The outbox the daemon uses: a `Store` behind one named thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import msgspec

from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError, OutboxUnavailable
from edgeagent.outbox.days import day_number_of
from edgeagent.outbox.store import Store
from edgeagent.ports import Batch, DayBooks, DeadLetter, Delivery, OutboxPlan, OutboxStats, Row
from edgeagent.reading import Reading

__all__ = ["OutboxConfig", "SqliteOutbox"]

P = ParamSpec("P")
T = TypeVar("T")


class OutboxConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[outbox]`: where readings wait.

    Attributes:
        max_bytes: size the file may reach; never more than the disk has, less a margin.
        dead_letters: how many refused readings are kept to be looked at; the oldest go first.
    """

    max_bytes: Annotated[int, msgspec.Meta(ge=4 << 20)] = 512 << 20
    dead_letters: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 10_000


class SqliteOutbox:
    """Readings that survive a power cut.

    Opening is synchronous: it happens once, before there are tasks to hold up.

    Args:
        path: the database file.
        clock: for trusted moments.
        config: `[outbox]`.
        uplinks: ids of the configured uplinks.  A new one starts with what is still there, one
            that is no longer configured holds nothing back.

    Raises:
        OutboxUnavailable: folder or file cannot be used, or another process holds it.
    """

    def __init__(self, path: Path, clock: Clock, config: OutboxConfig, uplinks: Iterable[str]) -> None:
        self._path = path
        self._uplinks = frozenset(uplinks)
        self._changed = asyncio.Condition()
        self._changes = 0
        self._closed = False
        self._returns: set[asyncio.Task[None]] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        try:
            self._store = self._thread.submit(
                Store,
                path,
                clock,
                max_bytes=config.max_bytes,
                dead_letters=config.dead_letters,
                uplinks=sorted(self._uplinks),
            ).result()
        except BaseException:
            self._thread.shutdown()
            raise

    @property
    def notices(self) -> list[EdgeAgentError]:
        """What a person should know and no caller was told: a file set aside, rows lost."""
        return self._store.notices

    async def put(self, readings: Sequence[Reading]) -> Sequence[Reading]:
        """Store readings, fsynced on return, each with its sequence number.

        Raises:
            OutboxUnavailable: nothing of this call was stored.
        """
        if not readings:
            return ()
        stored = await self._call(self._store.put, tuple(readings))
        await self._announce()
        return stored

    async def lease(
        self, uplink: str, limit: int, *, backfill: bool = True, live: bool = True, together: bool = False
    ) -> Batch:
        """Up to `limit` rows owed to this uplink, waiting until there is one.

        Alarms come first, then the newest of each stream, then the oldest.  A leased row is
        leased again only after it was settled as neither accepted nor rejected.

        Raises:
            OutboxUnavailable: the store cannot be read, or was closed.
        """
        self._check(uplink)
        while True:
            seen = self._changes
            job = self._submit(self._store.lease, uplink, limit, backfill=backfill, live=live, together=together)
            try:
                batch = await asyncio.shield(asyncio.wrap_future(job))
            except asyncio.CancelledError:
                task = asyncio.create_task(self._hand_back(uplink, job))
                self._returns.add(task)
                task.add_done_callback(self._returns.discard)
                raise
            if batch.rows:
                return batch
            await self._wait_beyond(seen)

    async def settle(self, batch: Batch, delivery: Delivery) -> None:
        """Forget what was accepted, bury what was refused, keep the rest for this uplink.

        Raises:
            OutboxUnavailable: not on disk yet; it is remembered in RAM and written with the next
                transaction, so there is nothing to repeat.
        """
        self._check(batch.uplink)
        ids = [row.id for row in batch.rows]
        try:
            await self._call(self._store.settle, batch.uplink, ids, delivery)
        finally:
            if len(delivery.accepted) + len(delivery.rejected) < len(ids):
                await self._announce()

    async def stats(self) -> OutboxStats:
        """Counts, durable across restarts."""
        return await self._call(self._store.stats)

    async def plan(self) -> OutboxPlan:
        """How long an outage may last before anything is thinned."""
        return await self._call(self._store.plan)

    async def day(self, day: str = "") -> DayBooks:
        """The books of a day.

        Args:
            day: `2026-11-25` (JST); the one that is open now if left out.

        Raises:
            OutboxUnavailable: it is no day, or nothing is known of it.
        """
        number = day_number_of(day) if day else 0
        found = None if number is None else await self._call(self._store.day, number)
        if found is None:
            raise OutboxUnavailable("outbox.no-such-day", day=day)
        return found

    async def waiting(self, after: int = 0, limit: int = 100) -> list[Row]:
        """Rows owed to anybody, oldest first, from above id `after`."""
        return await self._call(self._store.waiting, after, limit)

    async def take_in(self, readings: Sequence[Reading]) -> int:
        """Store readings that another store has numbered, owed to every uplink; how many.

        Raises:
            OutboxUnavailable: none of them was stored.
        """
        taken = await self._call(self._store.take_in, tuple(readings))
        await self._announce()
        return taken

    async def dead_letters(self, after: int = 0, limit: int = 100) -> list[DeadLetter]:
        """What was refused for good, oldest first, from above letter `after`."""
        return await self._call(self._store.dead_letters, after, limit)

    async def retry_dead(self, numbers: Iterable[int]) -> int:
        """Owe dead letters to their uplinks again; how many.

        Raises:
            OutboxUnavailable: none of them could be written back.
        """
        retried = await self._call(self._store.retry_dead, tuple(numbers))
        await self._announce()
        return retried

    async def close(self) -> None:
        """Write what is left to write and let go of the file; waiting leases end with an error."""
        if self._closed:
            return
        closing = self._submit(self._store.close)
        self._closed = True
        await self._announce()
        try:
            await asyncio.shield(asyncio.wrap_future(closing))
        finally:
            self._thread.shutdown(wait=False)

    async def _wait_beyond(self, seen: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or self._changes != seen)

    async def _announce(self) -> None:
        self._changes += 1
        async with self._changed:
            self._changed.notify_all()

    async def _call(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        # Shielded: what has begun is finished, whoever stops waiting for it.
        return await asyncio.shield(asyncio.wrap_future(self._submit(work, *args, **kwargs)))

    def _submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        if self._closed:
            raise OutboxUnavailable("outbox.closed", file=str(self._path))
        return self._thread.submit(work, *args, **kwargs)

    def _check(self, uplink: str) -> None:
        if uplink not in self._uplinks:
            raise OutboxUnavailable("outbox.no-such-uplink", uplink=uplink)

    async def _hand_back(self, uplink: str, job: Future[Batch]) -> None:
        """Nobody received these rows, the waiting was cancelled: let them be leased again."""
        with contextlib.suppress(OutboxUnavailable):  # nothing was leased, or all leases ended with close()
            batch = await asyncio.wrap_future(job)
            await self._call(self._store.release, uplink, [row.id for row in batch.rows])
            await self._announce()
