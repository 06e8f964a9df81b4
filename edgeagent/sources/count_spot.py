"""Counting on the spot, for a person who stands beside the road: what the worker does, picture by picture.

May import: errors clock; camera_lookout, annotate, video and what they import; cv2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from edgeagent.clock import Clock
from edgeagent.errors import SourceUnavailable
from edgeagent.sources.annotate import annotated, coarse
from edgeagent.sources.camera_lookout import Lookout
from edgeagent.sources.camera_messages import Start, without_password
from edgeagent.sources.video import FileFrames, Frame, LiveCamera, is_live, sleep_until
from edgeagent.vision.crossing import Crossing
from edgeagent.vision.line_check import Path

__all__ = ["Seen", "Spot"]

_PATIENCE_S = 10.0
_LONGEST_PATH = 400


@dataclass
class Seen:
    """One picture and what was counted by it."""

    at_s: float
    frame: Frame
    crossings: Sequence[Crossing]


@dataclass
class Spot:
    """One camera, watched by a person.

    Args:
        start: camera, model, lines; without lines nothing is counted, but ways are followed.
        clock: for live cameras.

    Attributes:
        size: width and height of the picture, once there was one.
        ways: foot points of every vehicle followed, by track.
    """

    start: Start
    clock: Clock
    size: tuple[int, int] = (0, 0)
    ways: dict[int, list[tuple[float, float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lookout = Lookout(self.start)

    def watch(self, seconds: float) -> Iterator[Seen]:
        """The pictures of so many seconds, or of the whole file if it is shorter.

        Raises:
            SourceUnavailable: camera or file cannot be read.
            ConfigError: a line lies outside the picture.
        """
        for frame in self._frames(seconds):
            self.size = (frame.picture.shape[1], frame.picture.shape[0])
            crossings = self.lookout.look(frame)
            for track in self.lookout.counter.seen:
                way = self.ways.setdefault(track.id, [])
                if len(way) < _LONGEST_PATH:
                    way.append((float(track.box[0] + track.box[2]) / 2, float(track.box[3])))
            yield Seen(frame.at_s, frame, crossings)
        last = self.lookout.counter.finish()
        if last:
            yield Seen(frame.at_s, frame, last)

    def _frames(self, seconds: float) -> Iterator[Frame]:
        if is_live(self.start.camera):
            yield from self._live(seconds)
            return
        begun_s = self.clock.mono()
        for frame in FileFrames(self.start.camera, max_fps=self.start.max_fps):
            if frame.at_s > seconds:
                return
            while self.start.pace and self.clock.mono() < begun_s + frame.at_s:
                sleep_until(self.clock, begun_s + frame.at_s, 1.0)
            yield frame

    def _live(self, seconds: float) -> Iterator[Frame]:
        camera = LiveCamera(self.start.camera, self.clock)
        begun_s = last_s = due_s = self.clock.mono()
        while (now_s := self.clock.mono()) - begun_s < seconds:
            sleep_until(self.clock, due_s, 1.0)
            frame = camera.take(1.0)
            if frame is not None:
                last_s, due_s = now_s, max(due_s, now_s) + 1 / self.start.max_fps
                yield frame
            elif now_s - last_s > _PATIENCE_S:
                shown = without_password(self.start.camera)
                raise SourceUnavailable("camera.no-picture", camera=shown, silent_s=round(now_s - last_s))

    def paths(self) -> list[Path]:
        """Every vehicle's way through the picture."""
        return list(self.ways.values())

    def png(self, seen: Seen) -> bytes:
        """The picture as it may be shown: coarse, with lines, boxes and counts."""
        counter = self.lookout.counter
        counts = {
            name: {d: sum(by_class.values()) for d, by_class in totals.counts.items()}
            for name, totals in counter.totals.items()
        }
        boxes = np.asarray([track.box for track in counter.seen], np.float32).reshape(-1, 4)
        drawn = annotated(coarse(seen.frame.picture), counter.lines, boxes, counts=counts, region=counter.region)
        done, packed = cv2.imencode(".png", drawn)
        assert done, "OpenCV writes every picture as PNG"
        return packed.tobytes()
