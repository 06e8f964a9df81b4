"""Empty the state directory: keys, readings, names of tags, everything, when a box changes hands or was opened.

Small files are overwritten before they are removed.  On flash the old pages may survive that: what makes
them worthless is that the city stops using the box's key.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import msgspec

from edgeagent.errors import EdgeAgentError, Refused

__all__ = ["Removed", "empty", "look"]

_SMALL = 1 << 16
_NEVER = ("/", "/home", "/root", "/etc", "/usr", "/var", "/var/lib", "/boot", "/opt", "/tmp", "/srv", "/mnt", "/media")  # noqa: S108  never to be emptied
_OURS = ("outbox.db", "control.sock", "tags-key", "tags-enrolled")


class Removed(msgspec.Struct, frozen=True):
    """One file, relative to the state directory."""

    file: str
    bytes: int


def look(state_dir: Path) -> list[Removed]:
    """What would be removed.

    Raises:
        Refused: `wipe.not-ours` for a directory that does not look like edgeagent's, `wipe.running` while
            something holds its outbox.
    """
    here = state_dir.resolve()
    if not here.is_dir():
        return []
    found = [Removed(str(file.relative_to(here)), file.lstat().st_size) for file in _files(here)]
    if str(here) in _NEVER or here == Path.home() or (found and not any((here / name).exists() for name in _OURS)):
        raise Refused("wipe.not-ours", path=here)
    if _held(here / "outbox.db"):
        raise Refused("wipe.running", path=here)
    return found


def empty(state_dir: Path) -> list[Removed]:
    """Remove it all; the directory itself stays.

    Raises:
        Refused: as `look`.
        EdgeAgentError: `wipe.failed` with the first file that would not go; the others are gone.
    """
    found, here, failed = look(state_dir), state_dir.resolve(), None
    for one in found:
        try:
            _remove(here / one.file)
        except OSError as error:
            failed = failed or EdgeAgentError("wipe.failed", file=one.file, why=error.strerror or str(error))
    for folder, _, _ in os.walk(here, topdown=False):
        if Path(folder) != here and not any(Path(folder).iterdir()):
            Path(folder).rmdir()
    if failed is not None:
        raise failed
    return found


def _files(here: Path) -> list[Path]:
    """Files, links and sockets; what links point to is somebody else's."""
    found = []
    for folder, folders, files in os.walk(here):
        found += [Path(folder) / name for name in files]
        found += [Path(folder) / name for name in folders if (Path(folder) / name).is_symlink()]
    return sorted(found)


def _remove(file: Path) -> None:
    if file.is_file() and not file.is_symlink() and file.stat().st_size <= _SMALL:
        with file.open("r+b") as old:
            old.write(bytes(file.stat().st_size))
            old.flush()
            os.fsync(old.fileno())
    file.unlink()


def _held(store: Path) -> bool:
    """Whether a process has the outbox open: the daemon locks it for as long as it runs."""
    if not store.is_file():
        return False
    try:
        link = sqlite3.connect(f"file:{store}?mode=rw", uri=True, timeout=0)
        try:
            link.execute("BEGIN IMMEDIATE")
            link.rollback()
        finally:
            link.close()
    except sqlite3.OperationalError as error:
        return "locked" in str(error)
    except sqlite3.DatabaseError:  # damaged: nobody runs on it
        return False
    return False
