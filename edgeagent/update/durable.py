"""Files that are whole after a power cut: write beside, fsync, rename, fsync the directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

__all__ = ["folder", "held", "remove_tree", "rename", "sync_folder", "write"]


def write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a file by another; after a power cut it is the old one or the new one.

    Raises:
        OSError: the old one is still there.
    """
    beside = path.with_name(path.name + ".new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    rename(beside, path)


def rename(old: Path, new: Path) -> None:
    """Rename within one folder, durably."""
    os.replace(old, new)  # noqa: PTH105  the crash tests count this call
    sync_folder(new.parent)


def sync_folder(path: Path) -> None:
    """Make names created, renamed or removed in a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def folder(path: Path, *, mode: int = 0o700) -> None:
    """Make a folder, and those above it that are missing; each name is durable before the next is made in it.

    Raises:
        OSError: it could not be made.
    """
    if path.is_dir():
        return
    folder(path.parent, mode=mode)
    path.mkdir(mode=mode, exist_ok=True)
    sync_folder(path.parent)


def remove_tree(path: Path) -> None:
    """Remove a folder with everything in it; what cannot be removed now is removed another time."""
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a lock while the context is open; the kernel lets go of it when the process dies.

    Yields:
        False when somebody else holds it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(handle)
