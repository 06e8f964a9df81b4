"""How fast readings come in, and how long the room lasts at that pace.  Pure."""

from __future__ import annotations

from collections import deque

from edgeagent.ports import OutboxPlan

__all__ = ["Pace"]

_HOUR_S = 3600.0
_SLOT_S = 60.0
_ROW = 12  # bytes of a row in the file beside its record: ids, lengths, its place in the page
_FILL = 1.1  # pages are not filled to the last byte


class Pace:
    """Readings and bytes of the last hour, in slots of a minute.

    Args:
        now_s: monotonic seconds.
    """

    def __init__(self, now_s: float) -> None:
        self._slots: deque[list[float]] = deque([[now_s, 0.0, 0.0]])  # begin, readings, bytes

    def stored(self, now_s: float, readings: int, size: int) -> None:
        """Some readings were stored, `size` bytes of records."""
        if now_s - self._slots[-1][0] >= _SLOT_S:
            self._slots.append([now_s, 0.0, 0.0])
            self._forget(now_s)
        self._slots[-1][1] += readings
        self._slots[-1][2] += size

    def plan(self, now_s: float, free_bytes: int) -> OutboxPlan:
        """What that means for the room that is left."""
        self._forget(now_s)
        measured_s = max(now_s - self._slots[0][0], 1.0)
        readings = sum(slot[1] for slot in self._slots)
        size = sum(slot[2] for slot in self._slots)
        per_hour = readings / measured_s * _HOUR_S
        each = (size / readings + _ROW) * _FILL if readings else 0.0
        hours = free_bytes / (per_hour * each) if readings else None
        return OutboxPlan(per_hour, measured_s, each, free_bytes, hours)

    def _forget(self, now_s: float) -> None:
        while len(self._slots) > 1 and self._slots[1][0] <= now_s - _HOUR_S:
            self._slots.popleft()
