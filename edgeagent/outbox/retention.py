"""What goes first when there is no more room, and what is left in its place.  Pure.

Rows are thinned in stages, each over the whole store from the oldest row on before the next begins:
first routine readings, then live ones, to the first, last, lowest and highest of ten minutes, then
of one, six and twenty-four hours; tag states to the newest of the span; traffic windows that follow
each other are added up to one longer window.  Only then rows are dropped, oldest first, alarms
last.  The newest tenth of the store is not touched, nor the newest row of a stream (tags excepted:
their pseudonyms change, and each leaves a newest row behind).

What goes is named in a *gap*: a reading of Kind.GAP per source, class and reason, stored and
delivered like any other.  Its fact `ranges` lists for up to RANGES streams `stream first-last n`:
n readings with sequence numbers from first to last are not coming.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import msgspec

from edgeagent.ports import Row
from edgeagent.reading import Kind, Quality, Quantity, Reading, ReadingClass

__all__ = ["STAGES", "Cut", "Range", "Stage", "cut", "gaps", "ranges_of"]

RANGES = 40  # streams named in one gap: keeps a gap well under one page of the file
_SLACK_MS = 1500  # windows that begin so soon after the last one ended follow each other
_MIN, _HOUR = 60_000, 3_600_000
_PRINCIPAL = {Kind.WATER: ("level", "distance"), Kind.RAIN: ("rain",)}


class Stage(msgspec.Struct, frozen=True):
    """One pass over the store.

    Attributes:
        classes: whose rows.
        span_ms: one interval is thinned to a few rows; 0 drops the rows altogether.
        gaps: whether gaps themselves are folded into one.
    """

    classes: tuple[ReadingClass, ...]
    span_ms: int = 0
    gaps: bool = False


_ROUTINE, _LIVE, _ALARM = (ReadingClass.ROUTINE,), (ReadingClass.LIVE,), (ReadingClass.ALARM,)
STAGES = (
    Stage(_ROUTINE, 10 * _MIN),
    Stage(_LIVE, 10 * _MIN),
    *(Stage(cls, hours * _HOUR) for hours in (1, 6, 24) for cls in (_ROUTINE, _LIVE)),
    Stage(_ROUTINE),
    Stage((), gaps=True),
    Stage(_LIVE),
    Stage(_ALARM),
)


class Range(msgspec.Struct, frozen=True):
    """n readings of a stream, numbered from first to last, that are not coming."""

    stream: str
    first: int
    last: int
    count: int


class Cut(msgspec.Struct):
    """What one step does to the rows it was shown.

    Attributes:
        gone: ids to delete.
        changed: rows with a new content.
        gaps: readings to add.
        counts: readings that go, by source.
    """

    gone: list[int]
    changed: list[Row]
    gaps: list[Reading]
    counts: Counter[str]


class _Named(msgspec.Struct):
    """What goes from one source, of one class, for one reason."""

    rows: list[Reading]
    folded: list[Range]


def cut(rows: Sequence[Row], stage: Stage, newest: Collection[int], mergeable: Callable[[int], bool]) -> Cut:
    """Decide about some of the oldest rows.

    Args:
        rows: oldest first, none of them on lease.
        stage: how far it has come.
        newest: ids that are the newest of their stream.
        mergeable: whether a row was sent to nobody yet, so that its counts may go into another.
    """
    done = Cut([], [], [], Counter())
    named: dict[tuple[str, str, str], _Named] = {}
    for group in _groups(rows, stage):
        if group[0].reading.kind is Kind.TRAFFIC and stage.span_ms:
            runs = list(_following(group, mergeable))
            done.changed += [Row(run[-1].id, _merged([row.reading for row in run])) for run in runs]
            going, reason = [row for run in runs for row in run[:-1]], "merged"
        else:
            going, reason = _going(group, stage, newest), "thinned" if stage.span_ms else "dropped"
        for row in going:
            done.gone.append(row.id)
            one = row.reading
            done.counts[one.source] += one.kind is not Kind.GAP
            key = (one.source, one.cls.value, reason)
            if one.kind is Kind.GAP:
                key = (one.source, one.facts["class"], one.facts["reason"])
            named.setdefault(key, _Named([], [])).rows.append(one)
            if one.kind is Kind.GAP:
                named[key].folded += ranges_of(one)
    for (source, cls, reason), entry in named.items():
        done.gaps += gaps(source, cls, reason, entry.rows, entry.folded)
    return done


def _going(group: list[Row], stage: Stage, newest: Collection[int]) -> list[Row]:
    """What of a group is not worth its room."""
    kind = group[0].reading.kind
    if kind is Kind.GAP:
        return group if len(group) > 1 else []
    if kind is Kind.TAG:
        return group[:-1] if stage.span_ms else group
    kept = _telling(group) if stage.span_ms else set()
    return [row for row in group if row.id not in kept and row.id not in newest]


def gaps(
    source: str, cls: str, reason: str, readings: Sequence[Reading], folded: Iterable[Range] = ()
) -> Iterator[Reading]:
    """The readings that name what is not coming.

    Args:
        source: configured source.
        cls: class of what goes.
        reason: `thinned`, `merged`, `dropped` or `damaged`.
        readings: what goes.
        folded: ranges of earlier gaps that go with it.
    """
    first, last = readings[0].at, readings[-1].at
    span_ms = last.mono_ms - first.mono_ms if first.boot_id == last.boot_id else last.wall_ms - first.wall_ms
    found: dict[str, Range] = {}
    for stream, low, high, count in (
        *((one.stream, one.sequence, one.sequence, 1) for one in readings),
        *((one.stream, one.first, one.last, one.count) for one in folded),
    ):
        known = found.get(stream)
        if known is not None:
            low, high, count = min(low, known.first), max(high, known.last), count + known.count  # noqa: PLW2901
        found[stream] = Range(stream, low, high, count)
    listed = sorted(found.values(), key=lambda one: one.stream)
    for begin in range(0, len(listed), RANGES):
        named = listed[begin : begin + RANGES]
        yield Reading(
            source=source,
            kind=Kind.GAP,
            entity=source,
            at=last,
            quantities={"readings": Quantity(sum(one.count for one in named if not one.stream.startswith("gap:")))},
            span_ms=max(span_ms, 0),
            facts={
                "reason": reason,
                "class": cls,
                "ranges": ", ".join(f"{one.stream} {one.first}-{one.last} {one.count}" for one in named),
            },
        )


def ranges_of(gap: Reading) -> list[Range]:
    """What a gap names."""
    found = []
    for text in filter(None, gap.facts.get("ranges", "").split(", ")):
        stream, numbers, count = text.rsplit(" ", 2)
        first, last = numbers.split("-")
        found.append(Range(stream, int(first), int(last), int(count)))
    return found


def _groups(rows: Sequence[Row], stage: Stage) -> Iterable[list[Row]]:
    """Rows that may stand for each other: of one stream, and of one interval by the monotonic clock."""
    found: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        one = row.reading
        if one.kind is Kind.GAP:
            if stage.gaps:
                found.setdefault((one.stream, f"{one.facts['reason']} {one.facts['class']}", 0), []).append(row)
        elif one.cls in stage.classes:
            interval = one.at.mono_ms // stage.span_ms if stage.span_ms else 0
            found.setdefault((one.stream, one.at.boot_id, interval), []).append(row)
    return found.values()


def _telling(group: Sequence[Row]) -> set[int]:
    """The ids of the first, the last, the lowest and the highest."""
    kept = {group[0].id, group[-1].id}
    measured = [(value, row.id) for row in group if (value := _principal(row.reading)) is not None]
    if measured:
        kept |= {min(measured)[1], max(measured)[1]}
    return kept


def _principal(reading: Reading) -> float | None:
    for name in (*_PRINCIPAL.get(reading.kind, ()), *reading.quantities):
        quantity = reading.quantities.get(name)
        if quantity is not None and quantity.usable and isinstance(quantity.value, int | float):
            return float(quantity.value)
    return None


def _following(group: Sequence[Row], mergeable: Callable[[int], bool]) -> Iterator[list[Row]]:
    """Runs of two or more windows, each beginning where the one before ended."""
    run: list[Row] = []
    for row in group:
        free = row.reading.span_ms > 0 and mergeable(row.id)
        if run and free:
            begin_ms = row.reading.at.mono_ms - row.reading.span_ms
            if abs(begin_ms - run[-1].reading.at.mono_ms) <= _SLACK_MS:
                run.append(row)
                continue
        if len(run) > 1:
            yield run
        run = [row] if free else []
    if len(run) > 1:
        yield run


def _merged(windows: Sequence[Reading]) -> Reading:
    """One long window: counts added, shares and rates averaged by time; the number of the last one."""
    first, last = windows[0], windows[-1]
    quantities = {
        name: _together(name, quantity, [(one.quantities.get(name), one.span_ms) for one in windows])
        for name, quantity in last.quantities.items()
    }
    span_ms = last.at.mono_ms - first.at.mono_ms + first.span_ms
    return msgspec.structs.replace(last, quantities=quantities, span_ms=span_ms)


def _together(name: str, last: Quantity, parts: Sequence[tuple[Quantity | None, int]]) -> Quantity:
    numbers = [
        (part.value, span_ms, part.quality)
        for part, span_ms in parts
        if part is not None and part.usable and isinstance(part.value, int | float) and not isinstance(part.value, bool)
    ]
    if not numbers:
        return last
    quality = Quality.GOOD if all(q is Quality.GOOD for _, _, q in numbers) else Quality.SUSPECT
    if name == "count" or name.startswith("count_"):
        return Quantity(sum(value for value, _, _ in numbers), last.unit, quality)
    spans_ms = sum(span_ms for _, span_ms, _ in numbers)
    return Quantity(sum(value * span_ms for value, span_ms, _ in numbers) / spans_ms, last.unit, quality)
