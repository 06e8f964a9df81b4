"""In which order the rows of a batch go out, so that a late value never stays as the newest.

No receiver compares times: the last write wins.  So per stream (one per kind and entity) the
newest acknowledged row is remembered as its *mark*, and a batch becomes

- `rounds`: what is written to the current state.  A round holds a stream at most once, rounds are
  sent in order, and the last row of a stream is the newest that exists.
- `history`: rows older than that, for a history endpoint (`temporal`, `quantumleap`), oldest first.
- `unsent`: rows older than that which the config says to drop.

A row older than the mark can only reach a receiver without a history endpoint by replay: it is
sent and the marked row after it, so the state ends on the newest (`replay-ending-on-newest`).

"Newer" is never the wall clock alone, for the board has no RTC: within a boot the monotonic clock
decides; across boots the wall clock if it was synchronised both times, else the sequence number.
Pure.
"""

from __future__ import annotations

import functools
import itertools
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from edgeagent.ports import Row
from edgeagent.reading import Reading, TimeTrust

__all__ = ["History", "Marks", "Plan", "compare", "in_order", "plan", "replay"]

History = Literal["temporal", "quantumleap", "replay-ending-on-newest", "drop"]
_MOST_MARKS = 4096  # tag pseudonyms change daily; the least recently written are forgotten


def compare(a: Reading, b: Reading) -> int:
    """Negative when `a` was observed before `b`, positive when after, 0 when it cannot be told."""
    mine, theirs = a.at, b.at
    if mine.boot_id == theirs.boot_id and mine.mono_ms != theirs.mono_ms:
        return mine.mono_ms - theirs.mono_ms
    across_boots = mine.boot_id != theirs.boot_id
    doubtful = across_boots and (mine.trust is not TimeTrust.SYNCED or theirs.trust is not TimeTrust.SYNCED)
    if doubtful and a.sequence and b.sequence:
        return a.sequence - b.sequence
    return mine.wall_ms - theirs.wall_ms or a.sequence - b.sequence


def in_order(rows: Sequence[Row]) -> Sequence[Row]:
    """Rows of one stream, oldest first; usually they are so already."""
    for before, after in itertools.pairwise(rows):
        if compare(before.reading, after.reading) > 0:
            return sorted(rows, key=functools.cmp_to_key(_compare_rows))
    return rows


def _compare_rows(a: Row, b: Row) -> int:
    return compare(a.reading, b.reading)


class Marks:
    """The newest acknowledged row by stream, and the streams whose state was left on an older one."""

    def __init__(self, rows: Mapping[str, Row] | None = None, regressed: Iterable[str] = ()) -> None:
        self._newest: OrderedDict[str, Row] = OrderedDict(rows or {})
        self._regressed = {stream for stream in regressed if stream in self._newest}

    def newest(self, stream: str) -> Row | None:
        """The mark of a stream."""
        return self._newest.get(stream)

    @property
    def regressed(self) -> Collection[str]:
        """Streams whose current state at the receiver is older than their mark."""
        return self._regressed

    def written(self, row: Row) -> None:
        """The receiver's current state of this stream is now this row."""
        stream = row.reading.stream
        mark = self._newest.get(stream)
        if mark is not None and compare(row.reading, mark.reading) < 0:
            self._regressed.add(stream)
            return
        self._regressed.discard(stream)
        self._newest[stream] = row
        self._newest.move_to_end(stream)
        if len(self._newest) > _MOST_MARKS:
            gone, _ = self._newest.popitem(last=False)
            self._regressed.discard(gone)

    def late(self, rows: Iterable[Row]) -> dict[str, Row]:
        """The marks that must outlive a restart: those with one of `rows` (kept) behind them."""
        needed = {}
        for row in rows:
            mark = self._newest.get(row.reading.stream)
            if mark is not None and mark.id != row.id and compare(row.reading, mark.reading) < 0:
                needed[row.reading.stream] = mark
        needed.update({s: self._newest[s] for s in self._regressed})
        return needed


class Plan(msgspec.Struct, frozen=True):
    """What goes where; see the head of this file."""

    rounds: list[list[Row]]
    history: dict[str, list[Row]]
    unsent: list[Row]


def replay(rows: Sequence[Row], marks: Marks) -> list[list[Row]]:
    """Rows by stream, each line oldest first and ending on the newest row that exists.

    A line of late rows only ends with the mark itself, which is not one of `rows`; so does a
    stream without rows whose state was left on an older one.
    """
    streams: dict[str, list[Row]] = {}
    for row in rows:
        streams.setdefault(row.reading.stream, []).append(row)
    lines = [[mark] for s in marks.regressed if s not in streams and (mark := marks.newest(s)) is not None]
    for stream, found in streams.items():
        line = list(in_order(found))
        mark = marks.newest(stream)
        if mark is not None and compare(line[-1].reading, mark.reading) < 0:
            line.append(mark)
        lines.append(line)
    return lines


def plan(rows: Sequence[Row], marks: Marks, history: History) -> Plan:
    """Sort the rows of a batch into rounds, history and unsent."""
    lines = replay(rows, marks)
    aside: dict[str, list[Row]] = {}
    unsent: list[Row] = []
    if history != "replay-ending-on-newest":
        live = []
        for line in lines:
            *late, newest = line
            stream = newest.reading.stream
            if late and history != "drop":
                aside[stream] = late
            unsent += late
            if newest is not marks.newest(stream) or stream in marks.regressed:
                live.append([newest])
        lines = live
    depth = max((len(line) for line in lines), default=0)
    rounds = [[line[i] for line in lines if i < len(line)] for i in range(depth)]
    return Plan(rounds, aside, unsent if history == "drop" else [])
