"""The file's content: put, lease, settle, count; called from one thread.

What SQLite complains of leaves here as OutboxUnavailable; a damaged file is set aside and the
next call works on a fresh one.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError, OutboxUnavailable
from edgeagent.outbox import mark, retention, schema, trouble
from edgeagent.outbox.books import Books
from edgeagent.outbox.file import File
from edgeagent.outbox.ledger import Account, Ledger, runs_of
from edgeagent.outbox.pace import Pace
from edgeagent.outbox.record import RecordDamaged, RecordUnknown, age_s, pack, restamp, unpack
from edgeagent.outbox.salvage import Found, Salvage
from edgeagent.ports import Batch, DeadLetter, Delivery, Lane, OutboxPlan, OutboxStats, Row, UplinkStats
from edgeagent.reading import Kind, Moment, Quantity, Reading, ReadingClass, TimeTrust

__all__ = ["Store"]

_log = logging.getLogger(__name__)
_CLASS = {ReadingClass.ALARM: 0, ReadingClass.LIVE: 1, ReadingClass.ROUTINE: 2}
_MOST_NOTICES = 100
_HIGH, _LOW = 0.97, 0.95  # thinning begins and ends at these shares of the room
_STEP = 5000  # rows looked at in one step of thinning
_STEPS = 10  # steps before one put: its caller waits for them
_SALVAGE_S = 3.0  # of reading a damaged file before work begins; the rest is read between calls
_SALVAGE_PAGES = 64  # read at a time
_FEW = 50  # a stage waits until so many ids are new to it


def _readable(record: bytes) -> Reading | None:
    with contextlib.suppress(RecordUnknown, RecordDamaged):
        return unpack(record)
    return None


def _run(db: sqlite3.Connection, sql: str, rows: list[tuple[int]]) -> None:
    db.executemany(sql, rows)


class _New(msgspec.Struct):
    """Readings on their way into the file; streams: number and row id of the newest, by name."""

    readings: list[Reading]
    rows: list[tuple[int, int, bytes]]
    streams: dict[str, tuple[int, int]]
    boots: dict[str, int]


class Store:
    """Rows, numbers and accounts in one SQLite file.

    Args:
        path: the database file; its folder is made if need be.
        clock: for trusted moments and the names of files set aside.
        max_bytes: how large the file may grow.
        dead_letters: how many refused readings are kept to be looked at.
        uplinks: ids of the configured uplinks.

    Attributes:
        notices: what a person should know and no caller was told: a file set aside, rows lost.
    """

    def __init__(self, path: Path, clock: Clock, *, max_bytes: int, dead_letters: int, uplinks: Iterable[str]) -> None:
        self.notices: list[EdgeAgentError] = []
        self._clock = clock
        self._uplinks = tuple(uplinks)
        self._dead_letters = dead_letters
        self._file = File(path, max_bytes=max_bytes, clock=clock)
        self._pace = Pace(clock.mono())
        self._wreck: Salvage | None = None
        self._look_for_wrecks = True
        self._start(first_id=0)
        began_s = clock.mono()
        with contextlib.suppress(OutboxUnavailable):  # is in the notices; a start must not fail for the sake of it
            while self._salvage() and clock.mono() - began_s < _SALVAGE_S:
                pass

    # -- opening -----------------------------------------------------------------------------

    def _start(self, *, first_id: int) -> None:
        """Open the file, or set it aside and open a fresh one whose row ids start above `first_id`."""
        try:
            try:
                self._load(first_id)
            except sqlite3.DatabaseError as error:
                if not trouble.is_damage(error, opening=True):
                    raise
                self._notice(self._file.set_aside(error))
                self._load(first_id)
        except sqlite3.Error as error:
            self._file.drop()
            raise self._file.trouble(error) from error
        except BaseException:
            self._file.drop()  # an open file would keep the next attempt out
            raise

    def _load(self, first_id: int) -> None:
        try:
            self._read_all(first_id)
        except (KeyError, TypeError, ValueError) as error:  # SQLite read it, and it makes no sense
            raise trouble.NotOurs(f"{type(error).__name__}: {error}") from error

    def _read_all(self, first_id: int) -> None:
        self._file.open()
        db = self._file.db
        self._mark = mark.read(self._file.path)
        numbers = dict(db.execute("SELECT name, value FROM numbers"))
        if not numbers and db.execute("SELECT count(*) FROM accounts").fetchone()[0] == 0:  # a fresh file
            numbers = {"base": self._mark, "lost": 0, "thinned": 0}
            with self._file.transaction():
                db.executemany(schema.SET_NUMBER, numbers.items())
                Books.begin(self._file, first_id)
        db.execute(schema.PRUNE_BOOTS)
        self._base, self._salvaged = numbers["base"], numbers.get("salvaged", 0)
        self._streams: dict[str, int] = dict(db.execute("SELECT name, last FROM streams"))
        self._accepted = self._salvaged + sum(self._streams.values()) - self._base * len(self._streams)
        self._offsets: dict[str, int] = dict(db.execute("SELECT boot_id, offset_ms FROM boots"))
        self._books = Books(self._file, self._uplinks, dead_letters=self._dead_letters)
        self._brought: dict[str, int] = {}
        self._reached = [0] * len(retention.STAGES)

    @property
    def _ledger(self) -> Ledger:
        return self._books.ledger

    # -- the three verbs ---------------------------------------------------------------------

    def put(self, readings: Sequence[Reading]) -> list[Reading]:
        """Store readings in one transaction, fsynced on return.

        Raises:
            OutboxUnavailable: nothing of this call was stored.
        """
        self._salvage()
        with self._door():
            self._file.check_present()
            if self._file.fullness() > _HIGH:
                self._make_room()
            try:
                return self._add(readings)
            except sqlite3.OperationalError as error:
                if not trouble.is_full(error) or not self._make_room(all_of_it=True):
                    raise
                return self._add(readings)

    def _add(self, readings: Sequence[Reading]) -> list[Reading]:
        new = self._stamp(readings)
        with self._file.transaction():
            self._insert(new)
        self._note(new)
        if self._books.dirty:  # acknowledgements that a full disk kept from being written
            self._write_if_possible()  # the readings are stored, whatever becomes of this
        return new.readings

    def _stamp(self, readings: Sequence[Reading]) -> _New:
        """Give readings their numbers and row ids; nothing is stored yet."""
        new = _New([], [], {}, {})
        row = self._ledger.last
        for reading in readings:
            stream = reading.stream
            before = new.streams.get(stream)
            number = (before[0] if before else self._streams.get(stream, self._base)) + 1
            stamped = msgspec.structs.replace(reading, sequence=number)
            row += 1
            new.streams[stream] = (number, row)
            new.rows.append((row, _CLASS[reading.cls], pack(stamped)))
            new.readings.append(stamped)
            self._learn(reading.at, new.boots)
        highest = max((number for number, _ in new.streams.values()), default=0)
        if highest > self._mark:
            mark.write(self._file.path, highest + mark.STEP)
            self._mark = highest + mark.STEP
        return new

    def _insert(self, new: _New) -> None:
        db = self._file.db
        db.executemany(schema.ADD_ROW, new.rows)
        db.executemany(schema.SET_STREAM, [(name, *ends) for name, ends in new.streams.items()])
        if new.boots:
            db.executemany(schema.ADD_BOOT, new.boots.items())

    def _note(self, new: _New) -> None:
        """What was stored is true in RAM too."""
        self._streams.update((name, number) for name, (number, _) in new.streams.items())
        self._offsets.update(new.boots)
        self._accepted += len(new.rows)
        self._pace.stored(self._clock.mono(), len(new.rows), sum(len(record) for _, _, record in new.rows))
        for stored in new.readings:
            self._ledger.add(stored.stream, alarm=stored.cls is ReadingClass.ALARM)

    def lease(self, uplink: str, limit: int, *, backfill: bool, together: bool = False) -> Batch:
        """Up to `limit` rows this uplink may have now; none if there are none."""
        self._salvage()
        with self._door():
            while True:
                lost = self._ledger.lost
                lane, found = self._find(uplink, limit, backfill=backfill, together=together)
                self._ledger.lease(uplink, found)
                self._learn_now()
                rows = [row for row in map(self._read, found.items()) if row is not None]
                if self._books.dirty:
                    self._write_if_possible()
                if self._ledger.lost > lost:
                    count = self._ledger.lost - lost
                    self._notice(OutboxUnavailable("outbox.rows-lost", file=str(self._file.path), count=count))
                if rows or not found:
                    return Batch(uplink, tuple(rows), lane, self._ledger.owed(uplink) == len(rows))

    def release(self, uplink: str, ids: Iterable[int]) -> None:
        """Take a lease back that nobody received."""
        self._ledger.release(uplink, ids)

    def settle(self, uplink: str, ids: Iterable[int], delivery: Delivery) -> None:
        """Forget what was accepted, bury what was refused, make the rest leasable again.

        Raises:
            OutboxUnavailable: not written yet; it is remembered and written with the next transaction.
        """
        with self._door():
            leased = set(ids)
            gone = self._ledger.accept(uplink, leased & delivery.accepted)
            refused = leased & delivery.rejected.keys() - delivery.accepted
            if refused:
                fresh, more = self._ledger.reject(uplink, refused)
                gone += more
                self._books.bury(uplink, {row: delivery.rejected[row] for row in fresh}, self._clock.now().wall_ms)
            self._books.forget(gone)
            self._ledger.release(uplink, leased - delivery.accepted - refused)
            if self._books.dirty:
                self._books.write()

    def stats(self) -> OutboxStats:
        """Counts."""
        self._salvage()
        with self._door():
            ledger, now = self._ledger, self._clock.now()
            oldest = {name: self._oldest_s(account, now) for name, account in ledger.accounts.items()}
            return OutboxStats(
                accepted=self._accepted,
                acknowledged=ledger.store.acknowledged,
                waiting=ledger.waiting,
                thinned=ledger.thinned,
                lost=ledger.lost,
                oldest_s=self._oldest_s(ledger.store, now),
                bytes=self._file.used_bytes(),
                uplinks={
                    name: UplinkStats(
                        account.acknowledged, ledger.last - len(account.settled), account.dead, oldest[name]
                    )
                    for name, account in ledger.accounts.items()
                },
            )

    def plan(self) -> OutboxPlan:
        """How long an outage may last at the pace of the last hour."""
        with self._door():
            free = max(int(self._file.room_bytes() * _HIGH) - self._file.used_bytes(), 0)
            return self._pace.plan(self._clock.mono(), free)

    def close(self) -> None:
        """Write what is still only in RAM, fold the WAL into the file, let go."""
        with self._door():
            try:
                if self._books.dirty:
                    self._books.write()
            finally:
                self._file.drop()

    # -- reading -----------------------------------------------------------------------------

    def _find(self, uplink: str, limit: int, *, backfill: bool, together: bool) -> tuple[Lane, dict[int, bytes]]:
        while True:
            lane, ids = self._ledger.urgent(uplink, limit, backfill=backfill, together=together)
            if not ids:
                break
            found = self._pick(ids)
            if found:
                return lane, found
        return lane, self._scan(uplink, limit) if backfill else {}

    def _pick(self, ids: Iterable[int]) -> dict[int, bytes]:
        """Rows by id; what should be there and is not was lost by the disk."""
        db, found = self._file.db, {}
        for row in ids:
            got = db.execute(schema.ONE, (row,)).fetchone()
            if got is None:
                self._books.forget(self._ledger.lose(row, row))
            else:
                found[row] = got[0]
        return found

    def _scan(self, uplink: str, limit: int) -> dict[int, bytes]:
        """The oldest rows this uplink may have."""
        db = self._file.db
        found: dict[int, bytes] = {}
        run = self._ledger.next_open(uplink)
        while run is not None and len(found) < limit:
            first, last = run
            wanted = limit - len(found)
            got = db.execute(schema.NEXT, (first, last, wanted)).fetchall()
            seen = last if len(got) < wanted else got[-1][0]
            if len(got) != seen - first + 1 or got[0][0] != first:
                self._lose_missing(first, seen, [row for row, _ in got])
            found.update(got)
            run = self._ledger.next_open(uplink, seen)
        return found

    def _read(self, item: tuple[int, bytes]) -> Row | None:
        row, record = item
        try:
            return Row(row, restamp(unpack(record), self._offsets))
        except RecordUnknown as error:  # stays leased, hence unsent and waiting, until a newer edgeagent starts
            if not any(notice.code == error.code for notice in self.notices):
                self._notice(error)
        except RecordDamaged as error:
            self._books.bury("", {row: str(error)}, self._clock.now().wall_ms)
            self._books.forget(self._ledger.lose(row, row))
        return None

    def _lose_missing(self, first: int, last: int, here: list[int]) -> None:
        """Ids have no holes, so a row that should be in first..last and is not was lost by the disk."""
        if any(not last_one < row <= last for last_one, row in itertools.pairwise((first - 1, *here))):
            raise trouble.NotOurs("rows out of order")
        present = runs_of(here)
        ends = [first - 1, *(end for _, end in present)]
        starts = [*(start for start, _ in present), last + 1]
        for end, start in zip(ends, starts, strict=True):
            if end + 1 < start:
                self._books.forget(self._ledger.lose(end + 1, start - 1))

    def _oldest_s(self, account: Account, now: Moment) -> float:
        for first, _ in account.settled.gaps(1, self._ledger.last):
            found = self._file.db.execute(schema.ONE, (first,)).fetchone()
            if found is None:
                continue
            with contextlib.suppress(RecordUnknown, RecordDamaged):
                return age_s(restamp(unpack(found[0]), self._offsets).at, now)
        return 0.0

    # -- writing -----------------------------------------------------------------------------

    def _learn(self, at: Moment, offsets: dict[str, int]) -> None:
        if at.boot_id not in self._offsets and at.trust is TimeTrust.SYNCED:
            offsets.setdefault(at.boot_id, at.wall_ms - at.mono_ms)

    def _learn_now(self) -> None:
        """The clock may have become trusted since the last reading was put."""
        offsets: dict[str, int] = {}
        self._learn(self._clock.now(), offsets)
        if offsets:
            with contextlib.suppress(sqlite3.OperationalError):  # told with the next moment, then
                with self._file.transaction():
                    self._file.db.executemany(schema.ADD_BOOT, offsets.items())
                self._offsets.update(offsets)

    def _write_if_possible(self) -> None:
        """A full or read-only disk leaves the books dirty until a later write; damage is raised."""
        with contextlib.suppress(sqlite3.OperationalError):
            self._books.write()

    # -- making room -------------------------------------------------------------------------

    def _make_room(self, *, all_of_it: bool = False) -> bool:
        """Thin until there is room again, but not for longer than a put may wait.

        Args:
            all_of_it: go on as long as there is something to thin: without it the put fails.

        Returns:
            Whether anything went.
        """
        before = self._ledger.thinned
        for step in itertools.count():
            if step >= _STEPS and not all_of_it:
                break
            if self._file.fullness() <= (_LOW / 2 if all_of_it else _LOW) or not self._thin():
                break
        return self._ledger.thinned > before

    def _thin(self) -> bool:
        """One step; False when there is nothing left that may go."""
        ledger = self._ledger
        boundary = ledger.last - max(_FEW, ledger.waiting // 10)
        floor = ledger.store.settled.floor
        begins = [max(reached, floor) for reached in self._reached]
        index = next((at for at, begin in enumerate(begins) if begin + _FEW <= boundary), None)
        if index is None:
            return False
        begin, stage = begins[index], retention.STAGES[index]
        found = self._file.db.execute(schema.OLD, (begin, boundary, _STEP)).fetchall()
        self._reached[index] = found[-1][0] if len(found) == _STEP else boundary
        classes = {_CLASS[cls] for cls in stage.classes} | ({_CLASS[ReadingClass.ROUTINE]} if stage.gaps else set())
        rows = []
        for row, cls, record in found:
            if cls in classes and not ledger.on_lease(row):
                with contextlib.suppress(RecordUnknown, RecordDamaged):  # met and counted when it is leased
                    rows.append(Row(row, unpack(record)))
        cut = retention.cut(rows, stage, ledger.order.newest, ledger.untouched)
        return not cut.gone or self._replace(cut)

    def _replace(self, cut: retention.Cut) -> bool:
        """Delete, change and add in one transaction, so that every loss is named or did not happen."""
        if self._books.dirty:
            self._books.write()
        new = self._stamp(cut.gaps)

        def write() -> None:
            self._file.db.executemany(schema.CHANGE_ROW, [(pack(row.reading), row.id) for row in cut.changed])
            self._insert(new)

        for run in runs_of(cut.gone):
            self._books.forget(self._ledger.thin(*run))
        if not self._write_or_reread(write):
            return False
        self._note(new)
        return True

    def _write_or_reread(self, also: Callable[[], None]) -> bool:
        """Write; if that fails the ledger is ahead of the file, which is therefore read anew."""
        try:
            self._books.write(also)
        except sqlite3.OperationalError as error:
            _log.warning("%s: not written: %s", self._file.path, error)
            self._file.drop()
            self._start(first_id=self._ledger.last)
            return False
        return True

    # -- bringing back -----------------------------------------------------------------------

    def _salvage(self) -> bool:
        """Bring some rows of a damaged file back; False when there is none (any more)."""
        with self._door():
            if self._wreck is None and self._look_for_wrecks:
                self._wreck = self._next_wreck()
            wreck = self._wreck
            if wreck is None:
                return False
            if self._file.fullness() > _HIGH and self._thin() and self._file.fullness() > _HIGH:
                return True
            try:
                found = wreck.read(_SALVAGE_PAGES)
            except OSError as error:
                self._notice(trouble.of_file(error, wreck.path))
                self._end_salvage(wreck)
                return True
            if not self._bring_back(wreck, found):
                wreck.close()
                self._wreck = None  # from where the file remembers it, at the next call
                return False
            if wreck.done:
                self._end_salvage(wreck)
            return True

    def _next_wreck(self) -> Salvage | None:
        path = self._file.unread()
        if path is None:
            self._look_for_wrecks = False
            return None
        got = self._file.db.execute("SELECT value FROM numbers WHERE name = ?", (path.name,)).fetchone()
        try:
            return Salvage(path, self._uplinks, page=got[0] if got else 0)
        except OSError as error:
            self._notice(trouble.of_file(error, path))
            self._file.was_read(path)
            return None

    def _bring_back(self, wreck: Salvage, found: Found) -> bool:
        """Rows keep their numbers; who had them already is not owed them again."""
        boots = {name: offset_ms for name, offset_ms in found.boots.items() if name not in self._offsets}
        items = [
            (reading, [name for name in self._ledger.accounts if old in wreck.settled[name]])
            for old, reading in sorted(found.rows.items())
        ]

        def write() -> None:
            self._file.db.executemany(schema.ADD_BOOT, boots.items())
            self._file.db.execute(schema.SET_NUMBER, (wreck.path.name, wreck.page))

        if not self._readmit(items, write):
            return False
        self._offsets.update(boots)
        return True

    def _readmit(self, items: Sequence[tuple[Reading, Iterable[str]]], also: Callable[[], None]) -> bool:
        """Store readings that have their numbers already, under new ids.

        Args:
            items: each reading with the uplinks it is not owed to.
            also: what else belongs into the transaction.

        Returns:
            False when it could not be written.
        """
        newest: dict[str, tuple[int, int]] = {}
        rows, settled = [], []
        for row, (reading, names) in enumerate(items, self._ledger.last + 1):
            stream = reading.stream
            rows.append((row, _CLASS[reading.cls], pack(reading)))
            if self._streams.get(stream, self._base) == self._base and reading.sequence >= self._brought.get(stream, 0):
                newest[stream] = (self._base, row)
                self._brought[stream] = reading.sequence
            settled += [(row, name) for name in names]
        ends = {row: stream for stream, (_, row) in newest.items()}

        def write() -> None:
            db = self._file.db
            db.executemany(schema.ADD_ROW, rows)
            db.executemany(schema.SET_STREAM, [(name, *end) for name, end in newest.items()])
            db.execute(schema.SET_NUMBER, ("salvaged", self._salvaged + len(rows)))
            also()

        for row, cls, _ in rows:
            self._ledger.add(ends.get(row), alarm=cls == _CLASS[ReadingClass.ALARM])
        for row, name in settled:
            self._ledger.settle_unsent(name, row)
        if not self._write_or_reread(write):
            return False
        self._streams.update((name, self._base) for name in newest if name not in self._streams)
        self._salvaged += len(rows)
        self._accepted += len(rows)
        return True

    def waiting(self, after: int, limit: int) -> list[Row]:
        """Rows owed to anybody, from above id `after`; what cannot be read is left out."""
        with self._door():
            found = self._file.db.execute(schema.OLD, (after, self._ledger.last, limit)).fetchall()
            readings = ((row, _readable(record)) for row, _, record in found)
            return [Row(row, restamp(reading, self._offsets)) for row, reading in readings if reading is not None]

    def take_in(self, readings: Sequence[Reading]) -> int:
        """Store readings that another store has numbered, owed to every uplink; how many."""
        with self._door():
            items: list[tuple[Reading, Iterable[str]]] = [(reading, ()) for reading in readings]
            if not self._readmit(items, lambda: None):
                raise OutboxUnavailable("outbox.io", file=str(self._file.path), why="import")
            return len(items)

    # -- dead letters ------------------------------------------------------------------------

    def dead_letters(self, after: int, limit: int) -> list[DeadLetter]:
        """What was refused for good, oldest first, from above letter `after`."""
        with self._door():
            return [
                DeadLetter(number, uplink, wall_ms, reason, _readable(record))
                for number, uplink, wall_ms, reason, record in self._file.db.execute(schema.DEAD, (after, limit))
            ]

    def retry_dead(self, numbers: Iterable[int]) -> int:
        """Owe these to their uplinks again.

        Returns:
            How many; damaged ones and those of uplinks no longer configured stay.
        """
        with self._door():
            items, done = [], []
            for number in numbers:
                found = self._file.db.execute(schema.DEAD, (number - 1, 1)).fetchone()
                if found is None or found[0] != number or found[1] not in self._ledger.accounts:
                    continue
                reading = _readable(found[4])
                if reading is not None:
                    items.append((reading, [name for name in self._ledger.accounts if name != found[1]]))
                    done.append((number,))
            if not items:
                return 0
            if not self._readmit(items, lambda: _run(self._file.db, schema.DROP_DEAD, done)):
                raise OutboxUnavailable("outbox.io", file=str(self._file.path), why="retry")
            self._books.letters_gone(len(done))
            return len(done)

    def _end_salvage(self, wreck: Salvage) -> None:
        wreck.close()
        missing = wreck.missing()
        found = len(wreck.seen)
        self._file.was_read(wreck.path)
        self._wreck = None
        self._notice(OutboxUnavailable("outbox.salvaged", file=str(wreck.path), count=found, missing=missing))
        if missing:
            at = self._clock.now()
            quantities = {"readings": Quantity(missing)}
            facts = {"reason": "damaged", "class": "any", "ranges": ""}
            self._add(
                [Reading(source="outbox", kind=Kind.GAP, entity="outbox", at=at, quantities=quantities, facts=facts)]
            )

    # -- trouble -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _door(self) -> Iterator[None]:
        if not self._file.is_open:  # the last attempt to start afresh failed
            self._start(first_id=self._ledger.last)
        try:
            yield
        except sqlite3.Error as error:
            if not trouble.is_damage(error):
                raise self._file.trouble(error) from error
            set_aside = self._file.set_aside(error)
            self._look_for_wrecks = True
            self._notice(set_aside)
            self._start(first_id=self._ledger.last)  # ids of rows still out on lease are not given again
            raise set_aside from error

    def _notice(self, error: EdgeAgentError) -> None:
        _log.warning("%s", error)
        self.notices.append(error)
        del self.notices[:-_MOST_NOTICES]
