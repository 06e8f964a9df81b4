"""Tags that an installer enrolled on site: `<keyed hash> [alias]` a line, nothing else.

The file is `tags-enrolled` in the state directory; `edgeagent scan ble --enrol` writes it, a source with
`enrolled = true` reads it.  May import besides the words: nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from edgeagent.errors import SourceUnavailable
from edgeagent.sources.small_file import write_durably
from edgeagent.sources.tags_key import lines_of

__all__ = ["FILE", "add_enrolled", "read_enrolled"]

FILE = "tags-enrolled"
_LINE = re.compile(r"(?P<hash>[0-9a-f]{32})(?:\s+(?P<alias>\S.*))?")


def read_enrolled(state_dir: Path) -> Mapping[str, str]:
    """Keyed hash -> alias (may be empty); nothing where there is no file.

    Raises:
        SourceUnavailable: `tags.bad-enrolled` with the line, or `tags.key-unusable`.
    """
    file = state_dir / FILE
    found = {}
    for number, text in lines_of(file):
        match = _LINE.fullmatch(text)
        if match is None:
            raise SourceUnavailable("tags.bad-enrolled", file=str(file), line=number)
        found[match["hash"]] = match["alias"] or ""
    return found


def add_enrolled(state_dir: Path, tag_hash: str, alias: str) -> bool:
    """Write one more line.

    Returns:
        False when the tag was there already (its alias is replaced when one is given).

    Raises:
        OSError: it could not be written.
        SourceUnavailable: what is there cannot be read.
    """
    before = read_enrolled(state_dir)
    after = {**before, tag_hash: alias or before.get(tag_hash, "")}
    write_durably(state_dir / FILE, "".join(f"{h} {a}".rstrip() + "\n" for h, a in after.items()).encode())
    return tag_hash not in before
