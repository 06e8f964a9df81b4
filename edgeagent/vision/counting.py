"""Pictures' detections -> running totals per line, direction and class, with the time really watched.

Totals only ever grow, so whoever reads them once a second loses at most a second when this
process dies, and a window is the difference of two totals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from edgeagent.vision.card import Card
from edgeagent.vision.crossing import DIRECTIONS, Crossing, Gate, Line
from edgeagent.vision.detections import Detections
from edgeagent.vision.region import Region, RegionWatch
from edgeagent.vision.speed import SpeedTrap
from edgeagent.vision.tracking import Track, Tracker

__all__ = ["LOOK_COVERS_S", "Counter", "LineTotals"]

LOOK_COVERS_S = 0.4
"""A look vouches for this much time before it.  Counting was proven down to 5 looks per second
(0.2 s); one look may fail.  Longer gaps are time that nobody watched."""


@dataclass
class LineTotals:
    """What one line has seen since the start.

    Attributes:
        counts: vehicles by direction, then class.
        touched: looks at which a vehicle stood on the line.
    """

    counts: dict[str, dict[str, int]]
    touched: int = 0


@dataclass
class Counter:
    """Tracker, gates and totals of one camera.

    Attributes:
        card: of the model whose detections come in.
        lines: counting lines, pixels of the camera picture.
        region: where queues are looked for.
        trap: measures speeds between two of the lines.
        totals: by line id, in the order of `lines`.
        looks: pictures taken in.
        watched_s: time vouched for.
        queue: what the region has seen, where there is one.
        seen: the tracks of the last look.
    """

    card: Card
    lines: Sequence[Line]
    region: Region | None = None
    trap: SpeedTrap | None = None
    totals: dict[str, LineTotals] = field(default_factory=dict)
    looks: int = 0
    watched_s: float = 0.0

    def __post_init__(self) -> None:
        self._tracker = Tracker(sure=self.card.threshold.score)
        self._gates = [Gate(line) for line in self.lines]
        self.queue = RegionWatch(self.region) if self.region is not None else None
        self.seen: list[Track] = []
        self._last_s: float | None = None
        for line in self.lines:
            counts: dict[str, dict[str, int]] = {
                direction: dict.fromkeys(self.card.counted, 0) for direction in DIRECTIONS
            }
            self.totals[line.id] = LineTotals(counts)

    def look(self, found: Detections, now_s: float, *, believable: bool = True) -> list[Crossing]:
        """Take in one picture.

        Args:
            found: its detections.
            now_s: when it was taken, on a clock that does not jump.
            believable: false for a picture that shows nothing new (frozen): not watched.

        Returns:
            The vehicles counted by this look.
        """
        covers_s = 0.0
        if self._last_s is not None and believable:
            covers_s = min(max(now_s - self._last_s, 0.0), LOOK_COVERS_S)
        self.watched_s += covers_s
        self._last_s = now_s
        self.looks += 1
        seen = self.seen = self._tracker.look(found, now_s)
        if self.queue is not None:
            self.queue.look(seen, now_s, covers_s)
        sure = found.xyxy[found.score >= self.card.threshold.score]
        for gate in self._gates:
            totals = self.totals[gate.line.id]
            totals.touched += gate.touched(sure)
        return self._pass(seen, now_s)

    def finish(self) -> list[Crossing]:
        """The film is over: what had crossed and was still waited for counts now."""
        return [] if self._last_s is None else self._pass([], self._last_s + 1.0)

    def _pass(self, seen: list[Track], now_s: float) -> list[Crossing]:
        crossings = [crossing for gate in self._gates for crossing in gate.look(seen, now_s)]
        for crossing in crossings:
            self.totals[crossing.line].counts[crossing.direction][self.card.classes[crossing.class_id]] += 1
        if self.trap is not None:
            self.trap.look(crossings, now_s)
        return crossings
