"""Pictures of one camera for a moment; a process of its own, killed from outside when it hangs.

    python -m edgeagent.install.camera_scan_probe CAMERA SECONDS LIMIT_S      one JSON line on stdout

No picture leaves it, only its size and pace.
"""

from __future__ import annotations

import os
import sys
from itertools import islice

import msgspec

from edgeagent.clock import Clock, SystemClock
from edgeagent.errors import EdgeAgentError, SourceUnavailable
from edgeagent.install.camera_scan import Shown
from edgeagent.sources.camera_messages import without_password
from edgeagent.sources.video import FileFrames, Frame, LiveCamera, is_live

__all__ = ["main"]

_OF_A_FILE = 10


def main(camera: str, seconds: float, limit_s: float) -> None:
    """Look, say what was seen, and leave without waiting for OpenCV's threads."""
    try:
        shown = _live(camera, SystemClock(), seconds, limit_s) if is_live(camera) else _file(camera)
        said: dict[str, object] = {"shown": msgspec.to_builtins(shown)}
    except EdgeAgentError as error:
        said = {"code": error.code, "facts": {name: str(fact) for name, fact in error.facts.items()}}
    sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
    sys.stdout.flush()
    os._exit(0)


def _file(camera: str) -> Shown:
    video = FileFrames(camera)
    taken = list(islice(video, _OF_A_FILE))
    if not taken:
        raise SourceUnavailable("camera.not-video", camera=camera)
    return _shown(taken[0], video.fps, len(taken))


def _live(camera: str, clock: Clock, seconds: float, limit_s: float) -> Shown:
    live, ends_s = LiveCamera(camera, clock), clock.mono() + limit_s
    first: Frame | None = None
    while first is None and clock.mono() < ends_s:
        first = live.take(0.5)
    if first is None:
        raise SourceUnavailable("camera.no-picture", camera=without_password(camera), silent_s=round(limit_s))
    began_s, before, taken, last_s = first.at_s, live.grabbed, 1, first.at_s
    while clock.mono() < min(began_s + seconds, ends_s):
        frame = live.take(0.5)
        if frame is not None:
            taken, last_s = taken + 1, frame.at_s
    pace = (live.grabbed - before) / (last_s - began_s) if last_s > began_s else 0.0
    return _shown(first, pace, taken)


def _shown(frame: Frame, fps: float, taken: int) -> Shown:
    high, wide = frame.picture.shape[:2]
    return Shown(int(wide), int(high), round(float(fps), 1), taken)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
