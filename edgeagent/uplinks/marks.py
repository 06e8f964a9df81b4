"""Marks that survive a restart, while they must.

A mark matters after a restart only when older rows of its stream still wait (their history
endpoint failed, say): without it the newest of *them* would be written over a newer state.  That
is rare, so the file is written then and only then; in normal operation the SD card sees nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from edgeagent.ports import Row
from edgeagent.uplinks.lanes import Marks

__all__ = ["MarksFile"]

_log = logging.getLogger(__name__)


class _Kept(msgspec.Struct, frozen=True):
    """What the file holds: marks by stream, and the streams whose state was left on an older row."""

    marks: dict[str, Row] = {}
    regressed: list[str] = []


class MarksFile:
    """The marks of one uplink and the file that keeps the needed ones.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = self._read()
        self.marks = Marks(self._kept.marks, self._kept.regressed)

    @property
    def holds(self) -> bool:
        """Whether the file has something in it."""
        return bool(self._kept.marks)

    def settle(self, rows: Iterable[Row], kept: Iterable[Row]) -> None:
        """After a delivery of `rows` of which `kept` remain: write what a restart would need."""
        seen = {row.reading.stream for row in rows}
        unseen = {s: self.marks.newest(s) or row for s, row in self._kept.marks.items() if s not in seen}
        needed = _Kept(unseen | self.marks.late(kept), sorted(self.marks.regressed))
        if needed != self._kept:
            self._write(needed)
            self._kept = needed

    def _read(self) -> _Kept:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return _Kept()
        except (OSError, msgspec.DecodeError) as error:  # without it we are as careful as on a first start
            _log.warning("marks in %s cannot be read: %s", self._path, error)
            return _Kept()

    def _write(self, needed: _Kept) -> None:
        new = self._path.with_suffix(".new")
        try:
            with new.open("wb") as file:
                file.write(msgspec.json.encode(needed))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            _log.warning("marks cannot be written to %s: %s", self._path, error)
