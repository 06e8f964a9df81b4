"""What `keeping` was promised up to some moment, and whether an outbox holds to it."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from edgeagent.clock import SystemClock
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.reading import Kind
from tests.fakes import water
from tests.faults.keeping import STREAMS, UPLINK, number_of


@dataclass
class Promises:
    """Values are the numbers of readings; a sequence number belongs to (stream, number)."""

    accepted: dict[int, tuple[str, int]] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)
    maybe: set[int] = field(default_factory=set)  # about to be settled, no word whether they were
    refusals: Counter[str] = field(default_factory=Counter)
    ended: bool = False
    _begun: set[int] = field(default_factory=set)

    def hear(self, line: str) -> None:
        word, *rest = line.split()
        if word == "P":
            for stream, number, value in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
                self.accepted[int(value)] = (stream, int(number))
        elif word == "s":
            self._begun = {int(value) for value in rest}
            self.maybe |= self._begun
        elif word == "S":
            self.settled |= self._begun
            self.maybe -= self._begun
        elif word == "!":
            self.refusals[rest[0]] += 1
        else:
            assert word == "E", line
            self.ended = True


async def broken(path: Path, promised: Promises, named: dict[int, tuple[str, int]] | None = None) -> list[str]:
    """Open the outbox as the daemon would after its restart; every promise that it breaks.

    Args:
        path: the file; it is used up.
        promised: what the process had been promised.
        named: the numbers that readings in flight would have got, where that is known.
    """
    found = []
    try:
        outbox = SqliteOutbox(path, SystemClock(), OutboxConfig(), [UPLINK])
    except Exception as error:  # noqa: BLE001  whatever it is, it is a finding
        return [f"does not open: {error!r}"]
    try:
        found += [f"notice {notice.code}" for notice in outbox.notices]
        readings = []
        waiting = (await outbox.stats()).waiting
        while len(readings) < waiting:
            readings += (await asyncio.wait_for(outbox.lease(UPLINK, 500), 10)).rows
        found += [f"named as gone: {row.reading.facts}" for row in readings if row.reading.kind is Kind.GAP]
        readings = [row for row in readings if row.reading.kind is Kind.WATER]
        held = [number_of(row.reading) for row in readings]
        found += [f"{n} comes twice" for n, times in Counter(held).items() if times > 1]
        missing = promised.accepted.keys() - promised.settled - promised.maybe - set(held)
        if missing:
            found.append(f"accepted and gone: {sorted(missing)[:5]}, {len(missing)} in all")
        again = promised.settled & set(held)
        if again:
            found.append(f"acknowledged and still there: {sorted(again)[:5]}, {len(again)} in all")
        known = promised.accepted | (named or {})
        for row in readings:
            value, name = number_of(row.reading), (row.reading.source, row.reading.sequence)
            if known.get(value, name) != name:
                found.append(f"{value} was {known[value]} and is {name}")
        stats = await outbox.stats()
        if stats.lost:
            found.append(f"lost {stats.lost}")
        for fresh in await outbox.put([water(1e9, source=stream) for stream in STREAMS]):
            highest = max(
                (number for stream, number in promised.accepted.values() if stream == fresh.source), default=0
            )
            if fresh.sequence <= highest:
                found.append(f"{fresh.source}: number {fresh.sequence} given again, {highest} was given")
    finally:
        await outbox.close()
    return found
