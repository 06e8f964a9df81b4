"""Tracks over lines -> counts per class and direction.

The rules, each against a way of counting wrongly that was seen on real clips:

* The anchor is the bottom centre of the box, where the vehicle meets the road.
* A standing vehicle's box trembles: a crossing needs the anchor beyond a dead band on one side
  and then beyond it on the other.
* One vehicle, one count per line and direction, however often it comes back.
* A reflection or a jumping box: a vehicle must have been seen three times, have made headway and
  have stayed on the other side for a moment before it counts.  If it is not seen again it counts.
* A broken track or a second box: two crossings of one line, in one direction, close in time and
  overlapping where they cross, are one vehicle.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from edgeagent.errors import ConfigError
from edgeagent.vision.detections import Floats, iou
from edgeagent.vision.tracking import Track

__all__ = ["BACKWARD", "DIRECTIONS", "FORWARD", "Crossing", "Gate", "Line", "Towards"]

FORWARD: Literal["forward"] = "forward"
BACKWARD: Literal["backward"] = "backward"
DIRECTIONS = (FORWARD, BACKWARD)
Towards = Literal["down", "up", "left", "right"]

_COMPASS = {"down": (0.0, 1.0), "up": (0.0, -1.0), "left": (-1.0, 0.0), "right": (1.0, 0.0)}
_LEAST_TURN = 0.05  # sine of 3 degrees: nearer to parallel than this, "forward" would be a coin toss
_BAND_PX = 1.5
_BAND_SHARE = 0.06  # of the box height: boxes of near vehicles tremble by more pixels
_ANCHOR_TAU_S = 0.06  # smoothing by time: half at 25 looks/s, next to nothing at 5
_LEAST_LOOKS = 3
_LEAST_MOVE = 0.45  # of the box height, across the line, in the direction that is counted
_STAYED_S = 0.15  # a box that jumps over the line is back within a few pictures
_TWIN_S = 0.4  # two vehicles on one spot need more road between them, even at 100 km/h
_TWIN_OVERLAP = 0.25
_FORGET_S = 2.0  # tracks live 0.8 s unseen; their crossing state a little longer


@dataclass(frozen=True)
class Line:
    """A counting line.

    Attributes:
        id: its name.
        start, end: pixels of the camera picture.
        forward_sign: sign of the side a forward vehicle arrives on, where the side of a point is
            the sign of (x2-x1)*(y-y1) - (y2-y1)*(x-x1); for a line from left to right +1 is below.
    """

    id: str
    start: tuple[float, float]
    end: tuple[float, float]
    forward_sign: int = 1

    @classmethod
    def towards(cls, name: str, start: tuple[float, float], end: tuple[float, float], forward: Towards) -> Line:
        """The line whose forward direction is the one that looks `forward` in the picture.

        Raises:
            ConfigError: `camera.line-short` or `camera.line-forward` (the line runs along `forward`).
        """
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = math.hypot(dx, dy)
        if length < 2:  # noqa: PLR2004  two pixels are not a line
            raise ConfigError("camera.line-short", path="from", line=name)
        east, south = _COMPASS[forward]
        turn = (dx * south - dy * east) / length
        if abs(turn) < _LEAST_TURN:
            raise ConfigError("camera.line-forward", path="forward", line=name, forward=forward)
        return cls(name, start, end, 1 if turn > 0 else -1)

    def side_px(self, x: float, y: float) -> float:
        """Signed distance from the infinite line, pixels; positive on the forward side."""
        dx, dy = self.end[0] - self.start[0], self.end[1] - self.start[1]
        cross = dx * (y - self.start[1]) - dy * (x - self.start[0])
        return self.forward_sign * cross / math.hypot(dx, dy)

    def along(self, x: float, y: float) -> float:
        """Where the foot of a point lies: 0 at `start`, 1 at `end`."""
        dx, dy = self.end[0] - self.start[0], self.end[1] - self.start[1]
        return ((x - self.start[0]) * dx + (y - self.start[1]) * dy) / (dx * dx + dy * dy)


@dataclass(frozen=True)
class Crossing:
    """One vehicle over one line."""

    line: str
    direction: str
    class_id: int
    at_s: float
    track: int


@dataclass(frozen=True, eq=False)
class _Event:
    """A box over the line, and when."""

    direction: str
    at_s: float
    box: Floats

    @property
    def sign(self) -> int:
        """+1 forward, -1 backward."""
        return 1 if self.direction == FORWARD else -1

    def is_twin_of(self, other: _Event) -> bool:
        """Whether both are one vehicle, seen as two tracks."""
        return (
            self.direction == other.direction
            and abs(self.at_s - other.at_s) <= _TWIN_S
            and float(iou(self.box[None], other.box[None])[0, 0]) > _TWIN_OVERLAP
        )


@dataclass(frozen=True, eq=False)
class _Home:
    """The last look at which the anchor was surely on a side."""

    side: int
    anchor: tuple[float, float]
    distance_px: float
    at_s: float
    box: Floats


@dataclass
class _Passage:
    """What one gate remembers of one track."""

    track: Track
    anchor: tuple[float, float]
    anchor_s: float
    began_px: float  # distance from the line at the first look, then 0: where progress is measured from
    home: _Home | None = None
    pending: _Event | None = None
    counted: set[str] = field(default_factory=set)

    @property
    def height(self) -> float:
        return float(self.track.box[3] - self.track.box[1])


class Gate:
    """Counts the tracks over one line."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._passages: dict[int, _Passage] = {}
        self._recent: list[_Event] = []

    def look(self, seen: Iterable[Track], now_s: float) -> list[Crossing]:
        """Take in the tracks of one picture.

        Returns:
            The vehicles counted by this look.
        """
        for track in seen:
            self._follow(track, now_s)
        counted = [c for passage in self._passages.values() for c in self._ripe(passage, now_s)]
        for number in [n for n, p in self._passages.items() if now_s - p.anchor_s > _FORGET_S]:
            del self._passages[number]
        self._recent = [r for r in self._recent if now_s - r.at_s <= _FORGET_S]
        return counted

    def touched(self, boxes: Floats) -> bool:
        """Whether a box (n, 4) lies on the line: its lower half, where the vehicle meets the road."""
        for x1, y1, x2, y2 in boxes.tolist():
            low = (y1 + y2) / 2
            if _meets((x1, low, x2, y2), self.line.start, self.line.end):
                return True
        return False

    def _follow(self, track: Track, now_s: float) -> None:
        """Move the anchor; note when it is surely on a side, and surely was on the other before."""
        x, y = float(track.box[0] + track.box[2]) / 2, float(track.box[3])
        passage = self._passages.get(track.id)
        if passage is None:
            passage = self._passages[track.id] = _Passage(track, (x, y), now_s, self.line.side_px(x, y))
        else:
            share = 1 - math.exp(-(now_s - passage.anchor_s) / _ANCHOR_TAU_S)
            ax, ay = passage.anchor
            passage.anchor, passage.anchor_s = (ax + share * (x - ax), ay + share * (y - ay)), now_s
        passage.track = track
        distance = self.line.side_px(*passage.anchor)
        if abs(distance) < max(_BAND_PX, _BAND_SHARE * passage.height):
            return
        side = 1 if distance > 0 else -1
        if passage.home is not None and side != passage.home.side:
            if passage.pending is not None:  # back where it came from, not yet counted: it trembled
                passage.pending = None
            else:
                passage.pending = self._event(passage, passage.home, side, now_s)
        passage.home = _Home(side, passage.anchor, abs(distance), now_s, track.box)

    def _event(self, passage: _Passage, home: _Home, side: int, now_s: float) -> _Event | None:
        """The crossing between the last sure point before the line and this one."""
        distance = abs(self.line.side_px(*passage.anchor))
        share = home.distance_px / (home.distance_px + distance)
        (hx, hy), (x, y) = home.anchor, passage.anchor
        along = self.line.along(hx + share * (x - hx), hy + share * (y - hy))
        direction = FORWARD if side > 0 else BACKWARD
        if not 0 <= along <= 1 or direction in passage.counted:
            return None
        box = np.asarray(home.box + share * (passage.track.box - home.box), np.float32)
        return _Event(direction, home.at_s + share * (now_s - home.at_s), box)

    def _ripe(self, passage: _Passage, now_s: float) -> list[Crossing]:
        """Count what was crossed once it is believed."""
        event, track = passage.pending, passage.track
        if event is None or track.looks < _LEAST_LOOKS or now_s - event.at_s < _STAYED_S:
            return []
        progress = event.sign * (self.line.side_px(*passage.anchor) - passage.began_px)
        if progress < _LEAST_MOVE * passage.height:
            return []
        passage.pending, passage.began_px = None, 0.0
        passage.counted.add(event.direction)
        is_twin = any(event.is_twin_of(other) for other in self._recent)
        self._recent.append(event)
        return [] if is_twin else [Crossing(self.line.id, event.direction, track.class_id, event.at_s, track.id)]


def _meets(box: Sequence[float], start: tuple[float, float], end: tuple[float, float]) -> bool:
    """Whether a segment meets a rectangle (Liang-Barsky clipping)."""
    enter, leave = 0.0, 1.0
    for begin, stop, low, high in ((start[0], end[0], box[0], box[2]), (start[1], end[1], box[1], box[3])):
        step = stop - begin
        if abs(step) < 1e-9:  # noqa: PLR2004  the segment runs along this axis' border
            if not low <= begin <= high:
                return False
            continue
        one, two = (low - begin) / step, (high - begin) / step
        enter, leave = max(enter, min(one, two)), min(leave, max(one, two))
        if enter > leave:
            return False
    return True
