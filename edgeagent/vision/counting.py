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
        totals: by line id, in the order of `lines`.
        looks: pictures taken in.
        watched_s: time vouched for.
    """

    card: Card
    lines: Sequence[Line]
    totals: dict[str, LineTotals] = field(default_factory=dict)
    looks: int = 0
    watched_s: float = 0.0

    def __post_init__(self) -> None:
        self._tracker = Tracker(sure=self.card.threshold.score)
        self._gates = [Gate(line) for line in self.lines]
        self._last_s: float | None = None
        for line in self.lines:
            counts: dict[str, dict[str, int]] = {
                direction: dict.fromkeys(self.card.vehicles, 0) for direction in DIRECTIONS
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
        if self._last_s is not None and believable:
            self.watched_s += min(max(now_s - self._last_s, 0.0), LOOK_COVERS_S)
        self._last_s = now_s
        self.looks += 1
        seen = self._tracker.look(found, now_s)
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
        return crossings
