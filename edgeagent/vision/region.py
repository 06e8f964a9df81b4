"""Tracks in a part of the road -> is it free, slow or queued, and how long is the queue.

A picture has no metres, and motion along the line of sight hardly shows in it.  So two things are
asked that hold in any perspective: does a vehicle stand (its foot stays within a share of its own
height for a second), and how does its pace compare with what vehicles do at this place when
nothing hinders them, learnt from the fastest part of those that passed.

Totals only grow, like all totals of a worker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edgeagent.vision.tracking import Track

__all__ = ["LONGEST_QUEUE", "Region", "RegionTotals", "RegionWatch"]

LONGEST_QUEUE = 30
"""Vehicles; what stands beyond is not counted any more."""

_Point = tuple[float, float]
_STILL = 0.12  # of the box height: a standing vehicle's box trembles by half of it
_STILL_PX = 1.5
_STANDS_AFTER_S = 1.0
_LEAST_LOOKS = 3  # a box seen once or twice is not a vehicle yet
_FREE_SHARE = 0.85  # 85th percentile: the usual measure of a free speed
_PASSES_KEPT = 200
_PASSES_NEEDED = 20
_FORGET_S = 2.0


@dataclass(frozen=True)
class Region:
    """A polygon of the picture; at least three corners, pixels."""

    corners: Sequence[_Point]

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies inside (even-odd rule)."""
        inside = False
        x1, y1 = self.corners[-1]
        for x2, y2 in self.corners:
            if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                inside = not inside
            x1, y1 = x2, y2
        return inside


@dataclass
class RegionTotals:
    """What a region has seen since the start; all in seconds.

    Attributes:
        occupied_s: at least one vehicle was in it.
        vehicle_s: vehicles times time; over the watched time it is their mean number.
        standing_s: the share of that by vehicles that stood.
        queue_s: entry n: at least n + 1 vehicles stood at the same time.
        pace_s: moving vehicles' pace over the free pace, times time; with `paced_s` their mean.
        paced_s: time of vehicles whose pace could be compared.
    """

    occupied_s: float = 0.0
    vehicle_s: float = 0.0
    standing_s: float = 0.0
    queue_s: list[float] = field(default_factory=lambda: [0.0] * LONGEST_QUEUE)
    pace_s: float = 0.0
    paced_s: float = 0.0


@dataclass
class _Stay:
    """One vehicle inside: where it stood still last, and how it came along."""

    rest: _Point
    rest_s: float
    seen_s: float
    began_s: float
    pace: float = 0.0
    travelled: float = 0.0  # box heights


class RegionWatch:
    """Follows the vehicles of one region."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.totals = RegionTotals()
        self._stays: dict[int, _Stay] = {}
        self._passes: deque[float] = deque(maxlen=_PASSES_KEPT)

    def look(self, seen: Iterable[Track], now_s: float, covers_s: float) -> int:
        """Take in the tracks of one picture.

        Args:
            seen: tracks seen in this picture.
            now_s: when it was taken.
            covers_s: the time this look vouches for.

        Returns:
            How many vehicles stand.
        """
        inside = [track for track in seen if track.looks >= _LEAST_LOOKS and self.region.holds(*_foot(track))]
        for track in inside:
            self._follow(track, now_s)
        for number in [n for n, stay in self._stays.items() if now_s - stay.seen_s > _FORGET_S]:
            self._leave(self._stays.pop(number))
        standing = [t for t in inside if now_s - self._stays[t.id].rest_s >= _STANDS_AFTER_S]
        totals, free = self.totals, self._free_pace()
        totals.occupied_s += covers_s * bool(inside)
        totals.vehicle_s += covers_s * len(inside)
        totals.standing_s += covers_s * len(standing)
        for n in range(min(len(standing), LONGEST_QUEUE)):
            totals.queue_s[n] += covers_s
        if free > 0:
            still = {track.id for track in standing}
            for track in inside:
                if track.id not in still:
                    totals.pace_s += covers_s * min(self._stays[track.id].pace / free, 1.0)
                    totals.paced_s += covers_s
        return len(standing)

    def _follow(self, track: Track, now_s: float) -> None:
        x, y = _foot(track)
        height = max(float(track.box[3] - track.box[1]), 1.0)
        stay = self._stays.get(track.id)
        if stay is None:
            self._stays[track.id] = _Stay((x, y), now_s, now_s, now_s)
            return
        moved = _apart((x, y), stay.rest)
        if moved > max(_STILL * height, _STILL_PX):
            stay.travelled += moved / height
            stay.rest, stay.rest_s = (x, y), now_s
        stay.seen_s = now_s
        if now_s > stay.began_s:
            stay.pace = stay.travelled / (now_s - stay.began_s)

    def _leave(self, stay: _Stay) -> None:
        """Who drove through it says how fast one can drive here."""
        if stay.travelled >= 1 and stay.pace > 0:
            self._passes.append(stay.pace)

    def _free_pace(self) -> float:
        """Box heights per second of unhindered vehicles; 0 while too few have passed."""
        if len(self._passes) < _PASSES_NEEDED:
            return 0.0
        return sorted(self._passes)[int(_FREE_SHARE * (len(self._passes) - 1))]


def _foot(track: Track) -> _Point:
    return float(track.box[0] + track.box[2]) / 2, float(track.box[3])


def _apart(a: _Point, b: _Point) -> float:
    return float(((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5)
