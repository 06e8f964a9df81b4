"""The file's content: put, lease, settle, count; called from one thread.

What SQLite complains of leaves here as OutboxUnavailable; a damaged file is set aside and the
next call works on a fresh one.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError, OutboxUnavailable
from edgeagent.outbox import schema, trouble
from edgeagent.outbox.books import Books
from edgeagent.outbox.days import month_at
from edgeagent.outbox.file import File
from edgeagent.outbox.ledger import Account, Ledger
from edgeagent.outbox.pace import Pace
from edgeagent.outbox.record import RecordDamaged, RecordUnknown, age_s, restamp, unpack
from edgeagent.outbox.rescue import Rescue
from edgeagent.outbox.room import Room
from edgeagent.outbox.shelf import Shelf
from edgeagent.ports import Batch, DayBooks, DeadLetter, Delivery, Lane, OutboxPlan, OutboxStats, Row, UplinkStats
from edgeagent.reading import Moment, Reading

__all__ = ["Store"]

_log = logging.getLogger(__name__)
_MOST_NOTICES = 100
_SALVAGE_S = 3.0  # of reading a damaged file before work begins; the rest is read between calls


def _readable(record: bytes) -> Reading | None:
    with contextlib.suppress(RecordUnknown, RecordDamaged):
        return unpack(record)
    return None


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
        self._rescue = Rescue(self._file, self._uplinks, clock, self._notice)
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
            self._file.open()
            if self._file.tail_lost:
                self._notice(OutboxUnavailable("outbox.tail-lost", file=str(self._file.path)))
                self._rescue.look_again()
            self._shelf = Shelf(
                self._file,
                self._uplinks,
                clock=self._clock,
                pace=self._pace,
                dead_letters=self._dead_letters,
                first_id=first_id,
                reread=self._reread,
            )
        except (KeyError, TypeError, ValueError) as error:  # SQLite read it, and it makes no sense
            raise trouble.NotOurs(f"{type(error).__name__}: {error}") from error
        self._room = Room(self._shelf)

    def _reread(self) -> None:
        last = self._ledger.last
        self._file.drop()
        self._start(first_id=last)

    @property
    def _books(self) -> Books:
        return self._shelf.books

    @property
    def _ledger(self) -> Ledger:
        return self._shelf.ledger

    # -- the three verbs ---------------------------------------------------------------------

    def put(self, readings: Sequence[Reading]) -> list[Reading]:
        """Store readings in one transaction, fsynced on return.

        Raises:
            OutboxUnavailable: nothing of this call was stored.
        """
        self._salvage()
        with self._door():
            self._file.check_present()
            if self._room.scarce:
                self._room.make()
            with contextlib.suppress(sqlite3.OperationalError):  # a full disk: the old day stays open for a while
                self._shelf.turn_the_day()
            try:
                stored = self._shelf.add(readings)
            except sqlite3.OperationalError as error:
                if not trouble.is_full(error) or not self._room.make(all_of_it=True):
                    raise
                stored = self._shelf.add(readings)
            self._shelf.write_if_possible()  # acknowledgements that a full disk kept from being written
            return stored

    def lease(
        self, uplink: str, limit: int, *, backfill: bool = True, live: bool = True, together: bool = False
    ) -> Batch:
        """Up to `limit` rows this uplink may have now; none if there are none."""
        self._salvage()
        with self._door():
            while True:
                lost = self._ledger.lost
                lane, found = self._find(uplink, limit, backfill=backfill, live=live, together=together)
                self._ledger.lease(uplink, found)
                self._shelf.learn_now()
                rows = [row for row in map(self._read, found.items()) if row is not None]
                self._shelf.write_if_possible()
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
            if delivery.bytes_sent:
                self._ledger.accounts[uplink].charge(month_at(self._clock.now()), delivery.bytes_sent)
            gone = self._ledger.accept(uplink, leased & delivery.accepted)
            refused = leased & delivery.rejected.keys() - delivery.accepted
            if refused:
                fresh, more = self._ledger.reject(uplink, refused)
                gone += more
                self._books.bury(uplink, {row: delivery.rejected[row] for row in fresh}, self._clock.now().wall_ms)
            self._books.forget(gone)
            kept = leased - delivery.accepted - refused
            self._ledger.release(uplink, kept)
            if delivery.bytes_sent:
                self._ledger.doubtful |= kept
            if self._books.dirty:
                self._books.write()

    def stats(self) -> OutboxStats:
        """Counts."""
        self._salvage()
        with self._door():
            ledger, now = self._ledger, self._clock.now()
            oldest = {name: self._oldest_s(account, now) for name, account in ledger.accounts.items()}
            return OutboxStats(
                accepted=self._shelf.accepted,
                acknowledged=ledger.store.acknowledged,
                waiting=ledger.waiting,
                thinned=ledger.thinned,
                lost=ledger.lost,
                oldest_s=self._oldest_s(ledger.store, now),
                bytes=self._file.used_bytes(),
                uplinks={
                    name: UplinkStats(
                        account.acknowledged,
                        ledger.last - len(account.settled),
                        account.dead,
                        oldest[name],
                        account.month,
                        account.sent,
                    )
                    for name, account in ledger.accounts.items()
                },
            )

    def plan(self) -> OutboxPlan:
        """How long an outage may last at the pace of the last hour."""
        with self._door():
            return self._pace.plan(self._clock.mono(), self._room.free_bytes())

    def day(self, day: int) -> DayBooks | None:
        """The books of a day, by its number (days.py), 0 for the open one; None when it is not in them."""
        with self._door():
            return self._shelf.day(day)

    def close(self) -> None:
        """Write what is still only in RAM, fold the WAL into the file, let go."""
        with self._door():
            try:
                if self._books.dirty:
                    self._books.write()
            finally:
                self._file.drop()

    # -- reading -----------------------------------------------------------------------------

    def _find(
        self, uplink: str, limit: int, *, backfill: bool, live: bool, together: bool
    ) -> tuple[Lane, dict[int, bytes]]:
        lane, ids = self._ledger.urgent(uplink, limit, backfill=backfill, live=live, together=together)
        if ids:
            return lane, self._pick(ids)
        return lane, self._scan(uplink, limit) if backfill else {}

    def _pick(self, ids: Iterable[int]) -> dict[int, bytes]:
        """Rows by id; see `_scan` about what should be there and is not."""
        db, found = self._file.db, {}
        for row in ids:
            got = db.execute(schema.ONE, (row,)).fetchone()
            if got is None:
                raise trouble.NotOurs(f"row {row} is missing")
            found[row] = got[0]
        return found

    def _scan(self, uplink: str, limit: int) -> dict[int, bytes]:
        """The oldest rows this uplink may have.

        Ids have no holes.  A damaged tree hides rows, or shows a page in another's place, without a
        complaint of SQLite; the rows themselves are mostly sound, and a salvage finds them.
        """
        db = self._file.db
        found: dict[int, bytes] = {}
        run = self._ledger.next_open(uplink)
        while run is not None and len(found) < limit:
            first, last = run
            wanted = limit - len(found)
            got = db.execute(schema.NEXT, (first, last, wanted)).fetchall()
            seen = last if len(got) < wanted else got[-1][0]
            if [row for row, _ in got] != list(range(first, seen + 1)):
                raise trouble.NotOurs(f"rows from {first} to {seen} are not all there")
            found.update(got)
            run = self._ledger.next_open(uplink, seen)
        return found

    def _read(self, item: tuple[int, bytes]) -> Row | None:
        row, record = item
        try:
            return Row(row, restamp(unpack(record), self._shelf.offsets))
        except RecordUnknown as error:  # stays leased, hence unsent and waiting, until a newer edgeagent starts
            if not any(notice.code == error.code for notice in self.notices):
                self._notice(error)
        except RecordDamaged as error:
            self._books.bury("", {row: str(error)}, self._clock.now().wall_ms)
            self._books.forget(self._ledger.lose(row, row))
        return None

    def _oldest_s(self, account: Account, now: Moment) -> float:
        for first, _ in account.settled.gaps(1, self._ledger.last):
            found = self._file.db.execute(schema.ONE, (first,)).fetchone()
            if found is None:
                continue
            with contextlib.suppress(RecordUnknown, RecordDamaged):
                return age_s(restamp(unpack(found[0]), self._shelf.offsets).at, now)
        return 0.0

    # -- carried by hand ---------------------------------------------------------------------

    def waiting(self, after: int, limit: int) -> list[Row]:
        """Rows owed to anybody, from above id `after`; what cannot be read is left out."""
        with self._door():
            found = self._file.db.execute(schema.OLD, (after, self._ledger.last, limit)).fetchall()
            readings = ((row, _readable(record)) for row, _, record in found)
            return [Row(row, restamp(reading, self._shelf.offsets)) for row, reading in readings if reading is not None]

    def take_in(self, readings: Sequence[Reading]) -> int:
        """Store readings that another store has numbered, owed to every uplink; how many."""
        with self._door():
            items: list[tuple[Reading, Iterable[str]]] = [(reading, ()) for reading in readings]
            if not self._shelf.readmit(items, lambda: None):
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

            def drop() -> None:
                self._file.db.executemany(schema.DROP_DEAD, done)

            if not self._shelf.readmit(items, drop):
                raise OutboxUnavailable("outbox.io", file=str(self._file.path), why="retry")
            self._books.letters_gone(len(done))
            return len(done)

    # -- trouble -----------------------------------------------------------------------------

    def _salvage(self) -> bool:
        """Bring some rows of a damaged file back; False when there is none (any more)."""
        with self._door():
            return self._rescue.step(self._shelf, self._room)

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
            self._rescue.look_again(Path(str(set_aside.facts["aside"])), self._ledger)
            self._notice(set_aside)
            self._start(first_id=self._ledger.last)  # ids of rows still out on lease are not given again
            raise set_aside from error

    def _notice(self, error: EdgeAgentError) -> None:
        _log.warning("%s", error)
        self.notices.append(error)
        del self.notices[:-_MOST_NOTICES]
