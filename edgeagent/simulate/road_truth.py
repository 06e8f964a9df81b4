"""What can be seen and who crossed: boxes over time -> the truth file of a clip.

The truth comes from the boxes alone: a vehicle crosses when the bottom centre of its outline changes sides of the
line, which is what a counter can see. The form is that of the truth files of recorded clips.
May import: own room; msgspec.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from edgeagent.simulate.road_vehicles import CLASSES

__all__ = ["EDGE_FRAMES", "ClipTruth", "CountingLine", "Crossing", "Sight", "Spot", "clip_truth", "count_crossings"]

EDGE_FRAMES = 10  # a counter cannot be sure of what crosses this close to a clip's first or last frame
Spot = tuple[int, int]


class Sight(NamedTuple):
    """One vehicle in one picture.

    Args:
        vehicle: The same number as long as it is on the road.
        cls: One of car, bus, truck, motorcycle.
        box: x1, y1, x2, y2 in pixels, cut at the picture's edge; hidden parts included.
        visible: Share of its outline in the picture that no nearer vehicle hides, 0..1.
    """

    vehicle: int
    cls: str
    box: tuple[float, float, float, float]
    visible: float


class Crossing(msgspec.Struct, frozen=True):
    """A vehicle's bottom centre is beyond the line in this frame and was not in the one before."""

    frame: int
    cls: str
    edge: bool


class CountingLine(msgspec.Struct, frozen=True):
    """A line in pixels and who crossed it; `counts` includes the edge events."""

    id: str
    p1: Spot
    p2: Spot
    directions: dict[str, str]
    counts: dict[str, dict[str, int]]
    edge_events: int
    events: dict[str, list[Crossing]]
    crossings: list[tuple[int, str, str]]


class ClipTruth(msgspec.Struct, frozen=True):
    """What a clip's truth file says; the same form as that of the recorded clips."""

    file: str
    width: int
    height: int
    fps: float
    frames: int
    sha256: str
    source: str
    licence: str
    scene: str
    anchor: str
    sign: str
    classes: str
    frame_tolerance: int
    lines: list[CountingLine]


def count_crossings(
    tracks: dict[int, list[tuple[int, Sight]]], line: tuple[Spot, Spot], frames: int
) -> dict[str, list[Crossing]]:
    """Who crossed the line, by sign, in frame order.

    Args:
        tracks: Per vehicle its sights with frame numbers, in order.
        line: Both ends in pixels; with the left one first, positive is downwards.
        frames: Length of the clip, for the edge flag.
    """
    events: dict[str, list[Crossing]] = {"positive": [], "negative": []}
    (x1, y1), (x2, y2) = line
    for track in tracks.values():
        was: float | None = None
        for frame, sight in track:
            x, y = (sight.box[0] + sight.box[2]) / 2, sight.box[3]
            side = (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)
            along = ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / ((x2 - x1) ** 2 + (y2 - y1) ** 2)
            if was is not None and (was > 0) != (side > 0) and 0 <= along <= 1:
                edge = frame < EDGE_FRAMES or frame >= frames - EDGE_FRAMES
                events["positive" if side > 0 else "negative"].append(Crossing(frame, sight.cls, edge))
            was = side
    return {sign: sorted(found, key=lambda one: (one.frame, one.cls)) for sign, found in events.items()}


def clip_truth(
    clip: Path,
    line: tuple[Spot, Spot],
    events: dict[str, list[Crossing]],
    *,
    size: tuple[int, int],
    fps: float,
    frames: int,
    seed: int,
) -> ClipTruth:
    """The truth of a clip that is written, from its crossings."""
    directions = {"positive": "toward the camera", "negative": "away"}
    counts = {
        sign: {cls: n for cls in CLASSES if (n := sum(one.cls == cls for one in found))}
        for sign, found in events.items()
    }
    both = sorted((one.frame, one.cls, directions[sign]) for sign, found in events.items() for one in found)
    edges = sum(one.edge for found in events.values() for one in found)
    return ClipTruth(
        file=clip.name,
        width=size[0],
        height=size[1],
        fps=fps,
        frames=frames,
        sha256=hashlib.sha256(clip.read_bytes()).hexdigest(),
        source=f"rendered by edgeagent.simulate.road, seed {seed}",
        licence="Apache-2.0",
        scene="rendered two-way road in daylight, traffic on the left",
        anchor="bottom-centre of the vehicle crosses the segment p1-p2",
        sign="positive: the anchor moves to the side where (x2-x1)*(y-y1)-(y2-y1)*(x-x1) > 0 "
        "(image axes, y down); for a left-to-right line that is downwards",
        classes="car (includes vans), truck, bus, motorcycle",
        frame_tolerance=5,
        lines=[CountingLine("road", *line, directions, counts, edges, events, both)],
    )
