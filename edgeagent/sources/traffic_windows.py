"""Running totals of mortal workers -> windows that add up.  Pure.

A window is the difference of two totals.  Workers come and go: each begins at zero, so what a
dead one told is kept and the next one's totals are added to it.
May import: reading camera_messages.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading, ReadingClass, Unit
from edgeagent.sources.camera_messages import DIRECTIONS, Hello, LineTally, Tally

__all__ = ["Windows"]

_TRUSTED_COVERAGE = 0.8  # below this a count is a lower bound rather than a count
_FLAGGED_SHARE = 0.2  # a scene flag is told when it held for this share of the watched time


class Windows:
    """Counting windows of one camera.

    Args:
        source: id of the configured source.
        lines: ids of its lines, the first one being the source's own entity.
        window_ms: length of a window.
        begun: when the first one begins.
    """

    def __init__(self, source: str, lines: Sequence[str], window_ms: int, begun: Moment) -> None:
        self._source = source
        self._lines = tuple(lines)
        self._window_ms = window_ms
        self._begun_ms = begun.mono_ms
        self._classes: tuple[str, ...] = ()
        self._model = ""
        self._last = Tally()  # of the present worker
        self._sum = _Sum()  # of this window

    def greet(self, hello: Hello) -> None:
        """A new worker begins at zero."""
        self._last = Tally()
        self._classes, self._model = hello.classes, hello.model

    def take(self, tally: Tally) -> None:
        """Add what a worker counted since its last tally."""
        self._sum.add(tally, self._last)
        self._last = tally

    def wait_s(self, now: Moment) -> float:
        """Seconds until the present window ends; 0 when it is over."""
        return max(0, self._begun_ms + self._window_ms - now.mono_ms) / 1000

    def due(self, now: Moment) -> list[Reading]:
        """The readings of the window that has ended, if it has.

        When nobody asked for several windows (the source was restarted slowly), they are one
        reading with an honest span: its coverage says how much of it was watched.
        """
        spent_ms = (now.mono_ms - self._begun_ms) // self._window_ms * self._window_ms
        return self._close(now, spent_ms) if spent_ms > 0 else []

    def rest(self, now: Moment) -> list[Reading]:
        """The readings of the unfinished window, if anything was watched in it: the last ones."""
        spent_ms = now.mono_ms - self._begun_ms
        return self._close(now, spent_ms) if spent_ms > 0 and self._sum.looks > 0 else []

    def _close(self, now: Moment, spent_ms: int) -> list[Reading]:
        self._begun_ms += spent_ms
        late_ms = now.mono_ms - self._begun_ms
        at = Moment(now.wall_ms - late_ms, self._begun_ms, now.boot_id, now.trust)
        readings = [self._reading(index, line, at, spent_ms) for index, line in enumerate(self._lines)]
        self._sum = _Sum()
        return readings

    def _reading(self, index: int, line: str, at: Moment, span_ms: int) -> Reading:
        total = self._sum
        coverage = min(total.watched_s * 1000 / span_ms, 1.0)
        flags = [f for f, s in total.flagged_s.items() if s >= _FLAGGED_SHARE * max(total.watched_s, 1e-3)]
        trusted = coverage >= _TRUSTED_COVERAGE and not flags
        quality = Quality.GOOD if trusted else Quality.SUSPECT
        watched = total.watched_s > 0
        quantities: dict[str, Quantity] = {}

        def put(name: str, value: float) -> None:
            quantities[name] = Quantity(value, Unit.ONE, quality) if watched else Quantity.missing(Unit.ONE)

        counts = {d: {c: total.count(line, d, c) for c in self._classes} for d in DIRECTIONS}
        put("count", sum(sum(by_class.values()) for by_class in counts.values()))
        for direction, by_class in counts.items():
            put(f"count_{direction}", sum(by_class.values()))
            for cls, count in by_class.items():
                put(f"count_{direction}_{cls}", count)
        put("occupancy", round(total.touched.get(line, 0) / max(total.looks, 1), 3))
        quantities["coverage"] = Quantity(round(coverage, 3))
        quantities["fps"] = Quantity(round(total.looks * 1000 / span_ms, 2), Unit.HERTZ)
        facts = {"line": line}
        if self._model:
            facts["model"] = self._model
        if flags:
            facts["scene"] = ",".join(sorted(flags))
        return Reading(
            source=self._source,
            kind=Kind.TRAFFIC,
            entity=self._source if index == 0 else f"{self._source}:{line}",
            at=at,
            quantities=quantities,
            cls=ReadingClass.LIVE,
            span_ms=span_ms,
            facts=facts,
        )


class _Sum:
    """What one window has gathered."""

    def __init__(self) -> None:
        self.looks = 0
        self.watched_s = 0.0
        self.flagged_s: dict[str, float] = {}
        self.touched: dict[str, int] = {}
        self._counts: dict[tuple[str, str, str], int] = {}

    def count(self, line: str, direction: str, cls: str) -> int:
        return self._counts.get((line, direction, cls), 0)

    def add(self, now: Tally, before: Tally) -> None:
        self.looks += now.looks - before.looks
        self.watched_s += now.watched_s - before.watched_s
        for flag, seconds in now.flagged_s.items():
            self.flagged_s[flag] = self.flagged_s.get(flag, 0.0) + seconds - before.flagged_s.get(flag, 0.0)
        nothing = LineTally(counts={}, touched=0)
        for line, tally in now.lines.items():
            then = before.lines.get(line, nothing)
            self.touched[line] = self.touched.get(line, 0) + tally.touched - then.touched
            for direction, by_class in tally.counts.items():
                for cls, count in by_class.items():
                    key = (line, direction, cls)
                    self._counts[key] = self._counts.get(key, 0) + count - then.counts.get(direction, {}).get(cls, 0)
