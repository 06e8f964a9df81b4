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
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import msgspec

from edgeagent.clock import Clock, SystemClock
from edgeagent.errors import EdgeAgentError, SourceUnavailable
from edgeagent.sources.camera_governor import JUDGED_EVERY_S, Governor
from edgeagent.sources.camera_lookout import Lookout
from edgeagent.sources.camera_messages import TALLY_S, End, Failure, Hello, Start, Tally, without_password
from edgeagent.sources.video import FileFrames, Frame, LiveCamera, is_live, sleep_until

__all__ = ["Worker", "main"]

_NICE = 5  # gauges and alarms go first
_HARD_SHARE = 3  # address space that holds data may grow to so many times the limit: then allocation fails
_MENDABLE = frozenset(("blurred", "frozen", "moved"))  # nobody mends the night
_PAGE = os.sysconf("SC_PAGE_SIZE")
_THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")  # millidegrees; the processor on every Pi


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
        self._dropped = 0
        self._told_flags: set[str] = set()
        self._told_s = clock.mono()
        self._told_looks = 0

    def run(self) -> None:
        """Until the camera or the file ends.

        Raises:
            EdgeAgentError: what the daemon is to hear about.
        """
        start = self._start
        self._lookout = Lookout(start)
        card = self._lookout.eye.card
        self._governor = Governor(start.max_fps, start.cpu_share, card.input.costs)
        trust = {name: card.trust_in(name) for name in card.counted}
        self.say(Hello(model=self._lookout.eye.sha256[:12], classes=card.counted, trust=trust))
        self._judged_s, self._used_s = self._clock.mono(), time.process_time()
        if is_live(start.camera):
            for frame in self._live():
                self._look(frame)
        else:
            film = FileFrames(start.camera, max_fps=start.max_fps)
            for frame in self._played(film):
                self._look(frame)
            self._lookout.counter.finish()
            self._tell()
            self.say(End(frames=film.read))

    def say(self, message: Hello | Tally | Failure | End) -> None:
        """Write one line."""
        self._out.write(self._encode(message) + b"\n")
        self._out.flush()

    def _live(self) -> Iterator[Frame]:
        """The newest picture, as often as allowed; a tally also while nothing comes."""
        camera = LiveCamera(self._start.camera, self._clock)
        due_s = last_s = self._clock.mono()
        while True:
            sleep_until(self._clock, due_s, TALLY_S)
            frame = camera.take(TALLY_S / 2)
            now_s = self._clock.mono()
            every_s = 1 / self._governor.fps
            if frame is not None:
                due_s = max(due_s + every_s, now_s - every_s)
                last_s, before = now_s, camera.grabbed
                yield frame
                # Looking took longer than there was time for: what came meanwhile was not looked at.
                missed = int((self._clock.mono() - now_s) / every_s)
                self._dropped += max(0, min(missed, camera.grabbed - before))
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
        self._lookout.look(frame)
        for flag in self._lookout.flags & _MENDABLE - self._told_flags:  # once: what a person would have to mend
            self._told_flags.add(flag)
            shown = without_password(self._start.camera)
            self.say(Failure(code=f"camera.scene-{flag}", facts={"camera": shown}, fatal=False))

    def _tell_if_due(self) -> None:
        now_s = self._clock.mono()
        if now_s - self._told_s < TALLY_S:
            return
        self._tell()
        used = _rss_mib()
        if used > self._start.most_mib:
            raise SourceUnavailable("camera.memory", used=used, most=self._start.most_mib)
        if now_s - self._judged_s >= JUDGED_EVERY_S:
            used_s = time.process_time()
            share = (used_s - self._used_s) / (now_s - self._judged_s)
            self._judged_s, self._used_s = now_s, used_s
            self._govern(share)

    def _govern(self, share: float) -> None:
        governor = self._governor
        was_over = governor.overrun
        governor.judge(share, _board_c())
        self._lookout.step = governor.step
        if governor.overrun and not was_over:
            shown = without_password(self._start.camera)
            facts = {"camera": shown, "used": f"{share:.0%}", "fps": f"{governor.fps:.1f}"}
            self.say(Failure(code="camera.overrun", facts=facts, fatal=False))

    def _tell(self) -> None:
        looks = self._lookout.counter.looks
        governor = self._governor
        self.say(
            self._lookout.tally(
                dropped=self._dropped,
                fps=round(governor.fps, 2),
                limit=governor.limit,
                input_width=self._lookout.eye.card.at(governor.step).input.width,
                waiting=looks == self._told_looks,
            )
        )
        self._told_s, self._told_looks = self._clock.mono(), looks


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
    _cap_memory(start.most_mib)
    threading.Thread(target=_leave_with_the_daemon, name="stdin", daemon=True).start()
    worker = Worker(start, out, SystemClock())
    status = 0
    try:
        worker.run()
    except EdgeAgentError as error:
        facts = {key: str(value) for key, value in error.facts.items()}
        worker.say(Failure(code=error.code, facts=facts))
        status = 3
    except MemoryError:
        worker.say(Failure(code="camera.memory", facts={"used": str(_rss_mib()), "most": str(start.most_mib)}))
        status = 3
    return status


def _cap_memory(most_mib: int) -> None:
    """The wall behind the fence: what outruns the check once a second (one huge picture) cannot take the box along."""
    most = most_mib * _HARD_SHARE * 2**20
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _leave_with_the_daemon() -> None:
    """Whatever the other threads hang in, without a daemon nobody needs them."""
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


def _board_c() -> float | None:
    try:
        return int(_THERMAL.read_text(encoding="ascii")) / 1000
    except (OSError, ValueError):
        return None


def _rss_mib() -> int:
    with Path("/proc/self/statm").open(encoding="ascii") as file:
        return int(file.read().split()[1]) * _PAGE // 2**20


if __name__ == "__main__":
    # Not sys.exit: a grabbing thread inside FFmpeg must not be waited for.
    code = main()
    sys.stderr.flush()
    os._exit(code)
