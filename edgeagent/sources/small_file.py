"""A small file that a power cut leaves whole: the old one or the new one.  May import: nothing."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["write_durably"]


def write_durably(file: Path, data: bytes) -> None:
    """Replace a file, readable by its owner alone; on the disk when this returns.

    What root writes (an installer with sudo) belongs to the owner of the directory, so that the daemon can read it.

    Raises:
        OSError: it could not be written; the old one is as it was.
    """
    beside = file.with_name(f"{file.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        if os.geteuid() == 0:
            owner = file.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
