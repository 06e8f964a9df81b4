"""Two lines a known distance apart, crossed by one track -> its speed.

Both crossings are interpolated between looks, so the moment is better known than the looks are
apart.  A vehicle that was lost between the lines, or turned round, gives no speed: fewer vehicles
are measured than counted, and how many is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgeagent.vision.crossing import DIRECTIONS, Crossing

__all__ = ["SpeedTotals", "SpeedTrap"]

_KMH = 3.6
_SLOWEST_KMH, _FASTEST_KMH = 2.0, 200.0  # beyond it is a swapped track, not a vehicle
_FORGET_S = 120.0


@dataclass
class SpeedTotals:
    """Of one direction: vehicles measured, and their speeds added up in km/h."""

    measured: int = 0
    sum_kmh: float = 0.0


class SpeedTrap:
    """Measures the vehicles that cross both lines.

    Args:
        first, second: ids of the two lines; both have the same idea of forward.
        distance_m: between them, along the road.
    """

    def __init__(self, first: str, second: str, distance_m: float) -> None:
        self._pair = (first, second)
        self._distance_m = distance_m
        self._waiting: dict[tuple[int, str], Crossing] = {}
        self.totals: dict[str, SpeedTotals] = {direction: SpeedTotals() for direction in DIRECTIONS}

    def look(self, crossings: Iterable[Crossing], now_s: float) -> None:
        """Take in what was counted by one look."""
        for one in crossings:
            if one.line not in self._pair:
                continue
            key = (one.track, one.direction)
            other = self._waiting.pop(key, None)
            if other is None or other.line == one.line:
                self._waiting[key] = one
                continue
            elapsed = abs(one.at_s - other.at_s)
            kmh = _KMH * self._distance_m / elapsed if elapsed > 0 else _FASTEST_KMH + 1
            if _SLOWEST_KMH <= kmh <= _FASTEST_KMH:
                totals = self.totals[one.direction]
                totals.measured += 1
                totals.sum_kmh += kmh
        for key in [k for k, one in self._waiting.items() if now_s - one.at_s > _FORGET_S]:
            del self._waiting[key]
