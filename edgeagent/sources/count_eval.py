"""A clip with counted truth -> how far off the counting is; as fast as the machine can.

The truth file has the form of the shared clips' (`lines[]` with `p1`, `p2`, `counts`, `events`):
an edge event is a vehicle cut off by the clip's or the picture's border, right either way, so the
error of a line and direction is the distance of the count to [truth - edge, truth].  Vehicles are
scored as such; classes beside it, because people and detectors disagree about vans.
May import: errors vision; video, detector and what they import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgeagent.errors import ConfigError
from edgeagent.sources.detector import Detector, Eye
from edgeagent.sources.video import FileFrames
from edgeagent.vision.counting import Counter
from edgeagent.vision.crossing import BACKWARD, FORWARD, Crossing, Line
from edgeagent.vision.detections import Detections

__all__ = ["Difference", "Footage", "Result", "Score", "Truth", "evaluate", "read_truth", "truth_lines", "watch"]

_SAME_S = 1.0  # the eye and the tracker differ by 0.6 s at most on the shared clips
_SIDES = {"positive": FORWARD, "negative": BACKWARD}
Point = Annotated[tuple[float, float], "pixels"]


class Score(msgspec.Struct, frozen=True):
    """Vehicles of one direction (or class): true, of these at an edge, counted, and the error."""

    truth: int
    edge: int
    counted: int
    error: int


class Difference(msgspec.Struct, frozen=True):
    """One vehicle about which truth and count disagree.

    Attributes:
        kind: missed; double (another was counted there a moment before or after); false.
        at_s: second of the clip.
        line, side: where, and `positive` or `negative`.
        cls: what it is (missed) or was taken for.
    """

    kind: Literal["missed", "double", "false"]
    at_s: float
    line: str
    side: str
    cls: str


class Result(msgspec.Struct, frozen=True):
    """What `count eval` prints.

    Attributes:
        truth, edge, counted: vehicles over all lines and directions.
        error: sum over lines and directions of the distance to [truth - edge, truth].
        error_pct: that as a percentage of `truth`.
        per_class: the same by class over all lines and directions.
        per_direction: by `<line>:<positive|negative>`.
        crossings: (second, line, positive|negative, class) of everything counted.
        differences: vehicle by vehicle, where the truth file has events: what was missed or should not have
            been counted.  A vehicle too many and one too few cancel in `error`, and show here.
    """

    truth: int
    edge: int
    counted: int
    error: int
    error_pct: float
    per_class: dict[str, Score]
    per_direction: dict[str, Score]
    crossings: tuple[tuple[float, str, str, str], ...]
    differences: tuple[Difference, ...] = ()


class TrueEvent(msgspec.Struct, frozen=True):
    """One true crossing."""

    frame: int
    cls: str
    edge: bool = False


class TrueLine(msgspec.Struct, frozen=True):
    """One line of a truth file; `positive` is the side where (x2-x1)(y-y1)-(y2-y1)(x-x1) > 0."""

    id: str
    counts: dict[str, dict[str, int]]
    p1: Point | None = None
    p2: Point | None = None
    events: dict[str, list[TrueEvent]] = {}

    def true(self, side: str, cls: str | None = None) -> int:
        """Vehicles (of one class) that crossed to one side."""
        return sum(n for name, n in self.counts.get(side, {}).items() if cls in (None, name))

    def edge(self, side: str, cls: str | None = None) -> int:
        """How many of these are edge events."""
        return sum(event.edge for event in self.events.get(side, ()) if cls in (None, event.cls))


class Truth(msgspec.Struct, frozen=True):
    """A truth file."""

    lines: list[TrueLine]


@dataclass(frozen=True)
class Footage:
    """A clip as the detector saw it; may be scored at several rates.

    Attributes:
        detector: what looked at it.
        looks: (second of the clip, detections), in order.
        frames: pictures in the file.
        fps: of the file.
    """

    detector: Eye
    looks: Sequence[tuple[float, Detections]]
    frames: int
    fps: float

    def score(self, truth: Truth, *, fps: float | None = None, lines: Sequence[Line] | None = None) -> Result:
        """Count, and compare with the truth.

        Args:
            truth: what crossed.
            fps: looks per second; None takes every look there is.
            lines: geometry that replaces the truth file's own, by line id.

        Raises:
            ConfigError: `camera.truth-line`: a line of the truth has no geometry.
        """
        gates = truth_lines(truth, lines)
        counter = Counter(self.detector.card, gates)
        crossings: list[Crossing] = []
        due_s = 0.0
        for at_s, found in self.looks:
            if fps is not None:
                if at_s + 1e-6 < due_s:
                    continue
                due_s = max(due_s + 1 / fps, at_s)
            crossings += counter.look(found, at_s)
        crossings += counter.finish()
        return _compare(truth, crossings, self.detector.card.classes, self.fps)


def evaluate(
    video: str | Path,
    truth_path: Path,
    model: Path | Eye,
    *,
    fps: float | None = None,
    lines: Sequence[Line] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Score one clip.

    Args:
        video: the clip.
        truth_path: its truth file.
        model: path of the `.onnx` file with its card beside it, or a loaded one.
        fps: looks per second; None takes every picture.
        lines: geometry that replaces the truth file's own, by line id.
        progress: called with (pictures done, pictures in the file).

    Raises:
        ConfigError: truth, card or model cannot be used.
        SourceUnavailable: the clip cannot be read.
        KeyboardInterrupt: passes through; nothing is left open.
    """
    truth = read_truth(truth_path)
    truth_lines(truth, lines)  # before minutes of detecting
    eye = Detector(model) if isinstance(model, Path) else model
    return watch(video, eye, fps=fps, progress=progress).score(truth, lines=lines)


def watch(
    video: str | Path,
    detector: Eye,
    *,
    fps: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Footage:
    """Run the detector over a clip; arguments as for `evaluate`."""
    film = FileFrames(str(video), max_fps=fps)
    looks = []
    try:
        for frame in film:
            looks.append((frame.at_s, detector.look(frame.picture)))
            if progress is not None:
                progress(film.read, max(film.frames, film.read))
    finally:
        film.close()
    return Footage(detector, looks, film.read, film.fps)


def read_truth(file: Path) -> Truth:
    """Read a truth file.

    Raises:
        ConfigError: `camera.no-truth`, `camera.truth-wrong`.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=Truth)
    except OSError as error:
        raise ConfigError("camera.no-truth", file=str(file), why=error.strerror or str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError("camera.truth-wrong", file=str(file), why=str(error)) from error


def truth_lines(truth: Truth, lines: Sequence[Line] | None = None) -> list[Line]:
    """The lines of a truth file, or those that replace them.

    Raises:
        ConfigError: `camera.truth-line`: a line has no geometry.
    """
    given = {line.id: line for line in lines or ()}
    made = []
    for line in truth.lines:
        if line.id in given:
            made.append(given[line.id])
        elif line.p1 is not None and line.p2 is not None and line.p1 != line.p2:
            made.append(Line(line.id, line.p1, line.p2))
        else:
            raise ConfigError("camera.truth-line", line=line.id)
    return made


def _compare(truth: Truth, crossings: Sequence[Crossing], classes: Mapping[int, str], clip_fps: float = 25.0) -> Result:
    sides = {direction: side for side, direction in _SIDES.items()}
    events = tuple((round(c.at_s, 2), c.line, sides[c.direction], classes[c.class_id]) for c in crossings)
    per_direction = {}
    for line in truth.lines:
        for side in _SIDES:
            counted = sum(1 for _, name, towards, _ in events if (name, towards) == (line.id, side))
            per_direction[f"{line.id}:{side}"] = _score(line.true(side), line.edge(side), counted)
    named = sorted({c for line in truth.lines for side in line.counts.values() for c in side} | {e[3] for e in events})
    per_class = {}
    for cls in named:
        both = [(line, side) for line in truth.lines for side in _SIDES]
        true = sum(line.true(side, cls) for line, side in both)
        edge = sum(line.edge(side, cls) for line, side in both)
        per_class[cls] = _score(true, edge, sum(1 for event in events if event[3] == cls))
    total = sum(score.truth for score in per_direction.values())
    error = sum(score.error for score in per_direction.values())
    return Result(
        truth=total,
        edge=sum(score.edge for score in per_direction.values()),
        counted=len(events),
        error=error,
        error_pct=round(100 * error / total, 1) if total else (0.0 if not error else 100.0),
        per_class=per_class,
        per_direction=per_direction,
        crossings=events,
        differences=_differences(truth, events, clip_fps),
    )


def _differences(
    truth: Truth, events: Sequence[tuple[float, str, str, str]], clip_fps: float
) -> tuple[Difference, ...]:
    """Pair what was counted with what crossed, nearest in time first; the rest is the difference."""
    found: list[Difference] = []
    for line in truth.lines:
        for side in _SIDES:
            true = line.events.get(side)
            if true is None:
                continue
            counted = [(at_s, cls) for at_s, name, towards, cls in events if (name, towards) == (line.id, side)]
            wanted = [(event.frame / clip_fps, event) for event in true]
            pairs = sorted(
                (abs(at_s - when), i, j) for i, (when, _) in enumerate(wanted) for j, (at_s, _) in enumerate(counted)
            )
            met_true: set[int] = set()
            met_counted: set[int] = set()
            for apart, i, j in pairs:
                if apart <= _SAME_S and i not in met_true and j not in met_counted:
                    met_true.add(i)
                    met_counted.add(j)
            found += [
                Difference("missed", round(when, 2), line.id, side, event.cls)
                for i, (when, event) in enumerate(wanted)
                if i not in met_true and not event.edge
            ]
            for j, (at_s, cls) in enumerate(counted):
                if j not in met_counted:
                    twin = any(abs(at_s - other) <= _SAME_S for k, (other, _) in enumerate(counted) if k != j)
                    found.append(Difference("double" if twin else "false", at_s, line.id, side, cls))
    return tuple(sorted(found, key=lambda one: one.at_s))


def _score(truth: int, edge: int, counted: int) -> Score:
    return Score(truth, edge, counted, max(counted - truth, truth - edge - counted, 0))
