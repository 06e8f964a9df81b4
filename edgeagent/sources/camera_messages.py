"""What the daemon and a camera worker say to each other: one JSON object per line.

The daemon writes `Start` once and keeps the pipe open; a closed pipe tells the worker to go.
The worker writes `Hello`, then a `Tally` every second: it is heartbeat and data in one, because
its totals only grow.  A worker that dies takes at most the last second of counting with it.
No message can hold a picture.  May import: nothing of ours, so both ends stay light.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

__all__ = [
    "DIRECTIONS",
    "TALLY_S",
    "End",
    "Failure",
    "FromWorker",
    "Hello",
    "LineSpec",
    "LineTally",
    "RegionTally",
    "SpeedTally",
    "Start",
    "Tally",
    "Trap",
    "without_password",
]

TALLY_S = 1.0
DIRECTIONS = ("forward", "backward")
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")


class LineSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A counting line: pixels of the camera picture, and which way is forward in it."""

    id: str
    start: tuple[float, float]
    end: tuple[float, float]
    forward: Literal["down", "up", "left", "right"]


class Trap(msgspec.Struct, frozen=True, kw_only=True):
    """Two lines between which speeds are measured, and how far apart they are along the road."""

    first: str
    second: str
    distance_m: float


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker is to do.

    Attributes:
        camera: URL, /dev path or file.
        model: a shipped model's name, or the path of an .onnx file with its card beside it.
        lines: at least one.
        region: corners of the polygon in which queues are looked for; empty for none.
        speed: where speeds are measured.
        max_fps: looks per second at most.
        deadline_s: without a picture for so long the worker gives up.
        pace: a file is played at its own speed; false plays as fast as it can be looked at.
        cpu_share: of one core that the worker may use; above it looks less often.
        most_mib: memory above which it gives up and is started anew.
        gate: the detector rests while nothing moves.
    """

    camera: str
    model: str
    lines: tuple[LineSpec, ...]
    region: tuple[tuple[float, float], ...] = ()
    speed: Trap | None = None
    max_fps: float = 10.0
    deadline_s: float = 10.0
    pace: bool = True
    cpu_share: float = 1.0
    most_mib: int = 400
    gate: bool = True


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """The model is loaded.

    Attributes:
        model: first 12 hex digits of the model file's SHA-256.
        classes: classes it counts.
        trust: how far each of their names may be believed ("good" where it is not said).
    """

    model: str
    classes: tuple[str, ...]
    trust: dict[str, Literal["good", "hint", "none"]] = {}


class LineTally(msgspec.Struct, frozen=True, kw_only=True):
    """Running totals of one line: vehicles by direction and class; looks with a vehicle on it."""

    counts: dict[str, dict[str, int]]
    touched: int


class RegionTally(msgspec.Struct, frozen=True, kw_only=True):
    """Running totals of the region, seconds; see `vision.region.RegionTotals`."""

    occupied_s: float = 0.0
    vehicle_s: float = 0.0
    standing_s: float = 0.0
    queue_s: tuple[float, ...] = ()
    pace_s: float = 0.0
    paced_s: float = 0.0


class SpeedTally(msgspec.Struct, frozen=True, kw_only=True):
    """Vehicles measured since the start, and their speeds added up."""

    measured: int = 0
    sum_kmh: float = 0.0


class Tally(msgspec.Struct, frozen=True, kw_only=True, tag="tally"):
    """Running totals since the worker began.

    Attributes:
        looks: pictures looked at.
        inferred: of these, how many the detector was needed for.
        dropped: pictures that should have been looked at and were not.
        watched_s: time these looks vouch for.
        flagged_s: of that, time under each scene flag.
        lines: by line id.
        region: where there is one.
        speed: by direction, where it is measured.
        fps: looks per second allowed now.
        limit: what holds them down: nothing, "cpu" or "heat".
        input_width: of the pictures that the model is shown now, pixels.
        waiting: no picture has come since the last tally.
    """

    looks: int = 0
    inferred: int = 0
    dropped: int = 0
    watched_s: float = 0.0
    flagged_s: dict[str, float] = {}
    lines: dict[str, LineTally] = {}
    region: RegionTally | None = None
    speed: dict[str, SpeedTally] = {}
    fps: float = 0.0
    limit: Literal["", "cpu", "heat"] = ""
    input_width: int = 0
    waiting: bool = False


class Failure(msgspec.Struct, frozen=True, kw_only=True, tag="failure"):
    """An error of ours, by code and facts.

    Attributes:
        fatal: the worker ends after this line.
    """

    code: str
    facts: dict[str, str]
    fatal: bool = True


class End(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """The file has been played to its end; the worker ends after this line."""

    frames: int


FromWorker = Hello | Tally | Failure | End


def without_password(text: str) -> str:
    """A camera URL as it may be shown: `rtsp://user:secret@host/` loses `user:secret@`."""
    return _USERINFO.sub("", text)
