"""Has a value stopped moving?  The range over a rolling window, per QARTOD's flat line test.  Pure.

QARTOD counts equal values in a row, which passes and fails in turn where the last digit flickers;
the range over a window does not.  Values are kept as the lowest and highest of each minute.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Flat"]

_MINUTE_MS = 60_000


class Flat:
    """The last hours of one value.

    Args:
        longest_s: how far back it must remember.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_ms = int(longest_s * 1000)
        self._minutes: deque[tuple[int, float, float]] = deque()  # of each: when it began, lowest, highest
        self._since_ms: int | None = None

    def add(self, at_ms: int, value: float) -> None:
        """A usable value at a monotonic time."""
        if self._since_ms is None:
            self._since_ms = at_ms
        last = self._minutes[-1] if self._minutes else None
        if last is not None and at_ms - last[0] < _MINUTE_MS:
            self._minutes[-1] = last[0], min(last[1], value), max(last[2], value)
            return
        self._minutes.append((at_ms, value, value))
        while self._minutes and at_ms - self._minutes[0][0] > self._longest_ms + _MINUTE_MS:
            self._minutes.popleft()

    def range_over(self, at_ms: int, seconds: float) -> float | None:
        """Highest less lowest of the last `seconds`; None when less was seen."""
        back_ms = at_ms - int(seconds * 1000)
        if self._since_ms is None or self._since_ms > back_ms:
            return None
        seen = [(low, high) for began, low, high in self._minutes if began >= back_ms - _MINUTE_MS]
        if not seen:
            return None
        return max(high for _, high in seen) - min(low for low, _ in seen)
