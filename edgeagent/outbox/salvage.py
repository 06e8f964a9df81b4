"""A damaged store -> the readings that can still be read, page by page, without SQLite.

SQLite refuses a whole file for one bad header or interior page, though the readings lie in leaf
pages that are sound.  So the pages are read as the file format says (sqlite.org/fileformat2.html,
sections 1.6, 2.1 and 4): table leaf pages (13) for rows and boots, index leaf pages (10) for the
accounts and runs.  First the WAL, from its newest frame back, whatever its checksums say, then the
file.  Every record carries a CRC, so a page that is no longer in use, or half overwritten, yields
either what was once stored or nothing.

Old pages also hold rows that were deleted because everybody had them; the accounts tell.  What is
settled stays settled, so the highest floor and every run found anywhere are good, if their checksum
is.  Where the accounts cannot be read, rows are delivered a second time rather than not at all.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

import msgspec

from edgeagent.errors import OutboxUnavailable
from edgeagent.outbox.ledger import STORE, Ids, Ledger
from edgeagent.outbox.record import unpack
from edgeagent.outbox.schema import check
from edgeagent.reading import Reading

__all__ = ["Found", "Salvage"]

_PAGE = 4096
_TABLE_LEAF, _INDEX_LEAF = 13, 10
_LOCAL = {_TABLE_LEAF: _PAGE - 35, _INDEX_LEAF: (_PAGE - 12) * 64 // 255 - 23}  # payload kept in the page
_LEAST = (_PAGE - 12) * 32 // 255 - 23
_TABLES = 64  # the first pages: all tables began there
_WAL_HEAD, _FRAME_HEAD = 32, 24
_MOST_PAYLOAD = 4 << 20
_SIZES = (0, 1, 2, 3, 4, 6, 8)  # bytes of integers by serial type

_Value: TypeAlias = int | str | bytes | None


class Found(msgspec.Struct):
    """What some pages held: readings still owed, by the id they had, and boot offsets."""

    rows: dict[int, Reading]
    boots: dict[str, int]


class Salvage:
    """Reads one damaged file, a few pages at a time.

    Args:
        path: the file, set aside.
        uplinks: ids of the configured uplinks.
        place: rows of so many frames and pages were brought back before.
        rows: (first, last) id of the rows wanted; a last of 0 for all there are.

    Attributes:
        place: frames and pages read so far.
        brought: rows found since this object was made.
        settled: ids that need nothing more, by uplink.
    """

    def __init__(self, path: Path, uplinks: Collection[str], *, place: int = 0, rows: tuple[int, int] = (1, 0)) -> None:
        self.path = path
        self.place = 0
        self.brought = 0
        self._had, (self._first, self._last) = place, rows
        self._seen = Ids()
        self._file: BinaryIO = path.open("rb")
        self._pages = -(-path.stat().st_size // _PAGE)  # the last one may be cut: what of it is there counts
        self._frames = _read_wal(path)
        self._newest = dict(reversed(self._frames))
        self.settled = {name: Ids() for name in (STORE, *uplinks)}
        pages = (self._page(number) for number in range(1, min(_TABLES, self._pages) + 1))
        for page in itertools.chain(pages, (page for _, page in self._frames)):
            for columns in self._records(page, _INDEX_LEAF):
                self._learn(columns)

    def learn(self, ledger: Ledger) -> None:
        """Believe what was known of the file in RAM about rows that need nothing more."""
        for name, account in ((STORE, ledger.store), *ledger.accounts.items()):
            if name in self.settled:
                for first, last in ((1, account.settled.floor), *account.settled.runs):
                    self.settled[name].add(first, last)

    @property
    def done(self) -> bool:
        """Whether everything was read."""
        return self.place >= len(self._frames) + self._pages

    def read(self, pages: int) -> Found:
        """What the next pages hold and no page before them held."""
        found = Found({}, {})
        for _ in range(pages):
            if self.done:
                break
            at = self.place
            page = self._frames[at][1] if at < len(self._frames) else self._page(at - len(self._frames) + 1)
            self.place += 1
            self._take(page, found if self.place > self._had else Found({}, {}))
        self.brought += len(found.rows)
        return found

    def missing(self) -> int:
        """Rows that must have been there, were owed to somebody, and were not found."""
        gone = self.settled[STORE]
        return sum(
            after - before + 1
            for first, last in gone.gaps(self._first, self._last or max(self._seen.last, gone.last))
            for before, after in self._seen.gaps(first, last)
        )

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _page(self, number: int) -> bytes:
        self._file.seek((number - 1) * _PAGE)
        return self._file.read(_PAGE).ljust(_PAGE, b"\0")

    def _take(self, page: bytes, found: Found) -> None:
        for columns in self._records(page, _TABLE_LEAF):
            match columns:
                case [int(row), int(), bytes(record)] if row not in self._seen and self._wanted(row):
                    with contextlib.suppress(OutboxUnavailable):
                        found.rows[row] = unpack(record)
                        self._seen.add(row, row)
                case [int(), str(boot), int(offset_ms)]:
                    found.boots[boot] = offset_ms

    def _wanted(self, row: int) -> bool:
        return row >= self._first and (not self._last or row <= self._last) and not self._gone(row)

    def _gone(self, row: int) -> bool:
        return row in self.settled[STORE] or (
            len(self.settled) > 1 and all(row in ids for name, ids in self.settled.items() if name != STORE)
        )

    def _learn(self, columns: list[_Value]) -> None:
        match columns:
            case [str(name), int(floor), int(), int(), int(crc), *_] if name in self.settled:
                if crc == check(name, floor):
                    self.settled[name].add(1, floor)
            case [str(name), int(first), int(last), int(crc)] if name in self.settled:
                if crc == check(name, first, last):
                    self.settled[name].add(first, last)

    def _records(self, page: bytes, kind: int) -> Iterator[list[_Value]]:
        """The records of a leaf page; a table's begin with the row id."""
        head = 100 if page[:6] == b"SQLite" else 0
        if len(page) < _PAGE or page[head] != kind:
            return
        count = int.from_bytes(page[head + 3 : head + 5], "big")
        for at in range(head + 8, min(head + 8 + 2 * count, _PAGE - 1), 2):
            with contextlib.suppress(ValueError, IndexError):  # this cell is damaged, the next need not be
                yield self._record(page, int.from_bytes(page[at : at + 2], "big"), kind)

    def _record(self, page: bytes, at: int, kind: int) -> list[_Value]:
        size, at = _varint(page, at)
        row = None
        if kind == _TABLE_LEAF:
            row, at = _varint(page, at)
        payload = self._payload(page, at, size, _LOCAL[kind])
        head, at = _varint(payload, 0)
        types = []
        while at < head:
            serial, at = _varint(payload, at)
            types.append(serial)
        values = list(_values(payload, head, types))
        if row is not None and values and values[0] is None:
            values[0] = row
        return values

    def _payload(self, page: bytes, at: int, size: int, local: int) -> bytes:
        if size > _MOST_PAYLOAD:
            raise ValueError(size)
        if size <= local:
            return page[at : at + size]
        here = _LEAST + (size - _LEAST) % (_PAGE - 4)
        if here > local:
            here = _LEAST
        parts = [page[at : at + here]]
        following = int.from_bytes(page[at + here : at + here + 4], "big")
        for _ in range(size // (_PAGE - 4) + 1):
            if not 0 < following <= self._pages and following not in self._newest:
                break
            more = self._newest.get(following) or self._page(following)
            parts.append(more[4:])
            following = int.from_bytes(more[:4], "big")
        return b"".join(parts)[:size]


def _values(payload: bytes, at: int, types: list[int]) -> Iterator[_Value]:
    for serial in types:
        if serial >= 12:  # noqa: PLR2004  the format's number
            size = (serial - 12) // 2
            raw = payload[at : at + size]
            if len(raw) < size:
                raise ValueError("cut")
            yield raw.decode() if serial % 2 else raw
        elif serial in (8, 9):
            size = 0
            yield serial - 8
        elif serial < len(_SIZES):
            size = _SIZES[serial]
            yield int.from_bytes(payload[at : at + size], "big", signed=True) if serial else None
        else:
            raise ValueError(serial)
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for step in range(9):
        byte = raw[at + step]
        if step == 8:  # noqa: PLR2004  the ninth byte gives all its bits
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004
            return value, at + step + 1
    raise ValueError(raw)


def _read_wal(path: Path) -> list[tuple[int, bytes]]:
    """(page number, page) of every frame in the WAL beside the file: this round's newest first, then older ones."""
    try:
        raw = path.with_name(path.name + "-wal").read_bytes()
    except OSError:
        return []
    frames = []
    for at in range(_WAL_HEAD, len(raw) - _FRAME_HEAD, _FRAME_HEAD + _PAGE):
        page = raw[at + _FRAME_HEAD : at + _FRAME_HEAD + _PAGE].ljust(_PAGE, b"\0")
        frames.append((raw[at + 8 : at + 16] == raw[16:24], raw[at : at + 4], page))
    frames.sort(key=lambda frame: frame[0])  # stable: within a round they stay in order
    return [(int.from_bytes(number, "big"), page) for _, number, page in reversed(frames)]
