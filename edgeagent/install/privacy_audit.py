"""What is on the disk about people, by field, and whether anything of it is raw.

Every byte of every file in the state directory is searched for addresses and tag ids: also what SQLite has
deleted and not yet overwritten, the WAL, logs and whatever somebody left there.  The readings that are still
stored are listed by kind and field; the daemon is not needed for that, nor disturbed.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from edgeagent.config import Config
from edgeagent.errors import EdgeAgentError
from edgeagent.outbox.salvage import Salvage
from edgeagent.reading import Reading
from edgeagent.sources.tags_config import BleTagsConfig, profiles_of
from edgeagent.wire.raw_ids import RawIds

__all__ = ["Audit", "Field", "OnDisk", "Raw", "audit"]

_CHUNK, _OVERLAP = 1 << 20, 128
_PAGES = 256


class OnDisk(msgspec.Struct, frozen=True):
    """A file in the state directory; `what` is a key of the message catalogue `privacy`."""

    file: str
    bytes: int
    what: str


class Field(msgspec.Struct, frozen=True):
    """So many stored readings of a kind carry this field (`fact:<name>` for provenance)."""

    kind: str
    field: str
    readings: int


class Raw(msgspec.Struct, frozen=True):
    """Something that must not be there: how many of `address`, `tag-id` or `config-id`, and where."""

    place: str
    what: str
    found: int


class Audit(msgspec.Struct, frozen=True):
    """The result; fine when `raw` is empty."""

    files: list[OnDisk]
    stored: list[Field]
    raw: list[Raw]


def audit(config: Config) -> Audit:
    """Look at everything.

    Raises:
        EdgeAgentError: `privacy.unreadable` for a state directory that may not be read.
    """
    state_dir = Path(config.gateway.state_dir)
    sections = [s.config for s in config.sources if isinstance(s.config, BleTagsConfig)]
    look = _what_is_raw(sections)
    raw = [Raw(f"sources.{s.id}.tags", "config-id", n) for s in sections if (n := sum(bool(t.id) for t in s.tags))]
    files = []
    try:
        for file in sorted(p for p in state_dir.rglob("*") if p.is_file()):
            name = str(file.relative_to(state_dir))
            files.append(OnDisk(name, file.stat().st_size, _kind_of(name)))
            raw += [Raw(name, what, found) for what, found in sorted(_search(file, look).items())]
        stored = _fields(_stored(state_dir / "outbox.db"))
    except OSError as error:
        why = error.strerror or str(error)
        raise EdgeAgentError("privacy.unreadable", file=error.filename or state_dir, why=why) from error
    return Audit(files, stored, raw)


def _what_is_raw(sections: Iterable[BleTagsConfig]) -> RawIds:
    profiles = {profile.layout.name for section in sections for profile in profiles_of(section)}
    known = {tag.id for section in sections for tag in section.tags if tag.id}
    return RawIds(profiles, known, {one for section in sections for one in section.adapters if one})


def _search(file: Path, look: RawIds) -> Counter[str]:
    """Piece by piece: an outbox may be larger than the memory."""
    found: Counter[str] = Counter()
    with file.open("rb") as source:
        before = b""
        while piece := source.read(_CHUNK):
            found.update(look.found(before + piece))
            before = piece[-_OVERLAP:]
            found.subtract(look.found(before))  # it is seen again with the next piece
        found.update(look.found(before))
    return +found


def _stored(store: Path) -> Iterator[Reading]:
    if not store.is_file():
        return
    with contextlib.closing(Salvage(store, ())) as salvage:
        while not salvage.done:
            yield from salvage.read(_PAGES).rows.values()


def _fields(readings: Iterable[Reading]) -> list[Field]:
    counted: Counter[tuple[str, str]] = Counter()
    for reading in readings:
        for name in (*reading.quantities, *(f"fact:{fact}" for fact in reading.facts)):
            counted[reading.kind.value, name] += 1
    return [Field(kind, name, readings) for (kind, name), readings in sorted(counted.items())]


def _kind_of(name: str) -> str:
    for beginning, what in (
        ("outbox.db", "file-outbox"),
        ("tags-told-", "file-told"),
        ("tags-enrolled", "file-enrolled"),
        ("tags-keys", "file-tag-keys"),
        ("tags-key", "file-key"),
        ("walk-test", "file-walk"),
        ("report/", "file-report"),
    ):
        if name.startswith(beginning):
            return what
    return "file-other"
