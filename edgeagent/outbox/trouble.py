"""What SQLite and the file system complain of -> our errors, each with its remedy in `messages`."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from edgeagent.errors import OutboxUnavailable

__all__ = ["NotOurs", "is_damage", "is_full", "of_file", "of_sqlite"]

_PRIMARY = 0xFF  # extended result codes keep the primary one in the low byte
_CODES = {
    sqlite3.SQLITE_READONLY: "outbox.read-only",
    sqlite3.SQLITE_BUSY: "outbox.in-use",
    sqlite3.SQLITE_LOCKED: "outbox.in-use",
    sqlite3.SQLITE_CANTOPEN: "outbox.unwritable",
    sqlite3.SQLITE_PERM: "outbox.unwritable",
}
_SURROUNDINGS = frozenset(_CODES) | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM}
_ERRNOS = {
    errno.ENOSPC: "outbox.disk-full",
    errno.EDQUOT: "outbox.disk-full",
    errno.EROFS: "outbox.read-only",
    errno.EACCES: "outbox.unwritable",
    errno.EPERM: "outbox.unwritable",
    errno.ENOTDIR: "outbox.unwritable",
    errno.EEXIST: "outbox.unwritable",
    errno.EISDIR: "outbox.unwritable",
}


class NotOurs(sqlite3.DatabaseError):
    """A file that SQLite can read and this version cannot use."""

    sqlite_errorcode = sqlite3.SQLITE_NOTADB


def _code(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", None) or 0) & _PRIMARY


def is_damage(error: sqlite3.Error, *, opening: bool = False) -> bool:
    """Whether the file's content, not its surroundings, is at fault.

    Args:
        error: what was raised.
        opening: while a file is opened, everything that is not the fault of disk, rights or another
            process is the content's: a damaged schema is a mere syntax error to SQLite.
    """
    if opening:
        return _code(error) not in _SURROUNDINGS
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT)


def is_full(error: sqlite3.Error) -> bool:
    """Whether the quota or the disk is used up."""
    return _code(error) == sqlite3.SQLITE_FULL


def of_sqlite(error: sqlite3.Error, path: Path, *, quota: int | None = None) -> OutboxUnavailable:
    """Our error for one of SQLite's.

    Args:
        error: what was raised.
        path: the file.
        quota: bytes the file may have, when it has reached them: tells a full quota from a full disk.
    """
    if is_full(error):
        if quota is not None:
            return OutboxUnavailable("outbox.full", file=str(path), bytes=quota)
        return OutboxUnavailable("outbox.disk-full", file=str(path))
    code = _CODES.get(_code(error), "outbox.io")
    return OutboxUnavailable(code, file=str(path), why=str(error))


def of_file(error: OSError, path: Path) -> OutboxUnavailable:
    """Our error for one of the file system's."""
    code = _ERRNOS.get(error.errno or 0, "outbox.io")
    why = os.strerror(error.errno) if error.errno else str(error)
    return OutboxUnavailable(code, file=str(path), why=why)
