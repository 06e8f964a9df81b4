"""Which rows an uplink gets first: alarms, then what is newest, then the rest.  Pure, in RAM.

After an outage the city wants to know how high the river is, and only then how it got there.  So
the newest row of each stream is kept by id (the file remembers it too, in `streams`), and for each
uplink the rows among them, and among the alarms, that it may still lease.  Everything else is
backfill, which needs no list: it is what the ledger has open, from the oldest on.  A lease
therefore costs the same with ten rows waiting as with a million.

Live values alone could keep a slow uplink busy for ever; after LIVE_IN_A_ROW live batches that
were delivered whole the backfill gets its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from edgeagent.ports import Lane

__all__ = ["LIVE_IN_A_ROW", "Order"]

LIVE_IN_A_ROW = 4


class Order:
    """The rows that overtake others.

    Args:
        uplinks: ids of the uplinks.
    """

    def __init__(self, uplinks: Iterable[str] = ()) -> None:
        self._newest: dict[str, int] = {}
        self._stream: dict[int, str] = {}
        self._alarms: set[int] = set()
        self._open = {uplink: _Open() for uplink in uplinks}

    def rebuild(
        self, newest: Mapping[str, int], alarms: Iterable[int], owed: Mapping[str, Callable[[int], bool]]
    ) -> None:
        """Begin anew with what is stored.

        Args:
            newest: row id by stream, of the rows that are still there.
            alarms: ids of the alarm rows that are still there.
            owed: by uplink, whether it may lease a row.
        """
        self._newest = dict(newest)
        self._stream = {row: stream for stream, row in newest.items()}
        self._alarms = set(alarms)
        self._open = {}
        for uplink, may in owed.items():
            self._open[uplink] = opened = _Open()
            opened.alarms = {row for row in self._alarms if may(row)}
            opened.live = {row for row in self._stream if may(row)}

    def add(self, row: int, stream: str | None, *, alarm: bool) -> None:
        """A new row, which is now the newest of its stream; None when it is not."""
        if stream is None:
            if alarm:
                self._alarms.add(row)
                for opened in self._open.values():
                    opened.alarms.add(row)
            return
        before = self._newest.get(stream)
        if before is not None:
            del self._stream[before]
        self._newest[stream] = row
        self._stream[row] = stream
        if alarm:
            self._alarms.add(row)
        for opened in self._open.values():
            if before is not None:
                opened.live.discard(before)
            opened.live.add(row)
            if alarm:
                opened.alarms.add(row)

    @property
    def newest(self) -> Collection[int]:
        """Ids of the rows that are the newest of their stream."""
        return self._stream.keys()

    def take(self, uplink: str, first: int, last: int) -> None:
        """Rows this uplink has on lease, or needs no more."""
        opened = self._open[uplink]
        for rows in (opened.alarms, opened.live):
            _drop(rows, first, last)

    def give_back(self, uplink: str, first: int, last: int) -> None:
        """Rows this uplink may lease again: their delivery did not work out."""
        opened = self._open[uplink]
        opened.streak = 0
        opened.alarms.update(_within(self._alarms, first, last))
        opened.live.update(_within(self._stream, first, last))

    def gone(self, first: int, last: int) -> None:
        """Rows that are no longer there."""
        for row in _within(self._stream, first, last):
            del self._newest[self._stream.pop(row)]
        _drop(self._alarms, first, last)

    def urgent(self, uplink: str, limit: int, *, owed: int = 0, live: bool = True) -> tuple[Lane, list[int]]:
        """The ids to lease now, oldest first; none for the backfill, which the ledger knows.

        Args:
            uplink: whose turn it is.
            limit: ids at most.
            owed: how many rows it could have if it wants backfill, else 0.
            live: whether it wants newest rows.
        """
        opened = self._open[uplink]
        if opened.alarms:
            return "alarm", sorted(opened.alarms)[:limit]
        if live and opened.live and (opened.streak < LIVE_IN_A_ROW or owed <= len(opened.live)):
            opened.streak += 1
            return "live", sorted(opened.live)[:limit]
        opened.streak = 0
        return "backfill", []


class _Open:
    """What one uplink may lease ahead of its turn, and how often in a row it did."""

    __slots__ = ("alarms", "live", "streak")

    def __init__(self) -> None:
        self.alarms: set[int] = set()
        self.live: set[int] = set()
        self.streak = 0


def _within(rows: set[int] | dict[int, str], first: int, last: int) -> list[int]:
    """The rows from first to last, whichever of the two is shorter being walked through."""
    if last - first < len(rows):
        return [row for row in range(first, last + 1) if row in rows]
    return [row for row in rows if first <= row <= last]


def _drop(rows: set[int], first: int, last: int) -> None:
    if first == last:
        rows.discard(first)
    else:
        rows.difference_update(_within(rows, first, last))
