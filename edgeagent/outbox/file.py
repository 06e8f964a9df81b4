"""The SQLite file: opened so that a power cut loses nothing, bounded, set aside when damaged.

WAL with `synchronous=FULL`: a commit that returned has been fsynced (with NORMAL a power cut took
up to 100 acknowledged rows with it).  `locking_mode=EXCLUSIVE` keeps a second process out and
needs no shared-memory file; with one connection the WAL-reset bug of SQLite before 3.51.3 cannot
be met.  `max_page_count` ends the file before the disk ends, because a disk that is full to the
last byte cannot be emptied by DELETE either: the WAL has no room to say so.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from edgeagent.clock import Clock
from edgeagent.errors import OutboxUnavailable
from edgeagent.outbox import schema, tail, trouble
from edgeagent.outbox.mark import as_owner_of

__all__ = ["File"]

_PAGE = 4096
_RESERVE_PAGES = 512  # for settling alone: what empties the store must not be refused for want of room
_DISK_MARGIN = 32 << 20  # bytes left free for the WAL, logs and the next update; a tenth of a small disk
_MOST_ASIDE = 2  # damaged files kept for a person to look at; each may be as large as the quota
_UNREAD = ".unread"  # a file of this tail beside a damaged one: it still holds readings
_PRAGMAS = (
    f"page_size = {_PAGE}",
    "locking_mode = EXCLUSIVE",  # before the first WAL access, else a shared-memory file is made
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 400",  # a short WAL is a short tail to lose to a flipped bit
    f"journal_size_limit = {4 << 20}",
    "secure_delete = OFF",  # Debian builds it in; writing zeros over sent readings only wears the card
    "temp_store = MEMORY",
)


class File:
    """One connection, used by one thread.

    Args:
        path: the database file; its folder is made if need be.
        max_bytes: how large it may grow.
        clock: names the files set aside.

    Attributes:
        tail_lost: SQLite dropped rows when the file was opened; what the WAL held was set aside.
    """

    def __init__(self, path: Path, *, max_bytes: int, clock: Clock) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._clock = clock
        self._db: sqlite3.Connection | None = None
        self._node: tuple[int, int] | None = None
        self._most_pages = 0
        self.tail_lost = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._db is not None

    @property
    def db(self) -> sqlite3.Connection:
        """The connection."""
        if self._db is None:
            raise OutboxUnavailable("outbox.closed", file=str(self.path))
        return self._db

    def open(self) -> None:
        """Open or make the file and bring its tables up to date.

        Raises:
            OutboxUnavailable: folder or file cannot be used.
            sqlite3.DatabaseError: SQLite says no; the caller decides whether to set the file aside.
        """
        made = self._touch()
        self._connect()
        version = self.db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(schema.STEPS):
            raise trouble.NotOurs(f"made by a newer edgeagent (schema {version}, known {len(schema.STEPS)})")
        last, noted = self._last_row() if version else 0, tail.read(self.path)
        if noted > last and not made:
            self._keep_tail(last, noted)  # before anything is written: the next write goes over it
        for number, step in enumerate(schema.STEPS[version:], version + 1):
            with self.transaction():
                for statement in step:
                    self.db.execute(statement)
                self.db.execute(f"PRAGMA user_version = {number}")
        if self.db.execute(schema.SHAPE).fetchall() != _right_shape():
            raise trouble.NotOurs("the tables are not those of an outbox")

    def drop(self) -> None:
        """Close; SQLite folds the WAL into the file."""
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):  # nothing that was committed depends on it
                db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; fsynced when it ends."""
        db = self.db
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def reserve(self) -> Iterator[None]:
        """Within, the file may grow into its reserve."""
        self._limit(self._most_pages + _RESERVE_PAGES)
        try:
            yield
        finally:
            self._limit(self._most_pages)

    def check_present(self) -> None:
        """Put the file back if its name was taken away under us.

        SQLite would go on writing into a file that no longer has a name, and every promise of
        durability would be false.

        Raises:
            OutboxUnavailable: the folder cannot be made again, or another file has taken the place.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._put_back()
            return
        except OSError as error:
            raise trouble.of_file(error, self.path) from error
        if (found.st_dev, found.st_ino) != self._node:
            raise OutboxUnavailable("outbox.replaced", file=str(self.path))

    def used_bytes(self) -> int:
        """Bytes of the file that hold something."""
        pages, free = (self.db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        return int(pages - free) * _PAGE

    def fullness(self) -> float:
        """Share of the room that is used."""
        return self.used_bytes() / self.room_bytes()

    def room_bytes(self) -> int:
        """Bytes that readings may take: the quota, or less where the disk has less."""
        return max(min(self._max_bytes, self._room()) // _PAGE - _RESERVE_PAGES, 16) * _PAGE

    def trouble(self, error: sqlite3.Error) -> OutboxUnavailable:
        """Our error for one of SQLite's, telling a used-up quota from a full disk."""
        quota = None
        if trouble.is_full(error):
            with contextlib.suppress(OSError):
                if self._room() > self._max_bytes:
                    quota = self._max_bytes
        return trouble.of_sqlite(error, self.path, quota=quota)

    def set_aside(self, why: Exception) -> OutboxUnavailable:
        """Close the file and rename it (and its WAL), so that a fresh one can take its place.

        Returns:
            What to tell.

        Raises:
            OutboxUnavailable: it cannot be renamed.
        """
        self.drop()
        aside = self._name_aside()
        try:
            aside.with_name(aside.name + _UNREAD).touch(0o600)
            for tail in ("-wal", ""):
                with contextlib.suppress(FileNotFoundError):
                    self.path.with_name(self.path.name + tail).rename(aside.with_name(aside.name + tail))
            self._forget_old()
        except OSError as error:
            raise trouble.of_file(error, self.path) from error
        return OutboxUnavailable("outbox.set-aside", file=str(self.path), aside=str(aside), why=str(why))

    def unread(self) -> Path | None:
        """The oldest file set aside whose readings have not been brought back.

        Raises:
            OutboxUnavailable: the folder cannot be read.
        """
        try:
            marks = sorted(self.path.parent.glob(f"{self.path.name}.bad-*{_UNREAD}"))
        except OSError as error:
            raise trouble.of_file(error, self.path.parent) from error
        return marks[0].with_name(marks[0].name.removesuffix(_UNREAD)) if marks else None

    def rows_aside(self, aside: Path) -> tuple[int, int]:
        """(first, last) row id wanted from a file set aside: the lost tail, or (1, 0) for whatever it has."""
        try:
            first, last = aside.with_name(aside.name + _UNREAD).read_text(encoding="ascii").split()
            return int(first), int(last)
        except (OSError, ValueError):
            return 1, 0

    def was_read(self, aside: Path) -> None:
        """Its readings have been brought back."""
        with contextlib.suppress(OSError):
            aside.with_name(aside.name + _UNREAD).unlink(missing_ok=True)

    def _last_row(self) -> int:
        """The highest row id the file knows of."""
        return int(self.db.execute(schema.LAST_ROW).fetchone()[0])

    def _keep_tail(self, last: int, noted: int) -> None:
        """Set the WAL's content aside, for the rows from last + 1 to noted that SQLite does not find in it."""
        aside = self._name_aside()
        wal = self.path.with_name(self.path.name + "-wal")
        try:
            with aside.with_name(aside.name + "-wal").open("xb") as copy:
                os.fchmod(copy.fileno(), 0o600)
                as_owner_of(self.path, copy.fileno())
                with contextlib.suppress(FileNotFoundError):
                    copy.write(wal.read_bytes())
                copy.flush()
                os.fsync(copy.fileno())
            aside.touch(0o600)
            mark = aside.with_name(aside.name + _UNREAD)
            mark.touch(0o600)
            mark.write_text(f"{last + 1} {noted}", encoding="ascii")
            self._forget_old()
        except OSError as error:
            raise trouble.of_file(error, self.path) from error
        self.tail_lost = True

    def _name_aside(self) -> Path:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock.now().wall_ms / 1000))
        aside = self.path.with_name(f"{self.path.name}.bad-{stamp}")
        count = 1
        while aside.exists():
            count += 1
            aside = self.path.with_name(f"{self.path.name}.bad-{stamp}-{count}")
        return aside

    def _forget_old(self) -> None:
        tails = ("-wal", _UNREAD)
        found = sorted(p for p in self.path.parent.glob(f"{self.path.name}.bad-*") if not p.name.endswith(tails))
        for old in found[:-_MOST_ASIDE]:
            for end in ("", *tails):
                old.with_name(old.name + end).unlink(missing_ok=True)

    def _touch(self) -> bool:
        """See to it that there is a file that only we can read; whether it had to be made."""
        made = False
        try:
            self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                made = True
            # never opened and closed here when it exists: that would drop SQLite's own fcntl locks
            self.path.chmod(0o600)
        except OSError as error:
            raise trouble.of_file(error, self.path) from error
        return made

    def _connect(self) -> None:
        self._db = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        for pragma in _PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}").close()
        self._db.execute("BEGIN IMMEDIATE")  # take the lock now: a second process shall fail at its start
        self._db.execute("COMMIT")
        found = self.path.stat()
        self._node = (found.st_dev, found.st_ino)
        self._most_pages = max(min(self._max_bytes, self._room()) // _PAGE - _RESERVE_PAGES, 16)
        self._limit(self._most_pages)

    def _room(self) -> int:
        """Bytes the file could have before the disk is as good as full."""
        disk = os.statvfs(self.path)
        margin = min(_DISK_MARGIN, disk.f_blocks * disk.f_frsize // 10)
        return self.path.stat().st_size + disk.f_bavail * disk.f_frsize - margin

    def _limit(self, pages: int) -> None:
        self.db.execute(f"PRAGMA max_page_count = {pages}").close()

    def _put_back(self) -> None:
        old = self.db
        self._touch()
        with contextlib.closing(sqlite3.connect(self.path)) as copy:
            old.backup(copy)
        self.drop()
        self._connect()


def _right_shape() -> list[tuple[str, str, str]]:
    """What SHAPE finds in a sound file: a flipped bit in a column's name shows only when it is used."""
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        for step in schema.STEPS:
            for statement in step:
                db.execute(statement)
        return db.execute(schema.SHAPE).fetchall()
