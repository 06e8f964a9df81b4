"""Who still owes what: row ids settled and leased, per uplink.  Pure.

Row ids count up from 1 without holes.  Each uplink has a floor (everything up to it is settled)
and runs settled ahead of it, so that one row kept for a week costs one run and not a list of all
that overtook it.  A row is gone once every uplink has settled it.  The nameless account "" is
the store itself: what is gone, and the totals; a new uplink starts as a copy of it, which is to
say with everything that is still there.

The ledger changes first, in RAM, and remembers what it has not yet written (`dirty`, `journal`):
on a full disk an acknowledgement is not forgotten, it is written with the next transaction.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TypeAlias

from edgeagent.outbox.order import Order
from edgeagent.ports import Lane

__all__ = ["STORE", "Account", "Ids", "Ledger", "Run", "runs_of"]

Run: TypeAlias = tuple[int, int]  # first and last id, both inside
STORE = ""


class Ids:
    """A set of row ids: all up to `floor`, and disjoint runs above it.

    Attributes:
        floor: every id from 1 to here is in the set.
        journal: runs changed since the last write: first id -> last id, None for a run that is no
            more; None for a set that is never written.
    """

    __slots__ = ("_firsts", "_lasts", "floor", "journal")

    def __init__(self, floor: int = 0, runs: Iterable[Run] = (), *, journal: bool = False) -> None:
        self.floor = floor
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self.journal: dict[int, int | None] | None = None
        for first, last in runs:
            self.add(first, last)
        if journal:
            self.journal = {}

    @property
    def runs(self) -> list[Run]:
        """The runs above the floor, ascending."""
        return list(zip(self._firsts, self._lasts, strict=True))

    @property
    def last(self) -> int:
        """The highest id in the set, 0 when it is empty."""
        return self._lasts[-1] if self._lasts else self.floor

    def __len__(self) -> int:
        return self.floor + sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def __contains__(self, row: int) -> bool:
        if row <= self.floor:
            return True
        at = bisect_right(self._firsts, row) - 1
        return at >= 0 and row <= self._lasts[at]

    def add(self, first: int, last: int) -> None:
        """Take ids first..last in; runs that touch become one."""
        first = max(first, self.floor + 1)
        if last < first:
            return
        begin = bisect_left(self._lasts, first - 1)
        end = bisect_right(self._firsts, last + 1)
        if begin < end:
            first, last = min(first, self._firsts[begin]), max(last, self._lasts[end - 1])
        self._replace(begin, end, [(first, last)])

    def discard(self, first: int, last: int) -> None:
        """Let ids first..last go."""
        if first <= self.floor:
            above = (last + 1, self.floor)
            self.floor = max(first - 1, 0)
            if above[0] <= above[1]:
                self._replace(0, 0, [above])
        begin = bisect_left(self._lasts, first)
        end = bisect_right(self._firsts, last)
        if begin < end:
            left = (self._firsts[begin], first - 1)
            right = (last + 1, self._lasts[end - 1])
            self._replace(begin, end, [run for run in (left, right) if run[0] <= run[1]])

    def gaps(self, first: int, last: int) -> Iterator[Run]:
        """Runs of ids within first..last that are not in the set."""
        here = max(first, self.floor + 1)
        at = bisect_left(self._lasts, here)
        while here <= last:
            if at == len(self._firsts) or self._firsts[at] > last:
                yield here, last
                return
            if here < self._firsts[at]:
                yield here, self._firsts[at] - 1
            here = self._lasts[at] + 1
            at += 1

    def within(self, first: int, last: int) -> Iterator[Run]:
        """Runs of ids within first..last that are in the set."""
        here = first
        for gap in self.gaps(first, last):
            if here < gap[0]:
                yield here, gap[0] - 1
            here = gap[1] + 1
        if here <= last:
            yield here, last

    def _replace(self, begin: int, end: int, runs: list[Run]) -> None:
        if self.journal is not None:
            for first in self._firsts[begin:end]:
                self.journal[first] = None
        if runs and runs[0][0] == self.floor + 1:
            self.floor = runs.pop(0)[1]
        self._firsts[begin:end] = [first for first, _ in runs]
        self._lasts[begin:end] = [last for _, last in runs]
        if self.journal is not None:
            self.journal.update(runs)


class Account:
    """One uplink's progress.

    Attributes:
        settled: ids that need nothing more; written to disk.
        taken: settled or leased; in RAM alone, because a lease does not outlive the process.
        acknowledged, dead: rows accepted and rows refused, since the uplink was configured.
        month, sent: a month (days.month_at) and the bytes sent in it.
        dirty: changed since it was last written.
    """

    __slots__ = ("acknowledged", "dead", "dirty", "month", "sent", "settled", "taken")

    def __init__(
        self,
        floor: int = 0,
        runs: Iterable[Run] = (),
        *,
        acknowledged: int = 0,
        dead: int = 0,
        month: int = 0,
        sent: int = 0,
    ) -> None:
        listed = list(runs)
        self.settled = Ids(floor, listed, journal=True)
        self.taken = Ids(floor, listed)
        self.acknowledged = acknowledged
        self.dead = dead
        self.month, self.sent = month, sent
        self.dirty = False

    def settle(self, first: int, last: int) -> list[Run]:
        """Mark ids as needing nothing more.

        Returns:
            The runs of them that were not settled before.
        """
        fresh = list(self.settled.gaps(first, last))
        if fresh:
            self.settled.add(first, last)
            self.taken.add(first, last)
            self.dirty = True
        return fresh

    def charge(self, month: int, sent: int) -> None:
        """Count bytes sent; a later month begins with nothing, an earlier one is a clock gone back."""
        if month > self.month:
            self.month, self.sent = month, 0
        self.sent += sent
        self.dirty = True

    def copy(self) -> Account:
        """A new account with the same ids settled, and nothing counted."""
        twin = Account(self.settled.floor)
        for first, last in self.settled.runs:  # through the journal: none of it is on disk yet
            twin.settle(first, last)
        twin.dirty = True
        return twin


class Ledger:
    """All accounts, and the one of the store itself.

    Attributes:
        last: the newest row id given.
        store: what is gone; its `acknowledged` counts rows that every uplink accepted, its `dead`
            rows that at least one refused.
        accounts: by uplink id.
        order: which rows overtake others.
        buried: rows refused by some uplink and still owed to another.
        doubtful: rows that a receiver may have though it never said so; known to this process alone.
        lost: rows that went without an acknowledgement.
        thinned: rows that made room for others, and are named in a gap.
    """

    def __init__(self, uplinks: Iterable[str] = (), *, last: int = 0) -> None:
        self.last = last
        self.store = Account(last)
        self.accounts = {uplink: Account(last) for uplink in uplinks}
        self.order = Order(self.accounts)
        self.buried: set[int] = set()
        self.doubtful: set[int] = set()
        self.lost = 0
        self.thinned = 0

    @property
    def waiting(self) -> int:
        """Rows still owed to somebody."""
        return self.last - len(self.store.settled)

    def urgent(
        self, uplink: str, limit: int, *, backfill: bool, live: bool = True, together: bool = False
    ) -> tuple[Lane, list[int]]:
        """The lane whose turn it is, and the ids to lease, oldest first; none for all that is open."""
        owed = self.last - len(self.accounts[uplink].taken) if backfill else 0
        lane, ids = self.order.urgent(uplink, limit, owed=owed, live=live)
        if together and lane != "alarm" and 0 < owed <= limit:
            return "live", []
        return lane, ids

    def next_open(self, uplink: str, after: int = 0) -> Run | None:
        """The first run of ids above `after` that this uplink may lease."""
        return next(self.accounts[uplink].taken.gaps(after + 1, self.last), None)

    def owed(self, uplink: str) -> int:
        """Rows this uplink still has to settle, on lease or not."""
        return self.last - len(self.accounts[uplink].settled)

    def open_ids(self, uplink: str) -> Iterator[int]:
        """Ids that this uplink may lease, oldest first."""
        for first, last in self.accounts[uplink].taken.gaps(1, self.last):
            yield from range(first, last + 1)

    def add(self, stream: str | None, *, alarm: bool) -> int:
        """A new row, owed to everybody; the newest of its stream, or of none.

        Returns:
            Its id.
        """
        self.last += 1
        self.order.add(self.last, stream, alarm=alarm)
        return self.last

    def begin_order(self, newest: Mapping[str, int], alarms: Iterable[int]) -> None:
        """Find out who may lease what first, after the accounts were read.

        Args:
            newest: id of the newest row ever stored, by stream; it may be gone.
            alarms: ids of the alarm rows that are still there.
        """
        here = {stream: row for stream, row in newest.items() if 0 < row <= self.last and row not in self.store.settled}
        owed = {name: partial(_lacks, account.taken) for name, account in self.accounts.items()}
        self.order.rebuild(here, alarms, owed)

    def lease(self, uplink: str, ids: Iterable[int]) -> None:
        """Note ids as leased."""
        for first, last in runs_of(ids):
            self.accounts[uplink].taken.add(first, last)
            self.order.take(uplink, first, last)

    def release(self, uplink: str, ids: Iterable[int]) -> None:
        """Make ids leasable again, except those settled meanwhile."""
        account = self.accounts[uplink]
        for first, last in runs_of(ids):
            for gap in list(account.settled.gaps(first, last)):
                account.taken.discard(*gap)
                self.order.give_back(uplink, *gap)

    def accept(self, uplink: str, ids: Iterable[int]) -> list[Run]:
        """Note acknowledged ids.

        Returns:
            Runs of rows that are now gone, to be deleted.
        """
        fresh = self._settle(uplink, ids)
        self.accounts[uplink].acknowledged += _size(fresh)
        return self._forget(fresh)

    def reject(self, uplink: str, ids: Iterable[int]) -> tuple[list[int], list[Run]]:
        """Note refused ids.

        Returns:
            The ids that were not settled before, and runs of rows that are now gone.
        """
        fresh = self._settle(uplink, ids)
        self.accounts[uplink].dead += _size(fresh)
        listed = [row for first, last in fresh for row in range(first, last + 1)]
        self.buried.update(listed)
        return listed, self._forget(fresh)

    def lose(self, first: int, last: int) -> list[Run]:
        """Note rows that nobody can read any more.

        Returns:
            Runs of rows that are gone by this.
        """
        gone = self._drop(first, last)
        self.lost += _size(gone)
        return gone

    def thin(self, first: int, last: int) -> list[Run]:
        """Note rows that make room for others.

        Returns:
            Runs of rows that are gone by this, to be deleted.
        """
        gone = self._drop(first, last)
        self.thinned += _size(gone)
        return gone

    def settle_unsent(self, uplink: str, row: int) -> None:
        """Note a row that this uplink had under another id."""
        self.accounts[uplink].settle(row, row)
        self.order.take(uplink, row, row)

    def on_lease(self, row: int) -> bool:
        """Whether somebody may be sending this row now."""
        return any(row in one.taken and row not in one.settled for one in self.accounts.values())

    def untouched(self, row: int) -> bool:
        """Whether no receiver has this row, as far as is known."""
        return row not in self.doubtful and not any(row in one.settled for one in self.accounts.values())

    def reconcile(self) -> list[Run]:
        """Forget what the configured uplinks have all settled, after the config has changed.

        Returns:
            Runs of rows that are now gone, to be deleted.
        """
        return self._forget([(1, self.last)]) if self.accounts else []

    def _drop(self, first: int, last: int) -> list[Run]:
        for name, account in self.accounts.items():
            account.settle(first, last)
            self.order.take(name, first, last)
        gone = self.store.settle(first, last)
        for begin, end in gone:
            self.order.gone(begin, end)
            for some in (self.buried, self.doubtful):
                some.difference_update(range(begin, end + 1))
        return gone

    def _settle(self, uplink: str, ids: Iterable[int]) -> list[Run]:
        fresh = [run for first, last in runs_of(ids) for run in self.accounts[uplink].settle(first, last)]
        for run in fresh:
            self.order.take(uplink, *run)
        return fresh

    def _forget(self, runs: list[Run]) -> list[Run]:
        for account in self.accounts.values():
            runs = [part for run in runs for part in account.settled.within(*run)]
        gone = [part for run in runs for part in self.store.settle(*run)]
        for first, last in gone:
            self.order.gone(first, last)
            if self.doubtful:
                self.doubtful.difference_update(range(first, last + 1))
        refused = 0
        if self.buried:
            for first, last in gone:
                ids = {row for row in self.buried if first <= row <= last}
                refused += len(ids)
                self.buried -= ids
        self.store.acknowledged += _size(gone) - refused
        self.store.dead += refused
        return gone


def runs_of(ids: Iterable[int]) -> list[Run]:
    """Ids in any order -> ascending runs of neighbours."""
    runs: list[Run] = []
    for row in sorted(ids):
        if runs and row <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], row)
        else:
            runs.append((row, row))
    return runs


def _lacks(ids: Ids, row: int) -> bool:
    return row not in ids


def _size(runs: Iterable[Run]) -> int:
    return sum(last - first + 1 for first, last in runs)
