"""Counting lines and the ways vehicles really take -> which lines can never fire, and a line that would.

A line that lies wrong counts zero for ever without a word.  Some faults show in the geometry alone
(outside the picture, along its lower edge, where the foot of a box cannot get beyond the line), the
rest only against traffic: nobody comes near, everybody passes beside its end, everybody drives along it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgeagent.vision.crossing import Line, Towards

__all__ = ["Fault", "Findings", "Path", "check", "suggest"]

Path = Sequence[tuple[float, float]]
"""The foot points of one vehicle, oldest first; pixels."""

Fault = Literal["outside", "edge", "nobody", "beside", "along", "one-way"]

_EDGE_SHARE = 0.03  # of the picture: nearer to the border the boxes are cut off and the foot stays inside
_FEW = 3  # vehicles: fewer prove nothing
_LEAST_PATH = 0.08  # of the picture's diagonal: shorter ways are jitter
_ALONG_DEG = 20.0
_ALIKE_DEG = 30.0  # perspective fans the lanes of one road out by so much


@dataclass(frozen=True)
class Findings:
    """What was seen of one line.

    Attributes:
        forward, backward: ways that cross it.
        beside: ways that cross its continuation beyond an end.
        faults: why it will count nothing, or less than the road has.
    """

    line: Line
    forward: int
    backward: int
    beside: int
    faults: tuple[Fault, ...]


def check(line: Line, size: tuple[int, int], paths: Sequence[Path]) -> Findings:
    """Judge one line.

    Args:
        line: pixels of the picture.
        size: width and height of the picture.
        paths: ways of the vehicles seen; empty judges the geometry alone.
    """
    ways = [path for path in paths if _long_enough(path, size)]
    forward = backward = beside = 0
    turns: list[float] = []
    for path in ways:
        for (x1, y1), (x2, y2) in itertools.pairwise(path):
            before, after = line.side_px(x1, y1), line.side_px(x2, y2)
            if (before > 0) == (after > 0) or before == after:
                continue
            share = before / (before - after)
            if 0 <= line.along(x1 + share * (x2 - x1), y1 + share * (y2 - y1)) <= 1:
                forward += after > 0
                backward += after <= 0
                turns.append(_turn(line, path))
            else:
                beside += 1
    faults = _lies_wrong(line, size)
    if not faults and len(ways) >= _FEW:
        faults = _drives_otherwise(forward, backward, beside, turns)
    return Findings(line, forward, backward, beside, tuple(faults))


def _lies_wrong(line: Line, size: tuple[int, int]) -> list[Fault]:
    """Faults that show without traffic."""
    wide, high = size
    xs, ys = (line.start[0], line.end[0]), (line.start[1], line.end[1])
    if max(xs) <= 0 or min(xs) >= wide or max(ys) <= 0 or min(ys) >= high:
        return ["outside"]
    if min(ys) > high * (1 - _EDGE_SHARE) or max(xs) < wide * _EDGE_SHARE or min(xs) > wide * (1 - _EDGE_SHARE):
        return ["edge"]
    return []


def _drives_otherwise(forward: int, backward: int, beside: int, turns: list[float]) -> list[Fault]:
    """Faults that show against traffic."""
    faults: list[Fault] = []
    crossed = forward + backward
    if not crossed:
        faults.append("beside" if beside >= _FEW else "nobody")
    elif beside > crossed:
        faults.append("beside")
    if turns and float(np.median(turns)) < _ALONG_DEG:
        faults.append("along")
    if crossed >= 2 * _FEW and not (forward and backward):
        faults.append("one-way")  # often right; a two-way road counted on one side is not
    return faults


def suggest(
    size: tuple[int, int], paths: Sequence[Path]
) -> tuple[tuple[float, float], tuple[float, float], Towards] | None:
    """A line across the traffic where it is seen best, or None when too little was seen.

    Returns:
        Both ends and which way most vehicles drive, as a config wants them.
    """
    ways = _busiest([path for path in paths if _long_enough(path, size)])
    if len(ways) < _FEW:
        return None
    points = np.asarray([point for path in ways for point in path], np.float64)
    steps = np.asarray([(p[-1][0] - p[0][0], p[-1][1] - p[0][1]) for p in ways], np.float64)
    # Opposite directions are one axis: the angle doubled, averaged, halved.
    angles = np.arctan2(steps[:, 1], steps[:, 0]) * 2
    axis = math.atan2(float(np.sin(angles).mean()), float(np.cos(angles).mean())) / 2
    ahead, across = np.asarray([math.cos(axis), math.sin(axis)]), np.asarray([-math.sin(axis), math.cos(axis)])
    along, aside = points @ ahead, points @ across
    spans = [(float((np.asarray(p) @ ahead).min()), float((np.asarray(p) @ ahead).max())) for p in ways]
    first, last = np.quantile(along, [0.1, 0.9]).tolist()
    places = np.linspace(first, last, 25)
    passed = [sum(low < place < high for low, high in spans) for place in places]
    best = float(np.mean([place for place, n in zip(places, passed, strict=True) if n == max(passed)]))
    near = aside[np.abs(along - best) < max(10.0, 0.05 * math.hypot(*size))]
    near = near if len(near) else aside
    margin = 0.04 * math.hypot(*size)
    ends = [ahead * best + across * (edge + more) for edge, more in ((near.min(), -margin), (near.max(), margin))]
    start, end = sorted((round(float(x.clip(0, size[0] - 1))), round(float(y.clip(0, size[1] - 1)))) for x, y in ends)
    flow = steps.sum(axis=0)
    if abs(float(ahead[1])) > abs(float(ahead[0])):
        forward: Towards = "down" if flow[1] >= 0 else "up"
    else:
        forward = "right" if flow[0] >= 0 else "left"
    return (float(start[0]), float(start[1])), (float(end[0]), float(end[1])), forward


def _busiest(ways: Sequence[Path]) -> Sequence[Path]:
    """The ways along the axis most vehicles drive on; at a junction the others would bend the line."""
    axes = np.asarray([math.degrees(math.atan2(p[-1][1] - p[0][1], p[-1][0] - p[0][0])) % 180 for p in ways])
    best: Sequence[Path] = ()
    for axis in range(0, 180, 10):
        apart = np.abs((axes - axis + 90) % 180 - 90)
        alike = [path for path, off in zip(ways, apart.tolist(), strict=True) if off <= _ALIKE_DEG]
        best = max(best, alike, key=len)
    return best


def _long_enough(path: Path, size: tuple[int, int]) -> bool:
    (x1, y1), (x2, y2) = path[0], path[-1]
    return math.hypot(x2 - x1, y2 - y1) >= _LEAST_PATH * math.hypot(*size)


def _turn(line: Line, path: Path) -> float:
    """Angle between a way and the line, 0..90 degrees."""
    (x1, y1), (x2, y2) = path[0], path[-1]
    dx, dy = line.end[0] - line.start[0], line.end[1] - line.start[1]
    sine = abs((x2 - x1) * dy - (y2 - y1) * dx) / (math.hypot(x2 - x1, y2 - y1) * math.hypot(dx, dy))
    return math.degrees(math.asin(min(sine, 1.0)))
