"""Running totals of mortal workers -> windows that add up.  Pure.

A window is the difference of two totals.  Workers come and go: each begins at zero, so what a
dead one told is kept and the next one's totals are added to it.
May import: reading camera_messages traffic_window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading, ReadingClass, Unit
from edgeagent.sources.camera_messages import Hello, Tally
from edgeagent.sources.traffic_window import Gathered, trust_text

__all__ = ["Windows"]


class Windows:
    """Counting windows of one camera.

    Args:
        source: id of the configured source.
        lines: ids of its lines, the first one being the source's own entity.
        window_ms: length of a window.
        begun: when the first one begins.
        versions: by line id, a short hash of its geometry: counts of a line that was moved are another series.
    """

    def __init__(
        self,
        source: str,
        lines: Sequence[str],
        window_ms: int,
        begun: Moment,
        *,
        versions: Mapping[str, str] | None = None,
    ) -> None:
        self._source = source
        self._lines = tuple(lines)
        self._window_ms = window_ms
        self._begun_ms = begun.mono_ms
        self._classes: tuple[str, ...] = ()
        self._trust: dict[str, str] = {}
        self._versions = dict(versions or {})
        self._model = ""
        self._last = Tally()  # of the present worker
        self._sum = Gathered()  # of this window

    def greet(self, hello: Hello) -> None:
        """A new worker begins at zero."""
        self._last = Tally()
        self._classes, self._model = hello.classes, hello.model
        self._trust = dict(hello.trust)

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
        self._sum = Gathered()
        return readings

    def _reading(self, index: int, line: str, at: Moment, span_ms: int) -> Reading:
        total = self._sum
        doubts = total.doubts(span_ms)
        quality = Quality.SUSPECT if doubts else Quality.GOOD
        watched = total.watched_s > 0
        quantities: dict[str, Quantity] = {}

        def put(name: str, value: float | str | bool | None, unit: Unit, q: Quality) -> None:  # noqa: FBT001  a value
            known = watched and value is not None
            quantities[name] = Quantity(value, unit, q) if known else Quantity.missing(unit)

        total.put_counts(line, self._trust, self._classes, put=put, q=quality)
        total.put_use(line, put=put, q=quality)
        if index == 0:  # the region and the speeds are the camera's, not one line's
            total.put_region(put=put, q=quality)
            total.put_speed(put=put, q=quality)
        total.put_proof(span_ms, quantities)
        facts = {"line": line}
        if self._versions.get(line):
            facts["line_version"] = self._versions[line]
        if self._model:
            facts["model"] = self._model
        if any(trust != "good" for trust in self._trust.values()):
            facts["class_trust"] = trust_text(self._classes, self._trust)
        flags = total.flags()
        if flags:
            facts["scene"] = ",".join(flags)
        if doubts:
            facts["reason"] = ", ".join(doubts)
        if total.limits:
            facts["governor"] = ",".join(sorted(total.limits))
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
