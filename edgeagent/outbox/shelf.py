"""What an open file holds: rows, the numbers given to them, the accounts; and how rows get in.

A shelf is read as a whole when the file is opened, and a new one takes its place when the file is
read anew.  Every method belongs to the outbox's thread.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from edgeagent.clock import Clock
from edgeagent.outbox import mark, schema, tail
from edgeagent.outbox.books import Books
from edgeagent.outbox.days import Days
from edgeagent.outbox.file import File
from edgeagent.outbox.ledger import Ledger
from edgeagent.outbox.pace import Pace
from edgeagent.outbox.record import pack
from edgeagent.ports import DayBooks
from edgeagent.reading import Moment, Reading, ReadingClass, TimeTrust

__all__ = ["CLASS", "New", "Shelf"]

_log = logging.getLogger(__name__)
CLASS = {ReadingClass.ALARM: 0, ReadingClass.LIVE: 1, ReadingClass.ROUTINE: 2}


class New(msgspec.Struct):
    """Readings on their way into the file.

    Attributes:
        streams: number and row id of the newest, by name.
        began: day, and number before the first of that day, by name.
        unsynced: how many came while the clock was not trusted.
    """

    readings: list[Reading]
    rows: list[tuple[int, int, bytes]]
    streams: dict[str, tuple[int, int]]
    began: dict[str, tuple[int, int]]
    boots: dict[str, int]
    unsynced: int = 0


class Shelf:
    """The content of one open file.

    Attributes:
        accepted: readings made durable since the store was created.

    Args:
        file: open.
        uplinks: ids of the configured uplinks.
        clock: for trusted moments.
        pace: told of every reading that is stored.
        dead_letters: how many refused readings are kept to be looked at.
        first_id: row ids of a fresh file start above it.
        reread: called when the file could not follow the ledger; a new shelf replaces this one.

    Raises:
        sqlite3.Error: SQLite says no.
        KeyError, TypeError, ValueError: SQLite reads it, and it makes no sense.
    """

    def __init__(
        self,
        file: File,
        uplinks: Iterable[str],
        *,
        clock: Clock,
        pace: Pace,
        dead_letters: int,
        first_id: int,
        reread: Callable[[], None],
    ) -> None:
        self.file, self._clock, self._pace, self._reread = file, clock, pace, reread
        db = file.db
        self._mark = mark.read(file.path)
        numbers = dict(db.execute("SELECT name, value FROM numbers"))
        if not numbers and db.execute("SELECT count(*) FROM accounts").fetchone()[0] == 0:  # a fresh file
            numbers = {"base": self._mark, "lost": 0, "thinned": 0}
            with file.transaction():
                db.executemany(schema.SET_NUMBER, numbers.items())
                Books.begin(file, first_id)
        db.execute(schema.PRUNE_BOOTS)
        self._base, self._salvaged = numbers["base"], numbers.get("salvaged", 0)
        self._streams: dict[str, int] = dict(db.execute("SELECT name, last FROM streams"))
        self.accepted = self._salvaged + sum(self._streams.values()) - self._base * len(self._streams)
        self._brought: dict[str, int] = {}
        if file.tail_lost:
            self._pass_over_lost_numbers()
        self.offsets: dict[str, int] = dict(db.execute("SELECT boot_id, offset_ms FROM boots"))
        self.books = Books(file, uplinks, dead_letters=dead_letters)
        self._days = Days(db, self.ledger)
        tail.note(file.path, self.ledger.last)

    @property
    def ledger(self) -> Ledger:
        """Who still owes what."""
        return self.books.ledger

    # -- new readings ------------------------------------------------------------------------

    def add(self, readings: Sequence[Reading]) -> list[Reading]:
        """Store readings in one transaction.

        Returns:
            Each with its number.

        Raises:
            sqlite3.Error: nothing was stored.
            OutboxUnavailable: the mark could not be written; nothing was stored.
        """
        new = self.stamp(readings)
        with self.file.transaction():
            self.insert(new)
        self.note(new)
        return new.readings

    def stamp(self, readings: Sequence[Reading]) -> New:
        """Give readings their numbers and row ids; nothing is stored yet."""
        new = New([], [], {}, {}, {})
        row = self.ledger.last
        for reading in readings:
            stream = reading.stream
            before = new.streams.get(stream)
            number = (before[0] if before else self._streams.get(stream, self._base)) + 1
            if before is None:
                new.began[stream] = self._days.began(stream, number - 1)
            new.unsynced += reading.at.trust is not TimeTrust.SYNCED
            stamped = msgspec.structs.replace(reading, sequence=number)
            row += 1
            new.streams[stream] = (number, row)
            new.rows.append((row, CLASS[reading.cls], pack(stamped)))
            new.readings.append(stamped)
            self._learn(reading.at, new.boots)
        highest = max((number for number, _ in new.streams.values()), default=0)
        if highest > self._mark:
            mark.write(self.file.path, highest + mark.STEP)
            self._mark = highest + mark.STEP
        return new

    def insert(self, new: New) -> None:
        """Write what was stamped, within a transaction."""
        db = self.file.db
        db.executemany(schema.ADD_ROW, new.rows)
        db.executemany(schema.SET_STREAM, [(name, *ends, *new.began[name]) for name, ends in new.streams.items()])
        if new.unsynced:
            db.execute(schema.SET_NUMBER, ("unsynced", self._days.unsynced + new.unsynced))
        if new.boots:
            db.executemany(schema.ADD_BOOT, new.boots.items())

    def note(self, new: New) -> None:
        """What was stored is true in RAM too."""
        self._streams.update((name, number) for name, (number, _) in new.streams.items())
        self.offsets.update(new.boots)
        self._days.note(new.began, new.unsynced)
        self.accepted += len(new.rows)
        self._pace.stored(self._clock.mono(), len(new.rows), sum(len(record) for _, _, record in new.rows))
        for stored in new.readings:
            self.ledger.add(stored.stream, alarm=stored.cls is ReadingClass.ALARM)
        tail.note(self.file.path, self.ledger.last)

    # -- days --------------------------------------------------------------------------------

    def turn_the_day(self) -> None:
        """Close the books of the open day if a later one has begun, and tell the city.

        Raises:
            sqlite3.Error: the old day stays open.
        """
        done = self._days.ended(self._clock.now(), self._streams)
        if done is None:
            return
        open_day, self._days.day = self._days.day, done.next_day  # the reports belong to the new one
        try:
            new = self.stamp(done.reports)
            with self.file.transaction():
                self._days.write(self.file.db, done)
                self.insert(new)
        finally:
            self._days.day = open_day
        self._days.turn(done)
        self.note(new)

    def day(self, day: int) -> DayBooks | None:
        """What is known of a day, by its number, 0 for the open one; None when nothing is."""
        return self._days.books(self.file.db, day or self._days.day, self._streams)

    # -- readings that have their numbers already --------------------------------------------

    def readmit(self, items: Sequence[tuple[Reading, Iterable[str]]], also: Callable[[], None]) -> bool:
        """Store readings that have their numbers already, under new ids.

        Args:
            items: each reading with the uplinks it is not owed to.
            also: what else belongs into the transaction.

        Returns:
            False when it could not be written, and this shelf was replaced.
        """
        newest: dict[str, tuple[int, int]] = {}
        rows, settled = [], []
        for row, (reading, names) in enumerate(items, self.ledger.last + 1):
            stream = reading.stream
            rows.append((row, CLASS[reading.cls], pack(reading)))
            if self._streams.get(stream, self._base) == self._base and reading.sequence >= self._brought.get(stream, 0):
                newest[stream] = (self._base, row)
                self._brought[stream] = reading.sequence
            settled += [(row, name) for name in names]
        ends = {row: stream for stream, (_, row) in newest.items()}
        began = [(name, *end, *self._days.began(name, self._base)) for name, end in newest.items()]

        def write() -> None:
            db = self.file.db
            db.executemany(schema.ADD_ROW, rows)
            db.executemany(schema.SET_STREAM, began)
            db.execute(schema.SET_NUMBER, ("salvaged", self._salvaged + len(rows)))
            also()

        for row, cls, _ in rows:
            self.ledger.add(ends.get(row), alarm=cls == CLASS[ReadingClass.ALARM])
        for row, name in settled:
            self.ledger.settle_unsent(name, row)
        if not self.write(write):
            return False
        self._streams.update((name, self._base) for name in newest if name not in self._streams)
        self._salvaged += len(rows)
        self.accepted += len(rows)
        tail.note(self.file.path, self.ledger.last)
        return True

    def thin(self, counts: Mapping[str, int], new: New, also: Callable[[], None]) -> bool:
        """Write what makes room for others; False when it could not be, and this shelf was replaced.

        Args:
            counts: readings that go, by source.
            new: the gaps that name them.
            also: what else belongs into the transaction.
        """

        def write() -> None:
            also()
            self.insert(new)
            self._days.thinned(self.file.db, counts)

        if not self.write(write):
            return False
        self._days.note_thinned(counts)
        self.note(new)
        return True

    def lose(self, count: int, naming: Sequence[Reading]) -> None:
        """Count readings that were accepted and cannot be found, and store what names them.

        Raises:
            sqlite3.Error: neither was written.
        """
        new = self.stamp(naming)
        with self.file.transaction():
            self.insert(new)
            self.file.db.execute(schema.SET_NUMBER, ("salvaged", self._salvaged + count))
            self.file.db.execute(schema.SET_NUMBER, ("lost", self.ledger.lost + count))
        self._salvaged += count
        self.accepted += count
        self.ledger.lost += count
        self.note(new)

    def _pass_over_lost_numbers(self) -> None:
        """Numbers given in a tail that is gone are not known one by one: go on above all of them."""
        self._base = max(self._mark, *self._streams.values(), self._base)
        self._salvaged = self.accepted
        with self.file.transaction():
            for name, value in (("base", self._base), ("salvaged", self._salvaged)):
                self.file.db.execute(schema.SET_NUMBER, (name, value))
            self.file.db.execute(schema.RAISE_STREAMS, (self._base,))
        self._streams = dict.fromkeys(self._streams, self._base)
        self.file.tail_lost = False

    # -- writing -----------------------------------------------------------------------------

    def write(self, also: Callable[[], None]) -> bool:
        """Write the books; if that fails the ledger is ahead of the file, which is therefore read anew."""
        try:
            self.books.write(also)
        except sqlite3.OperationalError as error:
            _log.warning("%s: not written: %s", self.file.path, error)
            self._reread()
            return False
        return True

    def write_if_possible(self) -> None:
        """A full or read-only disk leaves the books dirty until a later write; damage is raised."""
        if self.books.dirty:
            with contextlib.suppress(sqlite3.OperationalError):
                self.books.write()

    def learn_now(self) -> None:
        """The clock may have become trusted since the last reading was put."""
        offsets: dict[str, int] = {}
        self._learn(self._clock.now(), offsets)
        if offsets:
            with contextlib.suppress(sqlite3.OperationalError):  # told with the next moment, then
                with self.file.transaction():
                    self.file.db.executemany(schema.ADD_BOOT, offsets.items())
                self.offsets.update(offsets)

    def _learn(self, at: Moment, offsets: dict[str, int]) -> None:
        if at.boot_id not in self.offsets and at.trust is TimeTrust.SYNCED:
            offsets.setdefault(at.boot_id, at.wall_ms - at.mono_ms)
