"""What one window has gathered -> the quantities and facts of its readings.  Pure.

Every number here proves itself: how much of the window was watched, how often, what was dropped,
what was wrong with the picture, which line and which model.  Nobody watched is missing, never
zero; a class name the model's card does not vouch for is doubtful, or not published at all.
May import: reading camera_messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgeagent.reading import Quality, Quantity, Unit
from edgeagent.sources.camera_messages import DIRECTIONS, LineTally, RegionTally, SpeedTally, Tally

__all__ = ["PEOPLE", "SURVEY", "Gathered", "trust_text", "worst"]

PEOPLE = ("person",)
"""Classes that are counted and are no vehicles."""

SURVEY = {"small": ("car",), "large": ("bus", "truck")}
"""小型車 and 大型車 of the 交通量調査 (general traffic survey); 二輪, 自転車 and 歩行者 are the classes
motorcycle, bicycle and person themselves."""

_TRUSTED_COVERAGE = 0.8  # below this a count is a lower bound rather than a count
_FLAGGED_SHARE = 0.2  # a scene flag is told when it held for this share of the watched time
_QUEUED_SHARE, _QUEUED_LEAST = 0.5, 2.0  # of the vehicles stand, and two of them stand at once
_SLOW_PACE = 0.5  # of the free pace
_QUEUE_HELD_SHARE = 0.05  # a queue is as long as it was for at least this share of the window …
_QUEUE_HELD_S = 1.0  # … and for at least so long

Put = Callable[[str, "float | str | bool | None", Unit, Quality], None]


class Gathered:
    """Sums of one window over all workers that lived in it."""

    def __init__(self) -> None:
        self.looks = self.dropped = 0
        self.watched_s = 0.0
        self.limits: set[str] = set()
        self.input_width: int | None = None
        self._flagged_s: dict[str, float] = {}
        self._touched: dict[str, int] = {}
        self._counts: dict[tuple[str, str, str], int] = {}
        self._region: dict[str, float] = {}
        self._queue_s: list[float] = []
        self._has_region = False
        self._speed: dict[str, SpeedTally] = {}

    def add(self, now: Tally, before: Tally) -> None:
        """One more tally of a worker whose last one was `before`."""
        self.looks += now.looks - before.looks
        self.dropped += now.dropped - before.dropped
        self.watched_s += now.watched_s - before.watched_s
        if now.limit:
            self.limits.add(now.limit)
        if now.input_width:  # the window is as good as its worst part
            self.input_width = min(now.input_width, self.input_width or now.input_width)
        for flag, seconds in now.flagged_s.items():
            self._flagged_s[flag] = self._flagged_s.get(flag, 0.0) + seconds - before.flagged_s.get(flag, 0.0)
        nothing = LineTally(counts={}, touched=0)
        for line, tally in now.lines.items():
            then = before.lines.get(line, nothing)
            self._touched[line] = self._touched.get(line, 0) + tally.touched - then.touched
            for direction, by_class in tally.counts.items():
                for cls, count in by_class.items():
                    key = (line, direction, cls)
                    self._counts[key] = self._counts.get(key, 0) + count - then.counts.get(direction, {}).get(cls, 0)
        if now.region is not None:
            self._add_region(now.region, before.region or RegionTally())
        for direction, told in now.speed.items():
            was = before.speed.get(direction, SpeedTally())
            mine = self._speed.get(direction, SpeedTally())
            self._speed[direction] = SpeedTally(
                measured=mine.measured + told.measured - was.measured,
                sum_kmh=mine.sum_kmh + told.sum_kmh - was.sum_kmh,
            )

    def _add_region(self, now: RegionTally, before: RegionTally) -> None:
        self._has_region = True
        for name in ("occupied_s", "vehicle_s", "standing_s", "pace_s", "paced_s"):
            self._region[name] = self._region.get(name, 0.0) + getattr(now, name) - getattr(before, name)
        for n, seconds in enumerate(now.queue_s):
            if n == len(self._queue_s):
                self._queue_s.append(0.0)
            self._queue_s[n] += seconds - (before.queue_s[n] if n < len(before.queue_s) else 0.0)

    def count(self, line: str, direction: str, cls: str) -> int:
        """Of one line, direction and class."""
        return self._counts.get((line, direction, cls), 0)

    def flags(self) -> list[str]:
        """What was wrong with the picture for a good part of the window, sorted."""
        least = _FLAGGED_SHARE * max(self.watched_s, 1e-3)
        return sorted(flag for flag, seconds in self._flagged_s.items() if seconds >= least)

    def doubts(self, span_ms: int) -> list[str]:
        """Why this window's counts are not simply good; empty when they are."""
        coverage = self.coverage(span_ms)
        if coverage == 0:
            return ["not watched"]
        low = [f"watched {coverage:.0%}"] if coverage < _TRUSTED_COVERAGE else []
        return low + self.flags()

    def coverage(self, span_ms: int) -> float:
        """Share of the window that was watched, 0..1."""
        return min(self.watched_s * 1000 / span_ms, 1.0)

    def put_counts(
        self, line: str, trust: Mapping[str, str], classes: tuple[str, ...], *, put: Put, q: Quality
    ) -> None:
        """Counts per direction and class, as far as the names are vouched for."""
        vehicles = [cls for cls in classes if cls not in PEOPLE]
        put("count", sum(self.count(line, d, c) for d in DIRECTIONS for c in vehicles), Unit.ONE, q)
        for direction in DIRECTIONS:
            put(f"count_{direction}", sum(self.count(line, direction, c) for c in vehicles), Unit.ONE, q)
            for cls in classes:
                if trust.get(cls) != "none":
                    put(f"count_{direction}_{cls}", self.count(line, direction, cls), Unit.ONE, _by(trust.get(cls), q))
            if not any(c in classes for names in SURVEY.values() for c in names):
                continue
            # Whoever is not called large is called small: one split, as good as its weaker half.
            named = [trust.get(c, "good") for names in SURVEY.values() for c in names if c in classes]
            weaker = "hint" if any(t != "good" for t in named) else "good"
            for group, names in SURVEY.items():
                number = sum(self.count(line, direction, c) for c in names)
                put(f"count_{direction}_{group}", number, Unit.ONE, _by(weaker, q))

    def put_use(self, line: str, *, put: Put, q: Quality) -> None:
        """Share of the looks with a vehicle on the line."""
        put("occupancy", round(self._touched.get(line, 0) / max(self.looks, 1), 3), Unit.ONE, q)

    def put_region(self, *, put: Put, q: Quality) -> None:
        """Queue, congestion and mean number of vehicles in the region, where there is one."""
        if not self._has_region:
            return
        watched_s = max(self.watched_s, 1e-3)
        part = self._region.__getitem__
        held_s = max(_QUEUE_HELD_S, _QUEUE_HELD_SHARE * self.watched_s)
        queue = sum(1 for seconds in self._queue_s if seconds >= held_s)
        put("vehicles", round(part("vehicle_s") / watched_s, 2), Unit.ONE, q)
        put("region_occupancy", round(min(part("occupied_s") / watched_s, 1.0), 3), Unit.ONE, q)
        put("queue_length", queue, Unit.ONE, q)
        state = self._state()
        put("congestion", state, Unit.ONE, q)
        put("congested", state == "queued", Unit.ONE, q)

    def _state(self) -> str:
        standing_s, vehicle_s = self._region["standing_s"], self._region["vehicle_s"]
        two_stood_s = self._queue_s[1] if len(self._queue_s) > 1 else 0.0
        if standing_s >= _QUEUED_SHARE * vehicle_s and two_stood_s >= _QUEUED_LEAST:
            return "queued"
        paced_s = self._region["paced_s"]
        moved = self._region["pace_s"] / paced_s if paced_s > 0 else 1.0
        return "slow" if moved < _SLOW_PACE else "free"

    def put_speed(self, *, put: Put, q: Quality) -> None:
        """Mean speed of the vehicles that could be measured; no vehicle measured is missing, not 0 km/h."""
        if not self._speed:
            return
        both = (sum(s.measured for s in self._speed.values()), sum(s.sum_kmh for s in self._speed.values()))
        put("speed", round(both[1] / both[0], 1) if both[0] else None, Unit.KILOMETRE_PER_HOUR, q)
        for direction, told in self._speed.items():
            mean = round(told.sum_kmh / told.measured, 1) if told.measured else None
            put(f"speed_{direction}", mean, Unit.KILOMETRE_PER_HOUR, q)
        put("speeds_measured", both[0], Unit.ONE, q)

    def put_proof(self, span_ms: int, quantities: dict[str, Quantity]) -> None:
        """How well it was watched; said also, and above all, when nobody watched."""
        quantities["coverage"] = Quantity(round(self.coverage(span_ms), 3))
        quantities["fps"] = Quantity(round(self.looks * 1000 / span_ms, 2), Unit.HERTZ)
        if self.input_width is not None:
            quantities["input_width"] = Quantity(self.input_width, Unit.PIXEL)
        quantities["dropped"] = Quantity(round(self.dropped / max(self.looks + self.dropped, 1), 3))


def trust_text(classes: tuple[str, ...], trust: Mapping[str, str]) -> str:
    """`car good, truck hint, bus none`: what the card says about the class names."""
    return ", ".join(f"{cls} {trust.get(cls, 'good')}" for cls in classes)


def worst(a: Quality, b: Quality) -> Quality:
    """The more doubtful of two."""
    order = (Quality.GOOD, Quality.SUSPECT, Quality.FAIL, Quality.MISSING)
    return max(a, b, key=order.index)


def _by(trust: str | None, quality: Quality) -> Quality:
    return worst(quality, Quality.SUSPECT) if trust == "hint" else quality
