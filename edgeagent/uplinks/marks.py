"""Marks that survive a restart, while they must.

A mark matters after a restart only when older rows of its stream still wait: because their
history endpoint failed, or because they wait in the outbox behind live values that overtook them.
Without it the newest of *them* would be written over a newer state.  So the file is written then
and only then; in normal operation the SD card sees nothing.

The file is a log of JSON lines, each telling what changed; the first tells all.  While a backlog
drains, a line of a few hundred bytes per live value is added.  A torn last line is ignored.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from edgeagent.ports import Row
from edgeagent.uplinks.lanes import Marks

__all__ = ["MarksFile"]

_log = logging.getLogger(__name__)
_LONGEST = 1 << 20  # bytes; then the log is written anew


class _Kept(msgspec.Struct, frozen=True):
    """A line: marks by stream, and all streams whose state was left on an older row."""

    marks: dict[str, Row] = {}
    regressed: list[str] = []


class MarksFile:
    """The marks of one uplink and the file that keeps the needed ones.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0
        self._kept = self._read()
        self.marks = Marks(self._kept.marks, self._kept.regressed)

    @property
    def holds(self) -> bool:
        """Whether the file has something in it."""
        return bool(self._kept.marks)

    def settle(self, rows: Sequence[Row], kept: Iterable[Row], *, behind: bool = False) -> None:
        """After a delivery of `rows` of which `kept` remain: write what a restart would need.

        Args:
            rows: what was to be delivered.
            kept: those of them that wait on.
            behind: older rows of any stream may wait besides; else nothing waits but `kept`.
        """
        old: dict[str, Row] = {}
        if behind:
            streams = {row.reading.stream for row in rows} | self._kept.marks.keys()
            old = {s: mark for s in streams if (mark := self.marks.newest(s) or self._kept.marks.get(s)) is not None}
        needed = _Kept(old | self.marks.late(kept) | self._may_come_again(rows), sorted(self.marks.regressed))
        if needed == self._kept:
            return
        fresh = {s: mark for s, mark in needed.marks.items() if self._kept.marks.get(s) != mark}
        if self._kept.marks.keys() <= needed.marks.keys() and 0 < self._size < _LONGEST:
            self._append(_Kept(fresh, needed.regressed))
        else:
            self._write(needed)
        self._kept = needed

    def _may_come_again(self, rows: Sequence[Row]) -> dict[str, Row]:
        """Marks of earlier deliveries that are newer than some of `rows`.

        The outbox forgets `rows` only after this: with the power cut in between they come again,
        and their mark, settled long ago, does not.
        """
        ids = {row.id for row in rows}
        return {stream: mark for stream, mark in self.marks.late(rows).items() if mark.id not in ids}

    def _read(self) -> _Kept:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return _Kept()
        except OSError as error:  # without it we are as careful as on a first start
            _log.warning("marks in %s cannot be read: %s", self._path, error)
            return _Kept()
        kept = _Kept()
        for line in content.splitlines():
            try:
                told = msgspec.json.decode(line, type=_Kept)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                _log.warning("marks in %s: a line cannot be read: %s", self._path, error)
                continue
            kept = _Kept(kept.marks | told.marks, told.regressed)
        return kept  # its size stays 0: the next change writes the file anew, without torn lines

    def _append(self, change: _Kept) -> None:
        line = msgspec.json.encode(change) + b"\n"
        try:
            with self._path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            self._size += len(line)
        except OSError as error:
            self._size = 0
            _log.warning("marks cannot be written to %s: %s", self._path, error)

    def _write(self, needed: _Kept) -> None:
        new = self._path.with_suffix(".new")
        line = msgspec.json.encode(needed) + b"\n"
        try:
            with new.open("wb") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
            _sync_folder(self._path.parent)
            self._size = len(line)
        except OSError as error:
            self._size = 0
            _log.warning("marks cannot be written to %s: %s", self._path, error)


def _sync_folder(folder: Path) -> None:
    """A new name is durable only with its folder."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
