"""Pictures from a camera or a file.  The door to OpenCV's VideoCapture.

A live camera is read by a thread of its own that takes every picture off the wire and keeps only
the newest: reading slower than the camera sends would show the past, further back every minute.
A file is played at its own speed, so that a clip behaves like the camera that took it.
May import: errors clock; cv2.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edgeagent.clock import Clock
from edgeagent.errors import SourceUnavailable
from edgeagent.sources.camera_messages import without_password

__all__ = ["FileFrames", "Frame", "LiveCamera", "is_live", "sleep_until"]

# FFmpeg inside OpenCV writes URLs with passwords to stderr, and OpenCV a guess at every failure; what
# a person needs to know is in our own errors.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_OPEN_MS = 8000
_READ_MS = 5000
_FALLBACK_FPS = 25.0


class Frame(NamedTuple):
    """A picture (H, W, 3) uint8 BGR and when it was taken, in seconds."""

    at_s: float
    picture: npt.NDArray[np.uint8]


def is_live(camera: str) -> bool:
    """Whether `camera` is a device or a stream, not a file."""
    return "://" in camera or camera.startswith("/dev/")


class FileFrames:
    """The pictures of a file, each with its own time in the clip.

    Args:
        path: a file OpenCV can read.
        max_fps: take at most so many per second of clip; None takes all.

    Raises:
        SourceUnavailable: `camera.no-file`, `camera.not-video`.
    """

    def __init__(self, path: str, *, max_fps: float | None = None) -> None:
        if not Path(path).is_file():
            raise SourceUnavailable("camera.no-file", camera=path)
        self._capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not self._capture.isOpened():
            raise SourceUnavailable("camera.not-video", camera=path)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 240 else _FALLBACK_FPS  # noqa: PLR2004  some files claim 90,000
        self.frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.read = 0
        self._max_fps = max_fps

    def __iter__(self) -> Iterator[Frame]:
        """The pictures to look at, in order; those between are decoded and dropped."""
        due_s = 0.0
        while self._capture.grab():
            at_s = self.read / self.fps
            self.read += 1
            if self._max_fps is not None:
                if at_s + 1e-6 < due_s:
                    continue
                due_s = max(due_s + 1 / self._max_fps, at_s)
            good, picture = self._capture.retrieve()
            if good:
                yield Frame(at_s, np.asarray(picture, np.uint8))

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()


class LiveCamera:
    """A stream or a device, read by a thread.

    Args:
        camera: `rtsp://…`, `http://…` (MJPEG), any other URL FFmpeg knows, or a /dev path (V4L2).
        clock: stamps pictures at the moment they come off the wire.

    Attributes:
        grabbed: pictures that came off the wire so far, wanted or not.
    """

    def __init__(self, camera: str, clock: Clock) -> None:
        self._camera = camera
        self._clock = clock
        self._wanted = threading.Event()
        self._arrived = threading.Event()
        self._newest: Frame | None = None
        self._failure: SourceUnavailable | None = None
        self.grabbed = 0
        # Daemonic: OpenCV can hang in a read for longer than anybody wants to wait.
        self._thread = threading.Thread(target=self._run, name="grab", daemon=True)
        self._thread.start()

    def take(self, wait_s: float) -> Frame | None:
        """The next picture, or None when none came in `wait_s`.

        Raises:
            SourceUnavailable: the camera cannot be opened or has stopped.
        """
        self._wanted.set()
        if not self._arrived.wait(wait_s):
            return None
        self._arrived.clear()
        if self._failure is not None:
            raise self._failure
        frame, self._newest = self._newest, None
        return frame

    def _run(self) -> None:
        shown = without_password(self._camera)
        capture = _open(self._camera)
        if not capture.isOpened():
            self._fail(SourceUnavailable("camera.not-open", camera=shown))
            return
        while capture.grab():
            at_s = self._clock.mono()
            self.grabbed += 1
            if not self._wanted.is_set():
                continue
            good, picture = capture.retrieve()
            if good:
                self._wanted.clear()
                self._newest = Frame(at_s, np.asarray(picture, np.uint8))
                self._arrived.set()
        capture.release()
        self._fail(SourceUnavailable("camera.stopped", camera=shown))

    def _fail(self, error: SourceUnavailable) -> None:
        self._failure = error
        self._arrived.set()


def _open(camera: str) -> cv2.VideoCapture:
    """Open with time limits given at construction: set later they come too late (30 s each)."""
    if camera.startswith("/dev/"):
        capture = cv2.VideoCapture(os.path.realpath(camera), cv2.CAP_V4L2)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture
    if camera.startswith("rtsp"):
        # Setting this variable for anything drops OpenCV's default of TCP, so say TCP ourselves:
        # over UDP a lossy LTE link smears the picture and a firewall hangs it.
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;tcp"
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_MS]
    limits += [cv2.CAP_PROP_N_THREADS, 1]  # each decoder thread holds pictures back and memory
    return cv2.VideoCapture(camera, cv2.CAP_FFMPEG, limits)


def sleep_until(clock: Clock, at_s: float, most_s: float) -> None:
    """Wait for a moment of the clock, but not longer than `most_s`."""
    rest = min(at_s - clock.mono(), most_s)
    if rest > 0:
        time.sleep(rest)
