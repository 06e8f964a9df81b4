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
    "Start",
    "Tally",
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


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker is to do.

    Attributes:
        camera: URL, /dev path or file.
        model: a shipped model's name, or the path of an .onnx file with its card beside it.
        lines: at least one.
        max_fps: looks per second at most.
        deadline_s: without a picture for so long the worker gives up.
        pace: a file is played at its own speed; false plays as fast as it can be looked at.
    """

    camera: str
    model: str
    lines: tuple[LineSpec, ...]
    max_fps: float = 10.0
    deadline_s: float = 10.0
    pace: bool = True


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """The model is loaded.

    Attributes:
        model: first 12 hex digits of the model file's SHA-256.
        classes: vehicle classes it can name.
    """

    model: str
    classes: tuple[str, ...]


class LineTally(msgspec.Struct, frozen=True, kw_only=True):
    """Running totals of one line: vehicles by direction and class; looks with a vehicle on it."""

    counts: dict[str, dict[str, int]]
    touched: int


class Tally(msgspec.Struct, frozen=True, kw_only=True, tag="tally"):
    """Running totals since the worker began.

    Attributes:
        looks: pictures looked at.
        watched_s: time these looks vouch for.
        flagged_s: of that, time under each scene flag.
        lines: by line id.
        waiting: no picture has come since the last tally.
    """

    looks: int = 0
    watched_s: float = 0.0
    flagged_s: dict[str, float] = {}
    lines: dict[str, LineTally] = {}
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
