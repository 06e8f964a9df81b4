"""Tracks over lines -> counts per class and direction.

The rules, each against a way of counting wrongly that was seen on real clips:

* The anchor is the bottom centre of the box, where the vehicle meets the road.
* A standing vehicle's box trembles: a crossing needs the anchor beyond a dead band on one side
  and then beyond it on the other.
* One vehicle, one count per line and direction, however often it comes back.
* A reflection or a flickering box has no history: a vehicle must have been seen three times and
  have moved before it counts; what it crossed before that counts as soon as it has.
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
_LEAST_MOVE = 0.3  # of the box height, across the line, in the direction that is counted
_TWIN_S = 0.3  # two vehicles on one spot need more road between them, even at 100 km/h
_TWIN_OVERLAP = 0.3
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


@dataclass
class _Passage:
    """What one gate remembers of one track."""

    began_px: float
    anchor: tuple[float, float]
    anchor_s: float
    box: Floats
    home: tuple[float, float, float, Floats] | None = None  # last point surely on a side: x, y, time, box
    home_side: int = 0
    moved_px: float = 0.0  # across the line since the first look; positive towards the forward side
    counted: set[str] = field(default_factory=set)
    pending: list[_Event] = field(default_factory=list)


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
        counted = [c for track in seen for c in self._follow(track, now_s)]
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

    def _follow(self, track: Track, now_s: float) -> list[Crossing]:
        x, y = float(track.box[0] + track.box[2]) / 2, float(track.box[3])
        height = float(track.box[3] - track.box[1])
        passage = self._passages.get(track.id)
        if passage is None:
            passage = self._passages[track.id] = _Passage(self.line.side_px(x, y), (x, y), now_s, track.box)
        else:
            share = 1 - math.exp(-(now_s - passage.anchor_s) / _ANCHOR_TAU_S)
            ax, ay = passage.anchor
            passage.anchor = (ax + share * (x - ax), ay + share * (y - ay))
            passage.anchor_s, passage.box = now_s, track.box
        x, y = passage.anchor
        distance = self.line.side_px(x, y)
        passage.moved_px = distance - passage.began_px
        if abs(distance) >= max(_BAND_PX, _BAND_SHARE * height):
            self._settle(passage, distance, now_s, track)
        if track.looks < _LEAST_LOOKS:
            return []
        ripe = [e for e in passage.pending if e.sign * passage.moved_px >= _LEAST_MOVE * height]
        passage.pending = [e for e in passage.pending if e not in ripe]
        return self._count(ripe, track)

    def _settle(self, passage: _Passage, distance: float, now_s: float, track: Track) -> None:
        """The anchor is surely on a side: was it surely on the other before?"""
        side = 1 if distance > 0 else -1
        x, y = passage.anchor
        if passage.home is not None and side != passage.home_side:
            hx, hy, home_s, home_box = passage.home
            before = abs(self.line.side_px(hx, hy))
            share = before / (before + abs(distance))
            along = self.line.along(hx + share * (x - hx), hy + share * (y - hy))
            direction = FORWARD if side > 0 else BACKWARD
            if 0 <= along <= 1 and direction not in passage.counted:
                passage.counted.add(direction)
                box = np.asarray(home_box + share * (track.box - home_box), np.float32)
                passage.pending.append(_Event(direction, home_s + share * (now_s - home_s), box))
        passage.home, passage.home_side = (x, y, now_s, track.box), side

    def _count(self, ripe: list[_Event], track: Track) -> list[Crossing]:
        counted = []
        for event in ripe:
            if not any(event.is_twin_of(other) for other in self._recent):
                counted.append(Crossing(self.line.id, event.direction, track.class_id, event.at_s, track.id))
            self._recent.append(event)
        return counted


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
