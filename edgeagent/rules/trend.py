"""Rate of rise by Theil-Sen: the median of all pairs' slopes, so that one wild reading makes no trend.  Pure.

Source: Theil 1950, Sen 1968; with up to 29 % of the points wrong the slope still stands.  Of an
even number of slopes the lower middle one counts: one wild reading of four makes no rise.
"""

from __future__ import annotations

import statistics
from collections import deque
from itertools import combinations

__all__ = ["Trend"]

_POINTS = 30  # per trend; 435 pairs, a tenth of a millisecond
_FEWEST = 3


class Trend:
    """The points of the last minutes, thinned so that they cover their time evenly.

    Args:
        over_s: how far back it looks.
        from_s: the points must cover at least so long; waves make slopes within seconds.
    """

    def __init__(self, over_s: float, from_s: float) -> None:
        self._over_ms, self._from_ms = int(over_s * 1000), int(from_s * 1000)
        self._points: deque[tuple[int, float]] = deque()

    def add(self, at_ms: int, value: float) -> None:
        """A usable value at a monotonic time; what is closer to the last point than the raster is left out."""
        if self._points and at_ms - self._points[-1][0] < self._over_ms // _POINTS:
            return
        self._points.append((at_ms, value))

    def per_hour(self, at_ms: int) -> float | None:
        """Rise per hour; None while there is not enough to say."""
        while self._points and at_ms - self._points[0][0] > self._over_ms:
            self._points.popleft()
        points = self._points
        if len(points) < _FEWEST or points[-1][0] - points[0][0] < self._from_ms:
            return None
        slopes = [(b - a) / (late - early) for (early, a), (late, b) in combinations(points, 2)]
        return statistics.median_low(slopes) * 3_600_000
