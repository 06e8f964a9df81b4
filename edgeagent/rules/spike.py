"""Is a value a spike?  Hampel's test over the last values, and the next two that confirm or clear it.  Pure.

A wild value may be a bird, or a flood wave.  Waiting ten minutes to find out delays the flood, so
the test asks for another look within seconds: two more values where the first one was, and the
water is there; otherwise it was a spike and nothing of it is left.

Source: Hampel 1974; QARTOD Manual for Real-Time Quality Control of Water Level Data 2.1, test 6.
"""

from __future__ import annotations

import statistics
from collections import deque

__all__ = ["SpikeTest"]

_POINTS = 5
_FEWEST = 3
_CONFIRM = 3  # the wild value itself and two more


class SpikeTest:
    """The last values of one gauge.

    Args:
        suspect_m: what is further from the median than this plus 3 MAD is suspect.
        fail_m: plus 6 MAD: fails.

    Attributes:
        pending: a wild value waits for the next ones.
    """

    def __init__(self, suspect_m: float, fail_m: float) -> None:
        self._suspect_m, self._fail_m = suspect_m, fail_m
        self._last: deque[float] = deque(maxlen=_POINTS)
        self._wild: list[float] = []

    @property
    def pending(self) -> bool:
        """Whether the next values are needed soon."""
        return bool(self._wild)

    def judge(self, value: float) -> str:
        """`pass`, `suspect` or `fail`; `unknown` while there is too little to compare with."""
        if len(self._last) < _FEWEST:
            self._last.append(value)
            return "unknown"
        middle = statistics.median(self._last)
        spread = statistics.median(abs(v - middle) for v in self._last)
        distance = abs(value - middle)
        if distance <= self._suspect_m + 3 * spread:
            self._wild.clear()
            self._last.append(value)
            return "pass"
        if self._wild and abs(value - self._wild[-1]) > self._suspect_m + 3 * spread:
            self._wild.clear()  # wild again, but elsewhere
        self._wild.append(value)
        if len(self._wild) >= _CONFIRM:
            self._last.clear()
            self._last.extend(self._wild)
            self._wild.clear()
            return "pass"
        return "fail" if distance > self._fail_m + 6 * spread else "suspect"

    def forget(self) -> None:
        """After a gap nothing of before counts."""
        self._last.clear()
        self._wild.clear()
