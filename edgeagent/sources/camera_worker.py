"""The worker process of one camera: frames and the ONNX model live here; only counts leave.

    python -m edgeagent.sources.camera_worker      one `Start` line on stdin, messages on stdout

It ends when stdin closes (the daemon is gone), when the camera fails, or when the file is over.
A camera library that hangs is killed from outside; a model swap is a new process, because
onnxruntime leaks when sessions are made anew.
May import: reading errors clock backoff ports tables vision shipped; onnxruntime, cv2.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import msgspec

from edgeagent import shipped
from edgeagent.clock import Clock, SystemClock
from edgeagent.errors import ConfigError, EdgeAgentError, SourceUnavailable
from edgeagent.sources.camera_messages import TALLY_S, End, Failure, Hello, LineTally, Start, Tally, without_password
from edgeagent.sources.detector import Detector
from edgeagent.sources.video import FileFrames, Frame, LiveCamera, is_live, sleep_until
from edgeagent.vision.counting import Counter
from edgeagent.vision.crossing import Line
from edgeagent.vision.scene import SceneWatch

__all__ = ["Worker", "main"]

_NICE = 5  # gauges and alarms go first
_SCENE_EVERY_S = 1.0
_MOST_MIB = 400  # three times the usual: a leak is cured by a new process
_MENDABLE = frozenset(("blurred", "frozen", "moved"))  # nobody mends the night
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Worker:
    """Looks at one camera and tells the running totals.

    Args:
        start: what to do.
        out: where messages go.
        clock: for pace and deadlines.
    """

    def __init__(self, start: Start, out: BinaryIO, clock: Clock) -> None:
        self._start = start
        self._out = out
        self._clock = clock
        self._encode = msgspec.json.Encoder().encode
        self._flags: frozenset[str] = frozenset()
        self._flagged_s: dict[str, float] = {}
        self._told_flags: set[str] = set()
        self._told_s = clock.mono()
        self._told_looks = 0
        self._judged_s = float("-inf")
        self._scene = SceneWatch()

    def run(self) -> None:
        """Until the camera or the file ends.

        Raises:
            EdgeAgentError: what the daemon is to hear about.
        """
        start = self._start
        self._detector = Detector(shipped.model(start.model))
        card = self._detector.card
        lines = [Line.towards(line.id, line.start, line.end, line.forward) for line in start.lines]
        self._counter = Counter(card, lines)
        self.say(Hello(model=self._detector.sha256[:12], classes=card.vehicles))
        if is_live(start.camera):
            for frame in self._live():
                self._look(frame)
        else:
            film = FileFrames(start.camera, max_fps=start.max_fps)
            for frame in self._played(film):
                self._look(frame)
            self._counter.finish()
            self._tell()
            self.say(End(frames=film.read))

    def say(self, message: Hello | Tally | Failure | End) -> None:
        """Write one line."""
        self._out.write(self._encode(message) + b"\n")
        self._out.flush()

    def _live(self) -> Iterator[Frame]:
        """The newest picture, as often as wanted; a tally also while nothing comes."""
        camera = LiveCamera(self._start.camera, self._clock)
        due_s = last_s = self._clock.mono()
        while True:
            sleep_until(self._clock, due_s, TALLY_S)
            frame = camera.take(TALLY_S / 2)
            now_s = self._clock.mono()
            if frame is not None:
                due_s = max(due_s + 1 / self._start.max_fps, now_s - 1 / self._start.max_fps)
                last_s = now_s
                yield frame
            elif now_s - last_s > self._start.deadline_s:
                shown = without_password(self._start.camera)
                raise SourceUnavailable("camera.no-picture", camera=shown, silent_s=round(now_s - last_s))
            self._tell_if_due()

    def _played(self, film: FileFrames) -> Iterator[Frame]:
        """A file's pictures, each at its time; none is skipped when looking takes longer."""
        begun_s = self._clock.mono()
        for frame in film:
            if self._start.pace:
                while self._clock.mono() < begun_s + frame.at_s:
                    sleep_until(self._clock, begun_s + frame.at_s, TALLY_S)
                    self._tell_if_due()
            yield frame
            self._tell_if_due()

    def _look(self, frame: Frame) -> None:
        if self._counter.looks == 0:
            self._check_lines(frame.picture.shape[1], frame.picture.shape[0])
        found = self._detector.look(frame.picture)
        if frame.at_s - self._judged_s >= _SCENE_EVERY_S:
            self._judged_s = frame.at_s
            self._judge(frame.at_s)
        before_s = self._counter.watched_s
        self._counter.look(found, frame.at_s, believable="frozen" not in self._flags)
        for flag in self._flags:
            self._flagged_s[flag] = self._flagged_s.get(flag, 0.0) + self._counter.watched_s - before_s

    def _judge(self, now_s: float) -> None:
        """Look at the scene itself; tell once what a person would have to mend."""
        self._flags = self._scene.look(self._detector.scaled, now_s)
        for flag in self._flags & _MENDABLE - self._told_flags:
            self._told_flags.add(flag)
            shown = without_password(self._start.camera)
            self.say(Failure(code=f"camera.scene-{flag}", facts={"camera": shown}, fatal=False))

    def _check_lines(self, width: int, height: int) -> None:
        """A line no vehicle of this picture can reach would count zero for ever, without a word."""
        for line in self._start.lines:
            xs, ys = (line.start[0], line.end[0]), (line.start[1], line.end[1])
            if max(xs) <= 0 or min(xs) >= width or max(ys) <= 0 or min(ys) >= height:
                raise ConfigError("camera.line-outside", line=line.id, width=width, height=height)

    def _tell_if_due(self) -> None:
        if self._clock.mono() - self._told_s >= TALLY_S:
            self._tell()
            used = _rss_mib()
            if used > _MOST_MIB:
                raise SourceUnavailable("camera.memory", used=used, most=_MOST_MIB)

    def _tell(self) -> None:
        counter = self._counter
        lines = {name: LineTally(counts=t.counts, touched=t.touched) for name, t in counter.totals.items()}
        waiting = counter.looks == self._told_looks
        self.say(
            Tally(
                looks=counter.looks,
                watched_s=round(counter.watched_s, 3),
                flagged_s={flag: round(s, 3) for flag, s in self._flagged_s.items()},
                lines=lines,
                waiting=waiting,
            )
        )
        self._told_s, self._told_looks = self._clock.mono(), counter.looks


def main() -> int:
    """Run one worker.

    Returns:
        0 when the file was played to its end, 3 when the camera or the model failed.
    """
    # Ctrl-C and systemd signal the whole group; the daemon decides when its worker leaves.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # the unit's system call filter may forbid it
        os.nice(_NICE)
    cv2.setNumThreads(1)
    # File descriptor 1 is for messages alone: a library that prints must not spoil a line.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    start = msgspec.json.decode(sys.stdin.buffer.readline(), type=Start)
    threading.Thread(target=_leave_with_the_daemon, name="stdin", daemon=True).start()
    worker = Worker(start, out, SystemClock())
    status = 0
    try:
        worker.run()
    except EdgeAgentError as error:
        facts = {key: str(value) for key, value in error.facts.items()}
        worker.say(Failure(code=error.code, facts=facts))
        status = 3
    return status


def _leave_with_the_daemon() -> None:
    """Whatever the other threads hang in, without a daemon nobody needs them."""
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


def _rss_mib() -> int:
    with Path("/proc/self/statm").open(encoding="ascii") as file:
        return int(file.read().split()[1]) * _PAGE // 2**20


if __name__ == "__main__":
    # Not sys.exit: a grabbing thread inside FFmpeg must not be waited for.
    code = main()
    sys.stderr.flush()
    os._exit(code)
