"""The books of each day: which numbers were given, how much of it was thinned or lost.

A day is a Japanese one (JST, no daylight saving) by the gateway's clock, and a reading belongs to
the day on which it was accepted.  Days change only while the clock is trusted and only forwards, so
that numbers and row ids of a day have no hole and no overlap; what is accepted before the clock was
set belongs to the day before.  When a day ends, a reading per source says so to the city
(Kind.COMPLETENESS): with it and the sequence numbers the city can prove that it has everything.

In RAM and in the file the same is known: the file's part is written in the transaction of whatever
caused it.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterable, Mapping

import msgspec

from edgeagent.outbox import schema
from edgeagent.outbox.ledger import Ledger
from edgeagent.ports import DayBooks, StreamOfDay, UplinkOfDay
from edgeagent.reading import Kind, Moment, Quantity, Reading, ReadingClass, TimeTrust

__all__ = ["Days", "Ended", "day_name", "day_number", "day_number_of", "month_at"]

_ZONE_MS, _DAY_MS = 9 * 3_600_000, 86_400_000
_EPOCH = dt.date(1970, 1, 1)
_KEPT_DAYS = 400
_NAMED = 40  # streams in one reading: keeps it well under one page of the file


def day_number(wall_ms: int) -> int:
    """UTC epoch milliseconds -> days since 1970-01-01, in Japan."""
    return (wall_ms + _ZONE_MS) // _DAY_MS


def day_name(number: int) -> str:
    """A day's number -> `2026-11-25`."""
    return (_EPOCH + dt.timedelta(days=number)).isoformat()


def day_number_of(name: str) -> int | None:
    """`2026-11-25` -> the day's number; None for any other text."""
    try:
        return (dt.date.fromisoformat(name) - _EPOCH).days
    except ValueError:
        return None


def month_at(now: Moment) -> int:
    """Months since the year 0, in Japan; 0 while the clock is not trusted."""
    if now.trust is not TimeTrust.SYNCED:
        return 0
    day = _EPOCH + dt.timedelta(days=day_number(now.wall_ms))
    return day.year * 12 + day.month - 1


class Ended(msgspec.Struct):
    """A day that is over, and the one that begins."""

    day: int
    next_day: int
    first_row: int
    last_row: int
    lost: int
    unsynced: int
    streams: list[tuple[str, int, int]]  # name, first and last number
    reports: list[Reading]


class Days:
    """The day that is open now.

    Args:
        db: the file.
        ledger: its ledger.

    Attributes:
        day: number of the open day; 0 before the clock was ever trusted.
    """

    def __init__(self, db: sqlite3.Connection, ledger: Ledger) -> None:
        numbers: dict[str, int] = dict(db.execute("SELECT name, value FROM numbers"))
        self.day = numbers.get("day", 0)
        self._ledger = ledger
        self._first_row = numbers.get("day_row", ledger.store.settled.floor) + 1
        self._lost = numbers.get("day_lost", ledger.lost)  # at its beginning
        self.unsynced = numbers.get("unsynced", 0)  # readings of it that came while the clock was not trusted
        self._began: dict[str, tuple[int, int]] = {
            name: (day, before) for name, day, before in db.execute("SELECT name, day, before FROM streams")
        }
        self._thinned: dict[str, int] = dict(
            db.execute("SELECT source, count FROM day_thinned WHERE day = ?", (self.day,))
        )

    def began(self, stream: str, last: int) -> tuple[int, int]:
        """The day of the stream's next number, and the number before the first one of that day."""
        known = self._began.get(stream)
        return known if known is not None and known[0] == self.day else (self.day, last)

    def note(self, streams: Mapping[str, tuple[int, int]], unsynced: int) -> None:
        """What was stored: day and number before it by stream; how many readings had no trusted time."""
        self._began.update(streams)
        self.unsynced += unsynced

    def thinned(self, db: sqlite3.Connection, counts: Mapping[str, int]) -> None:
        """Count what was thinned today, by source; within its transaction."""
        db.executemany(schema.ADD_THINNED, [(self.day, source, count) for source, count in counts.items()])

    def note_thinned(self, counts: Mapping[str, int]) -> None:
        """The transaction of `thinned` went through."""
        for source, count in counts.items():
            self._thinned[source] = self._thinned.get(source, 0) + count

    def ended(self, now: Moment, streams: Mapping[str, int]) -> Ended | None:
        """What is to be written down when a later day than the open one has begun, else None.

        Args:
            now: the present moment.
            streams: the last number given, by stream.
        """
        today = day_number(now.wall_ms)
        if now.trust is not TimeTrust.SYNCED or today <= self.day:
            return None
        done = Ended(self.day, today, self._first_row, self._ledger.last, 0, self.unsynced, [], [])
        if self.day:
            done.lost = self._ledger.lost - self._lost
            done.streams = list(self._numbers(streams))
            done.reports = list(self._reports(done, now))
        return done

    def write(self, db: sqlite3.Connection, done: Ended) -> None:
        """Close the books of a day, within a transaction."""
        if done.day and done.streams:
            db.execute(schema.ADD_DAY, (done.day, done.first_row, done.last_row, done.lost, done.unsynced))
            db.executemany(schema.ADD_DAY_STREAM, [(done.day, *stream) for stream in done.streams])
            for statement in schema.PRUNE_DAYS:
                db.execute(statement, (done.next_day - _KEPT_DAYS,))
        if not done.day:  # what was accepted before the clock was first trusted belongs to this day
            db.execute(schema.DATE_STREAMS, (done.next_day,))
            db.execute(schema.DATE_THINNED, (done.next_day,))
        numbers = {"day": done.next_day}
        if done.day:
            numbers |= {"day_row": done.last_row, "day_lost": self._ledger.lost, "unsynced": 0}
        db.executemany(schema.SET_NUMBER, numbers.items())

    def turn(self, done: Ended) -> None:
        """The transaction of `write` went through."""
        if done.day:
            self._first_row, self._lost, self.unsynced = done.last_row + 1, self._ledger.lost, 0
            self._thinned = {}
        else:
            self._began = {name: (done.next_day, before) for name, (_, before) in self._began.items()}
        self.day = done.next_day

    def books(self, db: sqlite3.Connection, day: int, streams: Mapping[str, int]) -> DayBooks | None:
        """What is known of a day; None when nothing is."""
        if day == self.day and day:
            first, last = self._first_row, self._ledger.last
            lost, unsynced, thinned = self._ledger.lost - self._lost, self.unsynced, sum(self._thinned.values())
            named = list(self._numbers(streams))
        else:
            found = db.execute(schema.A_DAY, (day,)).fetchone()
            if found is None:
                return None
            first, last, lost, unsynced = found
            named = db.execute(schema.DAY_STREAMS, (day,)).fetchall()
            thinned = db.execute(schema.DAY_THINNED, (day,)).fetchone()[0]
        dead = dict(db.execute(schema.DAY_DEAD, (first, last)))
        return DayBooks(
            day=day_name(day),
            open=day == self.day,
            streams=[StreamOfDay(name, low, high) for name, low, high in named],
            accepted=sum(high - low + 1 for _, low, high in named),
            thinned=thinned,
            lost=lost,
            unsynced=unsynced,
            uplinks={
                name: UplinkOfDay(sum(b - a + 1 for a, b in account.settled.gaps(first, last)), dead.get(name, 0))
                for name, account in self._ledger.accounts.items()
            },
        )

    def _numbers(self, streams: Mapping[str, int]) -> Iterable[tuple[str, int, int]]:
        for name, (day, before) in sorted(self._began.items()):
            last = streams.get(name, before)
            if day == self.day and last > before:
                yield name, before + 1, last

    def _reports(self, done: Ended, now: Moment) -> Iterable[Reading]:
        by_source: dict[str, list[tuple[str, int, int]]] = {}
        for name, first, last in done.streams:
            by_source.setdefault(name.split(":")[1], []).append((name, first, last))
        waiting = sum(b - a + 1 for a, b in self._ledger.store.settled.gaps(done.first_row, done.last_row))
        for source, streams in by_source.items():
            parts = -(-len(streams) // _NAMED)
            for part in range(parts):
                named = streams[part * _NAMED : (part + 1) * _NAMED]
                yield Reading(
                    source=source,
                    kind=Kind.COMPLETENESS,
                    entity=f"{source}:{part + 1}" if part else source,  # each part is to be seen, not the last alone
                    at=now,
                    cls=ReadingClass.LIVE,
                    quantities={
                        "readings": Quantity(sum(last - first + 1 for _, first, last in streams)),
                        "thinned": Quantity(self._thinned.get(source, 0)),
                        "lost": Quantity(done.lost),
                        "waiting": Quantity(waiting),
                    },
                    facts={
                        "day": day_name(done.day),
                        "part": f"{part + 1}/{parts}",
                        "streams": ", ".join(f"{name} {first}-{last}" for name, first, last in named),
                        "clock": "mixed" if done.unsynced else "synced",
                    },
                )
