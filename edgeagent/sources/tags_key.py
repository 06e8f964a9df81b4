"""Where the secret behind the pseudonyms comes from.

A systemd credential ($CREDENTIALS_DIRECTORY/<name>) when the unit passes one, so that city and
gateway share it; else a file of that name in the state directory, made at the first start from 32
random bytes and readable by the agent alone.  The key is the text of the file without white space
at its ends, so that `echo` and an editor make the same key.
"""

from __future__ import annotations

import os
from pathlib import Path

from edgeagent.errors import SourceUnavailable

__all__ = ["read_key"]

_LEAST_BYTES = 16


def read_key(name: str, state_dir: Path) -> bytes:
    """The key.

    Raises:
        SourceUnavailable: `tags.key-unusable` (no permission, unwritable state directory) or
            `tags.key-short`.
    """
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    file = Path(credentials) / name if credentials and (Path(credentials) / name).exists() else state_dir / name
    try:
        if not file.exists():
            _make(file)
        key = file.read_bytes().strip()
    except OSError as error:
        raise SourceUnavailable("tags.key-unusable", file=str(file), why=error.strerror or str(error)) from error
    if len(key) < _LEAST_BYTES:
        raise SourceUnavailable("tags.key-short", file=str(file), bytes=len(key), least=_LEAST_BYTES)
    return key


def _make(file: Path) -> None:
    """Written beside and moved into place: a power cut leaves no half key."""
    beside = file.with_name(f"{file.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(os.urandom(32).hex() + "\n")
        out.flush()
        os.fsync(out.fileno())
    beside.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
