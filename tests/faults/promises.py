"""What `keeping` was promised up to some moment, and whether an outbox and an uplink hold to it."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from edgeagent.clock import SystemClock
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.reading import Kind
from tests.fakes import water
from tests.faults.keeping import STREAMS, UPLINK, number_of
from tests.faults.near import NearCity, uplink_to


@dataclass
class Promises:
    """Values are the numbers of readings; a sequence number belongs to (stream, number)."""

    history: str = "temporal"
    accepted: dict[int, tuple[str, int]] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)  # accepted number by stream
    arrived: set[int] = field(default_factory=set)
    current: dict[str, int] = field(default_factory=dict)  # number of the city's current state by stream
    regressed: list[str] = field(default_factory=list)
    settled: set[int] = field(default_factory=set)
    refusals: Counter[str] = field(default_factory=Counter)
    ended: bool = False
    _begun: set[int] = field(default_factory=set)

    def hear(self, line: str) -> None:
        word, *rest = line.split()
        if word in ("P", "W", "H"):
            numbers = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
            self.told(word, [(stream, int(number), int(value)) for stream, number, value in numbers])
        elif word == "s":
            self._begun = {int(value) for value in rest}
        elif word == "S":
            self.settled |= self._begun
        elif word == "!":
            self.refusals[rest[0]] += 1
        else:
            assert word == "E", line
            self.ended = True

    def told(self, word: str, moments) -> None:
        for stream, number, value in moments:
            if word == "P":
                self.accepted[value] = (stream, number)
                self.highest[stream] = max(number, self.highest.get(stream, 0))
                continue
            self.arrived.add(value)
            if word == "W":
                if number < self.current.get(stream, 0) and self.history == "temporal":
                    self.regressed.append(f"{stream}: {number} over {self.current[stream]}")
                self.current[stream] = number

    def copy_of_city(self) -> "Promises":
        """What the city holds, to be written on from here in one possible future."""
        return Promises(self.history, arrived=set(self.arrived), current=dict(self.current))


async def broken(path: Path, promised: Promises, named: dict[int, tuple[str, int]] | None = None) -> list[str]:
    """Open the outbox as the daemon would after its restart and deliver what waits; every promise that it breaks.

    Args:
        path: the file; it is used up.
        promised: what the process had been promised.
        named: the numbers that readings in flight would have got, where that is known.
    """
    found = list(promised.regressed)
    try:
        outbox = SqliteOutbox(path, SystemClock(), OutboxConfig(), [UPLINK])
    except Exception as error:  # noqa: BLE001  whatever it is, it is a finding
        return [*found, f"does not open: {error!r}"]
    city = promised.copy_of_city()
    uplink = uplink_to(NearCity(city.told), path.parent, SystemClock(), promised.history)
    try:
        found += [f"notice {notice.code}" for notice in outbox.notices]
        readings = []
        while (await outbox.stats()).waiting:
            batch = await asyncio.wait_for(outbox.lease(UPLINK, 500, together=True), 10)
            readings += [row.reading for row in batch.rows if row.reading.kind is Kind.WATER]
            found += ["a gap was named" for row in batch.rows if row.reading.kind is Kind.GAP]
            await outbox.settle(batch, await uplink.deliver(batch.rows, behind=not batch.whole))
        held = [number_of(reading) for reading in readings]
        found += [f"{n} comes twice" for n, times in Counter(held).items() if times > 1]
        missing = promised.accepted.keys() - city.arrived
        if missing:
            found.append(f"accepted and gone: {sorted(missing)[:5]}, {len(missing)} in all")
        again = promised.settled & set(held)
        if again:
            found.append(f"acknowledged and still there: {sorted(again)[:5]}, {len(again)} in all")
        known = promised.accepted | (named or {})
        newest = dict(promised.highest)
        for reading in readings:
            value, name = number_of(reading), (reading.source, reading.sequence)
            if known.get(value, name) != name:
                found.append(f"{value} was {known[value]} and is {name}")
            newest[reading.source] = max(reading.sequence, newest.get(reading.source, 0))
        found += [f"old over new: {what}" for what in city.regressed]
        found += [
            f"{stream}: the city ends on {city.current.get(stream)}, {number} is the newest"
            for stream, number in newest.items()
            if city.current.get(stream) != number
        ]
        stats = await outbox.stats()
        if stats.lost:
            found.append(f"lost {stats.lost}")
        for fresh in await outbox.put([water(1e9, source=stream) for stream in STREAMS]):
            if fresh.sequence <= promised.highest.get(fresh.source, 0):
                highest = promised.highest[fresh.source]
                found.append(f"{fresh.source}: number {fresh.sequence} given again, {highest} was given")
    finally:
        await uplink.close()
        await outbox.close()
    return found
