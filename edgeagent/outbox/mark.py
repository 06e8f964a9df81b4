"""A number beside the store that no sequence number has passed.

If the file is lost or set aside, numbering goes on above the mark: a sequence number names one
reading for ever, and the city uses it to throw repeats away.  The mark runs ahead by STEP, so it
is written once in STEP readings.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from edgeagent.outbox import trouble

__all__ = ["STEP", "as_owner_of", "read", "write"]

STEP = 100_000
_log = logging.getLogger(__name__)


def _file(store: Path) -> Path:
    return store.with_name(store.name + ".mark")


def as_owner_of(store: Path, handle: int) -> None:
    """Give a new file to the store's owner: root may work on the store by hand, the agent is not root."""
    if os.geteuid() == 0:
        found = store.stat()
        os.fchown(handle, found.st_uid, found.st_gid)


def read(store: Path) -> int:
    """The mark of a store; 0 where there never was one."""
    try:
        return int(_file(store).read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0
    except (ValueError, UnicodeDecodeError):
        _log.warning("%s is unreadable; sequence numbers go on from the store alone", _file(store))
        return 0
    except OSError as error:
        raise trouble.of_file(error, _file(store)) from error


def write(store: Path, mark: int) -> None:
    """Replace the mark, durably.

    Raises:
        OutboxUnavailable: it could not be written.
    """
    target = _file(store)
    part = target.with_name(target.name + ".part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            as_owner_of(store, handle)
            os.write(handle, b"%d\n" % mark)
            os.fsync(handle)
        finally:
            os.close(handle)
        part.rename(target)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise trouble.of_file(error, target) from error
