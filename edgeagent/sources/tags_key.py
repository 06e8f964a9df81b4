"""Where the secrets of tags come from: the one behind the pseudonyms, and those of encrypted tags.

A systemd credential ($CREDENTIALS_DIRECTORY/<name>) when the unit passes one, so that city and
gateway share it; else a file of that name in the state directory, made at the first start from 32
random bytes and readable by the agent alone.  The key is the text of the file without white space
at its ends, so that `echo` and an editor make the same key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from edgeagent.errors import SourceUnavailable
from edgeagent.sources.small_file import write_durably

__all__ = ["lines_of", "read_key", "read_tag_keys"]

_LEAST_BYTES = 16


def read_key(name: str, state_dir: Path) -> bytes:
    """The key.

    Raises:
        SourceUnavailable: `tags.key-unusable` (no permission, unwritable state directory) or
            `tags.key-short`.
    """
    file = _place(name, state_dir)
    try:
        if not file.exists():
            write_durably(file, f"{os.urandom(32).hex()}\n".encode())
        key = file.read_bytes().strip()
    except OSError as error:
        raise SourceUnavailable("tags.key-unusable", file=str(file), why=error.strerror or str(error)) from error
    if len(key) < _LEAST_BYTES:
        raise SourceUnavailable("tags.key-short", file=str(file), bytes=len(key), least=_LEAST_BYTES)
    return key


def lines_of(file: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of the lines that say something, `#` begins a comment; none where there is no file.

    Raises:
        SourceUnavailable: `tags.key-unusable`.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise SourceUnavailable("tags.key-unusable", file=str(file), why=why) from error
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if text:
            yield number, text


def read_tag_keys(name: str, state_dir: Path) -> dict[str, bytes]:
    """Keys of encrypted tags: `<keyed hash> <32 hex digits>` a line, `#` begins a comment.

    Args:
        name: of a systemd credential, else of a file in the state directory; no such file: no keys.
        state_dir: that directory.

    Raises:
        SourceUnavailable: `tags.key-unusable` or `tags.bad-tag-key`.
    """
    file = _place(name, state_dir)
    keys = {}
    for number, line in lines_of(file):
        words = line.lower().split()
        if len(words) != 2 or not all(re.fullmatch("[0-9a-f]{32}", word) for word in words):  # noqa: PLR2004  hash and key
            raise SourceUnavailable("tags.bad-tag-key", file=str(file), line=number)
        keys[words[0]] = bytes.fromhex(words[1])
    return keys


def _place(name: str, state_dir: Path) -> Path:
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(credentials) / name if credentials and (Path(credentials) / name).exists() else state_dir / name
