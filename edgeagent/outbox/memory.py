"""The same promises without a file: for dry runs and for tests of what stands around the outbox.

Nothing survives the process, and it is bounded by rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec

from edgeagent.clock import Clock
from edgeagent.errors import OutboxUnavailable
from edgeagent.outbox.days import month_at
from edgeagent.outbox.ledger import Account, Ledger, Run
from edgeagent.outbox.record import age_s, restamp
from edgeagent.ports import Batch, Delivery, OutboxStats, Row, UplinkStats
from edgeagent.reading import Moment, Reading, ReadingClass, TimeTrust

__all__ = ["MemoryOutbox"]


class MemoryOutbox:
    """Readings in RAM, owed to each uplink.

    Args:
        clock: for trusted moments.
        uplinks: ids of the uplinks.
        max_rows: rows it holds at most.
    """

    def __init__(self, clock: Clock, uplinks: Iterable[str], *, max_rows: int = 100_000) -> None:
        self._clock = clock
        self._max_rows = max_rows
        self._ledger = Ledger(uplinks)
        self._rows: dict[int, Reading] = {}
        self._streams: dict[str, int] = {}
        self._offsets: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self._changes = 0
        self._closed = False

    async def put(self, readings: Sequence[Reading]) -> Sequence[Reading]:
        """Keep readings and give them their sequence numbers.

        Raises:
            OutboxUnavailable: nothing of this call was kept.
        """
        self._check_open()
        if len(self._rows) + len(readings) > self._max_rows:
            raise OutboxUnavailable("outbox.memory-full", rows=self._max_rows)
        numbered = []
        for reading in readings:
            number = self._streams.get(reading.stream, 0) + 1
            self._streams[reading.stream] = number
            self._learn(reading.at)
            row = self._ledger.add(reading.stream, alarm=reading.cls is ReadingClass.ALARM)
            self._rows[row] = msgspec.structs.replace(reading, sequence=number)
            numbered.append(self._rows[row])
        await self._announce()
        return numbered

    async def lease(
        self, uplink: str, limit: int, *, backfill: bool = True, live: bool = True, together: bool = False
    ) -> Batch:
        """Up to `limit` rows owed to this uplink, waiting until there is one."""
        if uplink not in self._ledger.accounts:
            raise OutboxUnavailable("outbox.no-such-uplink", uplink=uplink)
        while True:
            self._check_open()
            seen = self._changes
            lane, ids = self._ledger.urgent(uplink, limit, backfill=backfill, live=live, together=together)
            if not ids and backfill:
                ids = list(islice(self._ledger.open_ids(uplink), limit))
            if ids:
                self._learn(self._clock.now())
                self._ledger.lease(uplink, ids)
                rows = tuple(Row(row, restamp(self._rows[row], self._offsets)) for row in ids)
                return Batch(uplink, rows, lane, self._ledger.owed(uplink) == len(rows))
            await self._wait_beyond(seen)

    async def settle(self, batch: Batch, delivery: Delivery) -> None:
        """Forget what was accepted or refused, keep the rest for this uplink."""
        self._check_open()
        if batch.uplink not in self._ledger.accounts:
            raise OutboxUnavailable("outbox.no-such-uplink", uplink=batch.uplink)
        self._ledger.accounts[batch.uplink].charge(month_at(self._clock.now()), delivery.bytes_sent)
        leased = {row.id for row in batch.rows}
        refused = leased & delivery.rejected.keys() - delivery.accepted
        self._delete(self._ledger.accept(batch.uplink, leased & delivery.accepted))
        self._delete(self._ledger.reject(batch.uplink, refused)[1])
        self._ledger.release(batch.uplink, leased - delivery.accepted - refused)
        await self._announce()

    async def stats(self) -> OutboxStats:
        """Counts since it was made."""
        self._check_open()
        ledger = self._ledger
        return OutboxStats(
            accepted=ledger.last,
            acknowledged=ledger.store.acknowledged,
            waiting=ledger.waiting,
            thinned=0,
            lost=ledger.lost,
            oldest_s=self._oldest_s(ledger.store),
            bytes=0,
            uplinks={
                name: UplinkStats(
                    account.acknowledged,
                    ledger.last - len(account.settled),
                    account.dead,
                    self._oldest_s(account),
                    account.month,
                    account.sent,
                )
                for name, account in ledger.accounts.items()
            },
        )

    async def close(self) -> None:
        """Waiting leases end with an error."""
        self._closed = True
        await self._announce()

    def _check_open(self) -> None:
        if self._closed:
            raise OutboxUnavailable("outbox.closed", file="RAM")

    def _learn(self, at: Moment) -> None:
        if at.trust is TimeTrust.SYNCED:
            self._offsets.setdefault(at.boot_id, at.wall_ms - at.mono_ms)

    def _delete(self, gone: list[Run]) -> None:
        for first, last in gone:
            for row in range(first, last + 1):
                del self._rows[row]

    def _oldest_s(self, account: Account) -> float:
        for first, _ in account.settled.gaps(1, self._ledger.last):
            return age_s(restamp(self._rows[first], self._offsets).at, self._clock.now())
        return 0.0

    async def _wait_beyond(self, seen: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or self._changes != seen)

    async def _announce(self) -> None:
        self._changes += 1
        async with self._changed:
            self._changed.notify_all()
