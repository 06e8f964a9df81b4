"""The daemon's end of a camera worker: starts it, hears it, kills it when it falls silent.

Frames, OpenCV and onnxruntime live in the worker process (`camera_worker`); here arrive running
totals, once a second, and leave readings, once a window.  A camera that hangs can only take its
worker with it.  May import: reading errors clock backoff ports tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import os
import sys
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from edgeagent.errors import ConfigError, SourceUnavailable
from edgeagent.ports import Emit, SourceConfig, Surroundings
from edgeagent.sources.camera_messages import (
    End,
    Failure,
    FromWorker,
    Hello,
    LineSpec,
    Start,
    Tally,
    Trap,
    without_password,
)
from edgeagent.sources.traffic_windows import Windows

__all__ = ["LineConfig", "RegionConfig", "SpeedConfig", "TrafficCamera", "TrafficCameraConfig", "start_of"]

_START_S = 60.0  # a Pi needs 10 s to load libraries and model, an SD card that is busy several times that
_LEAVE_S = 1.0
_LAST_WINDOW_S = 1.0
_COMPASS = {"down": (0.0, 1.0), "up": (0.0, -1.0), "left": (-1.0, 0.0), "right": (1.0, 0.0)}
_LEAST_TURN = 0.05  # sine of 3 degrees
_WORKER = "edgeagent.sources.camera_worker"


class LineConfig(msgspec.Struct, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}):
    """One counting line.

    Attributes:
        id: its name; further lines are entities of their own, `<source id>:<line id>`.
        start, end: `from` and `to`: [x, y] in pixels of the camera picture, y down.
        forward: which way a vehicle drives in the picture when it counts as forward.
    """

    id: str
    start: tuple[float, float]
    end: tuple[float, float]
    forward: Literal["down", "up", "left", "right"] = "down"

    def problems(self) -> Iterable[ConfigError]:
        """A line needs a length and two sides, one of them forward."""
        dx, dy = self.end[0] - self.start[0], self.end[1] - self.start[1]
        length = math.hypot(dx, dy)
        east, south = _COMPASS[self.forward]
        if length < 2:  # noqa: PLR2004  pixels
            yield ConfigError("camera.line-short", path="to", line=self.id)
        elif abs(dx * south - dy * east) / length < _LEAST_TURN:
            yield ConfigError("camera.line-forward", path="forward", line=self.id, forward=self.forward)
        if not self.id or any(letter in self.id for letter in " :/<>\"'=;()"):
            yield ConfigError("camera.line-id", path="id", got=self.id)

    @property
    def version(self) -> str:
        """Short hash of where it lies: counts of a line that was moved are another series."""
        text = f"{self.start} {self.end} {self.forward}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]


class RegionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`region`: where queues are looked for.

    Attributes:
        points: three or more corners, [x, y] in pixels of the camera picture.
    """

    points: tuple[tuple[float, float], ...]

    def problems(self) -> Iterable[ConfigError]:
        """A region needs an area."""
        corners = self.points
        twice = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(corners, (*corners[1:], *corners[:1]), strict=True))
        if len(corners) < 3 or abs(twice) < 2:  # noqa: PLR2004  a triangle of one pixel
            yield ConfigError("camera.region-flat", path="points")


class SpeedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`speed`: two lines between which vehicles are timed.

    Attributes:
        between: ids of two lines of this camera.
        distance_m: between them along the road, measured on the spot.
    """

    between: tuple[str, str]
    distance_m: float


class TrafficCameraConfig(SourceConfig, kw_only=True, frozen=True):
    """`driver = "traffic-camera"`.

    Attributes:
        camera: `rtsp://…`, `http://…` (MJPEG), `/dev/v4l/by-id/…`, or a video file.
        lines: counting lines; the first is the source's own entity.
        model: a name from `models/`, or a path to an .onnx file with its card beside it.
        window_s: seconds per reading.
        max_fps: looks per second at most.
        deadline_s: seconds of silence (no picture, no word) after which the worker is replaced.
        region: a polygon in which queue and congestion are watched.
        speed: two lines and their distance, for mean speeds.
        cpu_share: of one core that the worker may use; above it looks less often, and says so.
        max_memory_mib: memory above which the worker is replaced.
    """

    camera: str
    lines: tuple[LineConfig, ...]
    model: str = "vehicles"
    window_s: float = 60.0
    max_fps: float = 10.0
    deadline_s: float = 15.0
    region: RegionConfig | None = None
    speed: SpeedConfig | None = None
    cpu_share: float = 0.8
    max_memory_mib: int = 400

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        if not self.lines:
            yield ConfigError("camera.no-lines", path="lines")
        ids = [line.id for line in self.lines]
        for index, one in enumerate(ids):
            if one in ids[:index]:
                yield ConfigError("config.duplicate-id", path=f"lines[{index}].id", id=one)
        for name, value, least, most in (
            ("window_s", self.window_s, 1, 3600),
            ("max_fps", self.max_fps, 0.5, 30),
            ("deadline_s", self.deadline_s, 5, 300),
            ("cpu_share", self.cpu_share, 0.05, 4),
            ("max_memory_mib", self.max_memory_mib, 150, 4000),
        ):
            if not least <= value <= most:
                yield ConfigError("camera.out-of-range", path=name, got=value, least=least, most=most)
        if self.speed is not None:
            yield from self._speed_problems(self.speed, ids)

    @staticmethod
    def _speed_problems(speed: SpeedConfig, ids: Sequence[str]) -> Iterable[ConfigError]:
        for index, name in enumerate(speed.between):
            if name not in ids or name in speed.between[:index]:
                yield ConfigError("camera.speed-line", path=f"speed.between[{index}]", line=name, lines=", ".join(ids))
        if not 2 <= speed.distance_m <= 300:  # noqa: PLR2004  metres of road that one picture shows
            facts = {"got": speed.distance_m, "least": 2, "most": 300}
            yield ConfigError("camera.out-of-range", path="speed.distance_m", **facts)


class TrafficCamera:
    """One camera."""

    Config = TrafficCameraConfig
    rules = ()

    def __init__(self, config: TrafficCameraConfig, around: Surroundings) -> None:
        self._config = config
        self._clock = around.clock
        self._windows: Windows | None = None
        self._ended = False

    @staticmethod
    def group(config: TrafficCameraConfig) -> Hashable:
        """Every camera runs by itself."""
        return config.id

    @classmethod
    def make(cls, configs: Sequence[TrafficCameraConfig], around: Surroundings) -> TrafficCamera:
        """The camera of one section."""
        return cls(configs[0], around)

    async def run(self, emit: Emit) -> None:
        """Emit a reading per line and window until cancelled; a file's end is waited at for ever.

        Raises:
            SourceUnavailable: camera, model or worker failed.  Windows go on across restarts:
                the time without a worker is missing from their coverage.
        """
        config = self._config
        if self._windows is None:
            lines = [line.id for line in config.lines]
            versions = {line.id: line.version for line in config.lines}
            window_ms = round(config.window_s * 1000)
            self._windows = Windows(config.id, lines, window_ms, self._clock.now(), versions=versions)
        windows = self._windows
        try:
            await emit(*windows.due(self._clock.now()))
            if not self._ended:
                await self._watch(windows, emit)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # The daemon stops: what was counted since the last window is handed over, not lost.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WINDOW_S):
                    await emit(*windows.rest(self._clock.now()))
            raise

    async def _watch(self, windows: Windows, emit: Emit) -> None:
        """Run one worker until the file ends; whatever happens, it is gone afterwards."""
        starting = asyncio.create_task(_Process.start(start_of(self._config)))
        try:
            worker = await asyncio.shield(starting)
        except asyncio.CancelledError:  # a process half started would be nobody's
            await (await starting).stop()
            raise
        try:
            await self._hear(worker, windows, emit)
        finally:
            leaving = asyncio.create_task(worker.stop())
            try:
                await asyncio.shield(leaving)
            except asyncio.CancelledError:  # takes a second at most, and must not be left half done
                await leaving
                raise

    async def _hear(self, worker: _Process, windows: Windows, emit: Emit) -> None:
        """Until the file ends."""
        limit_s, quiet_s = _START_S, 0.0
        while True:
            asked_s = self._clock.mono()
            message = await worker.next(min(windows.wait_s(self._clock.now()), 1.0) + 0.01)
            # Only time spent listening is silence: while `emit` waits, messages wait in the pipe.
            quiet_s = 0.0 if message is not None else quiet_s + self._clock.mono() - asked_s
            match message:
                case Hello():
                    windows.greet(message)
                    limit_s = self._config.deadline_s
                case Tally():
                    windows.take(message)
                case Failure(fatal=False):
                    emit.problem(self._config.id, SourceUnavailable(message.code, **message.facts))
                case Failure():
                    raise SourceUnavailable(message.code, **message.facts)
                case End():
                    self._ended = True
                    await emit(*windows.due(self._clock.now()), *windows.rest(self._clock.now()))
                    return
            if worker.gone:
                raise self._trouble("camera.worker-died", status=worker.status, last=worker.last_words)
            if quiet_s > limit_s:
                raise self._trouble("camera.silent", silent_s=round(quiet_s), deadline_s=limit_s)
            await emit(*windows.due(self._clock.now()))

    def _trouble(self, code: str, **facts: object) -> SourceUnavailable:
        return SourceUnavailable(code, camera=without_password(self._config.camera), **facts)


def start_of(config: TrafficCameraConfig) -> Start:
    """What a worker is told for this section."""
    lines = tuple(LineSpec(id=line.id, start=line.start, end=line.end, forward=line.forward) for line in config.lines)
    speed = config.speed
    return Start(
        camera=config.camera,
        model=config.model,
        lines=lines,
        region=config.region.points if config.region else (),
        speed=Trap(first=speed.between[0], second=speed.between[1], distance_m=speed.distance_m) if speed else None,
        max_fps=config.max_fps,
        cpu_share=config.cpu_share,
        most_mib=config.max_memory_mib,
        # The worker is to notice a silent camera itself, with a better word for it, before it is killed.
        deadline_s=config.deadline_s * 0.8,
    )


class _Process:
    """A running worker and its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin and process.stdout and process.stderr
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._decoder: msgspec.json.Decoder[FromWorker] = msgspec.json.Decoder(FromWorker)
        self._words = asyncio.create_task(_last_line(process.stderr))
        self.last_words = ""
        self.gone = False

    @classmethod
    async def start(cls, start: Start) -> _Process:
        """Start a worker and tell it what to do."""
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", _WORKER, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment()
            )
        except OSError as error:
            raise SourceUnavailable("camera.no-worker", why=error.strerror or str(error)) from error
        worker = cls(process)
        worker._stdin.write(msgspec.json.encode(start) + b"\n")
        return worker

    @property
    def status(self) -> str:
        """How it ended, for a message: exit status, or the signal's number negated."""
        return str(self._process.returncode)

    async def next(self, wait_s: float) -> FromWorker | None:
        """The next message, or None after `wait_s` or when the worker is gone."""
        try:
            async with asyncio.timeout(wait_s):
                line = await self._stdout.readline()
        except TimeoutError:
            return None
        except ValueError:  # asyncio's answer to a line without an end
            line = b"?"
        if not line.endswith(b"\n"):
            await self._bury()
            return None
        try:
            return self._decoder.decode(line)
        except msgspec.DecodeError as error:
            raise SourceUnavailable("camera.worker-garbled", why=str(error)) from error

    async def stop(self) -> None:
        """Close its stdin, which it obeys; kill it when it does not (it may be stopped or hang)."""
        self._stdin.close()
        await self._bury()

    async def _bury(self) -> None:
        try:
            async with asyncio.timeout(_LEAVE_S):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self.last_words = without_password(await self._words)
        self.gone = True


async def _last_line(stream: asyncio.StreamReader) -> str:
    """Read a worker's stderr to its end, so that it never blocks, and remember the last line."""
    last = b""
    while chunk := await stream.read(4096):
        last = (last + chunk)[-2000:]
    lines = last.decode(errors="replace").strip().splitlines()
    return lines[-1][-200:] if lines else ""


def _environment() -> dict[str, str]:
    """What the worker inherits: this package, no threads it did not ask for, no reports to anybody."""
    here = str(Path(__file__).parents[2])
    path = os.pathsep.join(part for part in (here, os.environ.get("PYTHONPATH", "")) if part)
    quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
    return {**os.environ, "PYTHONPATH": path, **quiet}
