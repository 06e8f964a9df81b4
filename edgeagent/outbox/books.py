"""The ledger on disk: read at the start, brought up to date after every settlement.

What could not be written stays dirty and goes with the next write, together with the dead letters
and the deletions that belong to it: one transaction, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from edgeagent.outbox import schema
from edgeagent.outbox.file import File
from edgeagent.outbox.ledger import STORE, Account, Ledger, Run

__all__ = ["Books"]

_CHUNK = 5000  # rows deleted in one transaction when an uplink was removed; keeps the WAL small


class Books:
    """The ledger and what of it is not yet on disk.

    Args:
        file: open.
        uplinks: ids of the configured uplinks.
        dead_letters: how many refused readings are kept to be looked at.
    """

    def __init__(self, file: File, uplinks: Iterable[str], *, dead_letters: int) -> None:
        self._file = file
        self._most_letters = dead_letters
        self._letters = file.db.execute(schema.COUNT_DEAD).fetchone()[0]
        self._dead: list[dict[str, object]] = []
        self._gone: list[Run] = []
        self.ledger = Ledger()
        self._open(tuple(uplinks))
        self._clear()

    @staticmethod
    def begin(file: File, first_id: int) -> None:
        """Write the first entry of a fresh file; row ids start above `first_id`."""
        file.db.execute(schema.ADD_ACCOUNT, (STORE,))
        file.db.execute(schema.SET_ACCOUNT, (first_id, schema.check(STORE, first_id), 0, 0, 0, 0, STORE))

    @property
    def dirty(self) -> bool:
        """Whether something is in RAM alone."""
        return bool(self._gone or self._dead) or any(account.dirty for _, account in self._accounts())

    def forget(self, runs: Iterable[Run]) -> None:
        """Rows to delete with the next write."""
        self._gone += runs

    def bury(self, uplink: str, reasons: Mapping[int, str], wall_ms: int) -> None:
        """Rows to keep as dead letters with the next write."""
        self._dead += [
            {"row": row, "uplink": uplink, "wall_ms": wall_ms, "reason": reason} for row, reason in reasons.items()
        ]

    def letters_gone(self, count: int) -> None:
        """Dead letters that were taken out of the file."""
        self._letters -= count

    def write(self, also: Callable[[], None] = lambda: None) -> None:
        """Bring the file up to the ledger.

        Args:
            also: what else belongs into the same transaction.

        Raises:
            sqlite3.Error: nothing was written; everything stays dirty.
        """
        db = self._file.db
        with self._file.reserve(), self._file.transaction():
            also()
            if self._dead:
                db.executemany(schema.ADD_DEAD, self._dead)
                surplus = self._letters + len(self._dead) - self._most_letters
                if surplus > 0:
                    db.execute(schema.PRUNE_DEAD, (surplus,))
            db.executemany(schema.DELETE_ROWS, self._gone)
            self._write_accounts()
            if self.ledger.lost != self._lost_written:
                db.execute(schema.SET_NUMBER, ("lost", self.ledger.lost))
            if self.ledger.thinned != self._thinned_written:
                db.execute(schema.SET_NUMBER, ("thinned", self.ledger.thinned))
        self._letters = min(self._letters + len(self._dead), self._most_letters)
        self._clear()

    def _accounts(self) -> list[tuple[str, Account]]:
        return [(STORE, self.ledger.store), *self.ledger.accounts.items()]

    def _write_accounts(self) -> None:
        db = self._file.db
        for name, account in self._accounts():
            if account.dirty:
                floor = account.settled.floor
                counts = (account.acknowledged, account.dead, account.month, account.sent)
                db.execute(schema.SET_ACCOUNT, (floor, schema.check(name, floor), *counts, name))
                for first, last in (account.settled.journal or {}).items():
                    if last is None:
                        db.execute(schema.DROP_RUN, (name, first))
                    else:
                        db.execute(schema.SET_RUN, (name, first, last, schema.check(name, first, last)))

    def _clear(self) -> None:
        self._gone, self._dead = [], []
        self._lost_written = self.ledger.lost
        self._thinned_written = self.ledger.thinned
        for _, account in self._accounts():
            account.dirty = False
            if account.settled.journal:
                account.settled.journal.clear()

    def _open(self, uplinks: tuple[str, ...]) -> None:
        db, ledger = self._file.db, self.ledger
        found = self._read_accounts()
        numbers = dict(db.execute("SELECT name, value FROM numbers"))
        ledger.lost = self._lost_written = numbers["lost"]
        ledger.thinned = self._thinned_written = numbers["thinned"]
        ledger.store = found.pop(STORE)
        # Every id ever given is of a row that is still here, or is settled by someone: none is given twice.
        newest = db.execute("SELECT coalesce(max(id), 0) FROM rows").fetchone()[0]
        ledger.last = max([newest, *(account.settled.last for account in (ledger.store, *found.values()))])
        self._check(newest, found.values())
        ledger.buried = {row for (row,) in db.execute("SELECT row FROM dead WHERE row IN (SELECT id FROM rows)")}
        ledger.accounts = {name: found.get(name) or ledger.store.copy() for name in uplinks}
        if found.keys() != set(uplinks):
            with self._file.reserve(), self._file.transaction():
                for name in found.keys() - set(uplinks):
                    db.execute(schema.DROP_ACCOUNT, (name,))
                    db.execute(schema.DROP_RUNS, (name,))
                for name in set(uplinks) - found.keys():
                    db.execute(schema.ADD_ACCOUNT, (name,))
                self._write_accounts()
            self._clear()
        for first, last in ledger.reconcile():  # the accounts on disk cover these: a crash here repeats it
            for begin in range(first, last + 1, _CHUNK):
                db.execute(schema.DELETE_ROWS, (begin, min(begin + _CHUNK - 1, last)))
        if self.dirty:
            self.write()
        newest = dict(db.execute("SELECT name, row FROM streams WHERE row > 0"))
        ledger.begin_order(newest, (row for (row,) in db.execute(schema.ALARMS)))

    def _check(self, newest: int, accounts: Iterable[Account]) -> None:
        """What is gone was settled by everybody, and nothing above the newest row is not gone."""
        gone = self.ledger.store.settled
        runs = [(1, gone.floor), *gone.runs]
        if any(True for _ in gone.gaps(newest + 1, self.ledger.last)) or any(
            True for account in accounts for run in runs for _ in account.settled.gaps(*run)
        ):
            raise ValueError("the accounts contradict each other")

    def _read_accounts(self) -> dict[str, Account]:
        db = self._file.db
        runs: dict[str, list[Run]] = {}
        for name, first, last, crc in db.execute(schema.RUNS):
            if crc not in (0, schema.check(name, first, last)):
                raise ValueError("a run of settled rows is garbled")
            runs.setdefault(name, []).append((first, last))
        accounts = {}
        for name, floor, crc, acknowledged, dead, month, sent in db.execute(schema.ACCOUNTS):
            if crc not in (0, schema.check(name, floor)):
                raise ValueError("an account is garbled")
            accounts[name] = Account(
                floor, runs.get(name, ()), acknowledged=acknowledged, dead=dead, month=month, sent=sent
            )
        return accounts
