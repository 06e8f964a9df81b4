"""One camera's pictures -> running totals: detector, motion gate, counter and scene together.

What the worker does with each picture, without the pipe, the pace and the process around it.
May import: reading errors clock backoff ports tables vision shipped; onnxruntime, cv2.
"""

from __future__ import annotations

from edgeagent import shipped
from edgeagent.errors import ConfigError
from edgeagent.sources.camera_messages import (
    LineTally,
    RegionTally,
    SpeedTally,
    Start,
    Tally,
)
from edgeagent.sources.detector import Eye, open_eye
from edgeagent.sources.video import Frame
from edgeagent.vision.counting import Counter
from edgeagent.vision.crossing import Crossing, Line
from edgeagent.vision.detections import Detections
from edgeagent.vision.motion import MotionGate
from edgeagent.vision.region import Region, RegionTotals
from edgeagent.vision.scene import SceneWatch
from edgeagent.vision.speed import SpeedTrap

__all__ = ["Lookout"]

_SCENE_EVERY_S = 1.0


class Lookout:
    """Looks at one camera's pictures.

    Args:
        start: what to do.

    Attributes:
        eye: what finds vehicles in a picture.
        counter: tracks and totals.
        flags: what is wrong with the scene now.
        inferred: looks for which the detector was needed.
        step: how far down the model's smaller input sizes to look; set from outside.

    Raises:
        ConfigError: model, card or lines cannot be used.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self.eye: Eye = open_eye(start.model, shipped.model)
        lines = [Line.towards(line.id, line.start, line.end, line.forward) for line in start.lines]
        speed = start.speed
        trap = SpeedTrap(speed.first, speed.second, speed.distance_m) if speed else None
        region = Region(start.region) if start.region else None
        self.counter = Counter(self.eye.card, lines, region, trap)
        self.flags: frozenset[str] = frozenset()
        self.inferred = 0
        self.step = 0
        self._gate = MotionGate()
        self._found = Detections.none()
        self._flagged_s: dict[str, float] = {}
        self._judged_s = float("-inf")
        self._scene = SceneWatch()

    def look(self, frame: Frame) -> list[Crossing]:
        """Take in one picture.

        Returns:
            What was counted by it.

        Raises:
            ConfigError: a line lies outside the picture, or the model does not answer as promised.
        """
        if self.counter.looks == 0:
            self._check_lines(frame.picture.shape[1], frame.picture.shape[0])
        scaled = self.eye.shrink(frame.picture)
        rests = self._start.gate and self.eye.may_rest
        if not rests or self._gate.opens(scaled, frame.at_s, vehicles=len(self._found)):
            self._found = self.eye.find(self.step)
            self.inferred += 1
        if frame.at_s - self._judged_s >= _SCENE_EVERY_S:
            self._judged_s = frame.at_s
            self.flags = self._scene.look(scaled, frame.at_s)
        before_s = self.counter.watched_s
        crossings = self.counter.look(self._found, frame.at_s, believable="frozen" not in self.flags)
        for flag in self.flags:
            self._flagged_s[flag] = self._flagged_s.get(flag, 0.0) + self.counter.watched_s - before_s
        return crossings

    def tally(self, **more: object) -> Tally:
        """The totals so far, with what the caller knows: `dropped`, `fps`, `limit`, `waiting`."""
        counter = self.counter
        queue = counter.queue.totals if counter.queue is not None else None
        return Tally(
            looks=counter.looks,
            inferred=self.inferred,
            watched_s=round(counter.watched_s, 3),
            flagged_s={flag: round(s, 3) for flag, s in self._flagged_s.items()},
            lines={name: LineTally(counts=t.counts, touched=t.touched) for name, t in counter.totals.items()},
            region=_region_tally(queue) if queue is not None else None,
            speed={
                direction: SpeedTally(measured=t.measured, sum_kmh=round(t.sum_kmh, 2))
                for direction, t in (counter.trap.totals if counter.trap else {}).items()
            },
            **more,  # type: ignore[arg-type]
        )

    def _check_lines(self, width: int, height: int) -> None:
        """A line no vehicle of this picture can reach would count zero for ever, without a word."""
        for line in self._start.lines:
            xs, ys = (line.start[0], line.end[0]), (line.start[1], line.end[1])
            if max(xs) <= 0 or min(xs) >= width or max(ys) <= 0 or min(ys) >= height:
                raise ConfigError("camera.line-outside", line=line.id, width=width, height=height)


def _region_tally(totals: RegionTotals) -> RegionTally:
    return RegionTally(
        occupied_s=round(totals.occupied_s, 3),
        vehicle_s=round(totals.vehicle_s, 3),
        standing_s=round(totals.standing_s, 3),
        queue_s=tuple(round(s, 2) for s in totals.queue_s if s > 0),
        pace_s=round(totals.pace_s, 3),
        paced_s=round(totals.paced_s, 3),
    )
