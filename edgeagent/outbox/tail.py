"""The id of the newest row, noted beside the store after every commit.

SQLite drops a WAL from the first frame whose checksum is wrong, without a word: after a flipped bit
the newest readings would be gone and nobody would know.  The note is written after the commit is
durable and never synced, so it may be behind the file, which means nothing, and is never ahead of
it, unless the file has lost something.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from zlib import crc32

from edgeagent.outbox.mark import as_owner_of

__all__ = ["note", "read"]


def _file(store: Path) -> Path:
    return store.with_name(store.name + ".tail")


def note(store: Path, last: int) -> None:
    """Note the newest row.  A disk that refuses leaves the old note: it guards, nothing depends on it."""
    text = b"%020d" % last
    with contextlib.suppress(OSError):
        handle = _open(store)
        try:
            os.pwrite(handle, b"%s %08x\n" % (text, crc32(text)), 0)
        finally:
            os.close(handle)


def _open(store: Path) -> int:
    try:
        return os.open(_file(store), os.O_WRONLY)
    except FileNotFoundError:
        handle = os.open(_file(store), os.O_WRONLY | os.O_CREAT, 0o600)
        as_owner_of(store, handle)
        return handle


def read(store: Path) -> int:
    """The id that was noted; 0 where there is none that can be read."""
    try:
        text, checksum = _file(store).read_bytes().split()
        return int(text) if int(checksum, 16) == crc32(text) else 0
    except (OSError, ValueError):
        return 0
