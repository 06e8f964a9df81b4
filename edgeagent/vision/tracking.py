"""Detections over time -> tracks that survive missed looks; safe at 3 to 30 looks per second.

Everything is in seconds, never in frames: the same constants serve a 25 fps clip and a Pi that
manages 5 looks per second.

At 5 looks per second a vehicle moves by more than its own length between two looks, so it does
not overlap with itself.  Three things keep it together:

1. constant velocity: a track is looked for where it should be by now;
2. a track without a history borrows the velocity that vehicles had there before (`Flow`): a
   fixed camera sees the same lanes all day;
3. boxes are grown around their centres before they are compared, more for a young track, and
   only as far as the time since its last look demands.

Sure detections are matched first, hints (half-hidden, headlights) only continue a track.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from edgeagent.vision.detections import Detections, Floats, Ints, grown, iou

__all__ = ["Flow", "Track", "Tracker"]

_KEPT_S = 0.8  # a lorry hides a car for about this long; longer guesses find other vehicles
_LEAST_OVERLAP = 0.3
_GROWN_FROM_S = 0.1  # up to 10 looks/s boxes overlap with themselves and need no help …
_GROWN_AT_S = 0.2  # … at 5 looks/s they need all of it
_GROWTH_YOUNG = 2.5
_GROWTH_KNOWN = 1.5
_SETTLED_LOOKS = 3  # from here on a track's own velocity is better than anybody's guess
_VELOCITY_TAU_S = 0.12
_MOST_TRACKS = 200


@dataclass
class Track:
    """One vehicle as far as it is known.

    Attributes:
        id: unique within the tracker.
        box: x1, y1, x2, y2 at the last look, pixels.
        seen_s: time of the last look.
        born_s: time of the first look.
        velocity: of the box's centre, pixels per second.
        looks: how often it was seen.
        votes: score times box area, summed per class: near, sharp looks decide the class.
    """

    id: int
    box: Floats
    seen_s: float
    born_s: float
    velocity: Floats
    looks: int = 1
    votes: dict[int, float] = field(default_factory=dict)

    @property
    def class_id(self) -> int:
        """The class most of the evidence is for."""
        return max(self.votes, key=self.votes.__getitem__)

    def at(self, now_s: float) -> Floats:
        """The box where it should be at `now_s`."""
        shift = self.velocity * (now_s - self.seen_s)
        return np.asarray(self.box + np.concatenate([shift, shift]), np.float32)

    def see(self, box: Floats, score: float, class_id: int, now_s: float) -> None:
        """One more look."""
        elapsed = max(now_s - self.seen_s, 1e-3)
        moved = (_centre(box) - _centre(self.box)) / elapsed
        if self.looks == 1:
            self.velocity = moved
        else:
            share = 1 - math.exp(-elapsed / _VELOCITY_TAU_S)
            self.velocity = self.velocity + share * (moved - self.velocity)
        self.box, self.seen_s = box, now_s
        self.looks += 1
        self.vote(box, score, class_id)

    def vote(self, box: Floats, score: float, class_id: int) -> None:
        """Add evidence for a class."""
        weight = float(score * (box[2] - box[0]) * (box[3] - box[1]))
        self.votes[class_id] = self.votes.get(class_id, 0.0) + weight


class Flow:
    """How vehicles move in each part of the picture, learnt from settled tracks.

    Args:
        cell_px: edge of a cell; lanes of a roadside picture are about this wide.
    """

    def __init__(self, cell_px: float = 32.0) -> None:
        self._cell_px = cell_px
        self._cells: dict[tuple[int, int], tuple[Floats, float]] = {}

    def learn(self, centre: Floats, velocity: Floats) -> None:
        """A settled vehicle was here and moved so (pixels per second)."""
        cell = self._cell(centre)
        mean, weight = self._cells.get(cell, (np.zeros(2, np.float32), 0.0))
        weight = min(weight + 1, 20.0)  # recent vehicles count, yesterday's do not
        self._cells[cell] = (mean + (velocity - mean) / weight, weight)

    def guess(self, centre: Floats) -> Floats:
        """Velocity to expect of a new vehicle here; zero where nothing is known."""
        known = self._cells.get(self._cell(centre))
        return known[0] if known else np.zeros(2, np.float32)

    def _cell(self, centre: Floats) -> tuple[int, int]:
        return int(centre[0] // self._cell_px), int(centre[1] // self._cell_px)


class Tracker:
    """Turns each picture's detections into updated tracks.

    Args:
        sure: score from which a detection may begin a track.
    """

    def __init__(self, *, sure: float) -> None:
        self._sure = sure
        self._next = 1
        self._tracks: list[Track] = []
        self._flow = Flow()

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Tracks seen lately, lost ones included until they are forgotten."""
        return tuple(self._tracks)

    def look(self, found: Detections, now_s: float) -> list[Track]:
        """Take one picture in.

        Args:
            found: its detections, one box per vehicle.
            now_s: when it was taken, seconds on any clock that does not jump.

        Returns:
            The tracks seen in this picture.
        """
        self._tracks = [t for t in self._tracks if now_s - t.seen_s <= _KEPT_S]
        sure, hints = np.flatnonzero(found.score >= self._sure), np.flatnonzero(found.score < self._sure)
        free = list(range(len(self._tracks)))
        pairs = self._match(found, sure, free, now_s)
        taken = {track for _, track in pairs}
        pairs += self._match(found, hints, [track for track in free if track not in taken], now_s)
        seen: list[Track] = []
        for row, number in pairs:
            track = self._tracks[number]
            track.see(found.xyxy[row], float(found.score[row]), int(found.class_id[row]), now_s)
            if track.looks >= _SETTLED_LOOKS:
                self._flow.learn(_centre(track.box), track.velocity)
            seen.append(track)
        matched = {row for row, _ in pairs}
        new = [int(row) for row in sure if row not in matched]
        seen += [self._begin(found, row, now_s) for row in new[: max(0, _MOST_TRACKS - len(self._tracks))]]
        return seen

    def _begin(self, found: Detections, index: int, now_s: float) -> Track:
        box = found.xyxy[index]
        track = Track(self._next, box, now_s, now_s, self._flow.guess(_centre(box)))
        track.vote(box, float(found.score[index]), int(found.class_id[index]))
        self._next += 1
        self._tracks.append(track)
        return track

    def _match(self, found: Detections, rows: Ints, free: list[int], now_s: float) -> list[tuple[int, int]]:
        """Greedy by overlap, best pair first: (row of `found`, index of track)."""
        if not len(rows) or not free:
            return []
        boxes = found.xyxy[rows]
        tracks = [self._tracks[i] for i in free]
        expected = np.stack([t.at(now_s) for t in tracks])
        growth = np.asarray([_growth(t, now_s) for t in tracks], np.float32)
        overlap = np.zeros((len(tracks), len(boxes)), np.float32)
        for factor in np.unique(growth):  # few: tracks are young or settled, most seen in the last look
            alike = growth == factor
            overlap[alike] = iou(grown(expected[alike], factor), grown(boxes, factor))
        pairs: list[tuple[int, int]] = []
        while True:
            track, box = divmod(int(overlap.argmax()), len(boxes))
            if overlap[track, box] < _LEAST_OVERLAP:
                return pairs
            pairs.append((int(rows[box]), free[track]))
            overlap[track, :] = -1
            overlap[:, box] = -1


def _growth(track: Track, now_s: float) -> float:
    full = _GROWTH_KNOWN if track.looks >= _SETTLED_LOOKS else _GROWTH_YOUNG
    need = (now_s - track.seen_s - _GROWN_FROM_S) / (_GROWN_AT_S - _GROWN_FROM_S)
    return 1.0 + (full - 1.0) * min(max(need, 0.0), 1.0)


def _centre(box: Floats) -> Floats:
    return np.asarray((box[:2] + box[2:]) / 2, np.float32)
