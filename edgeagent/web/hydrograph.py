"""The last day of a gauge as a picture: SVG text that stands alone.  Pure.

For a page (320 px wide and up, light and dark) and for paper: no script, no font of its own, no style
sheet; text and lines take the colour of the text around (`currentColor`), and everything is told by
shape and word, colour only repeats it.

- The line is the mean, the band behind it reaches from the lowest to the highest value: thinned for
  the width of the picture, and a peak of one minute keeps its height.
- Hatched: no data (before anybody watched, a gap, or silence until now).  Cross: a reading was refused
  as wrong.  Ring: a value that may be wrong.
- Thresholds are lines with name and metres.  They belong to the height of the picture, so that the
  distance to them can be seen.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from edgeagent.history import History, Point, Trace
from edgeagent.reading import Quality
from edgeagent.web.day import JST, Day, level_name, say, scale, when

__all__ = ["svg"]

_LEFT, _RIGHT, _TOP, _BOTTOM = 36.0, 8.0, 18.0, 40.0
_TEXT = 12  # user units
_COLUMN = 1.5  # user units that one point of the line stands for
_APART = 7.0  # between two crosses or rings
_ROOM = 110.0  # user units that the words about the beginning need
_DASHES = {"standby": "1 4", "caution": "5 4", "evacuate": "10 3 2 3"}  # danger: unbroken
_CROSS, _RING = "l6 6m0 -6l-6 6", 'r="3.2" fill="none" stroke="currentColor" stroke-width="1.3"'
_HALO = 'stroke="Canvas" stroke-width="3" paint-order="stroke" stroke-linejoin="round"'


def svg(trace: Trace, history: History, *, lang: str = "ja", width: int = 320, height: int = 220) -> str:
    """The picture of one gauge.

    Args:
        trace: the gauge, its thresholds and its points.
        history: the answer it came in: when that was, since when it was watched, is the clock right.
        lang: ja or en.
        width: of the view box in user units; text is 12 of them high, so as many as it has pixels.
        height: of the view box.

    Returns:
        One `<svg>` element with title and description, as wide as its container.
    """
    return "".join(_Picture(Day(trace, history), lang, float(width), float(height)).parts())


class _Picture:
    """One drawing: its scales, and what is drawn with them."""

    def __init__(self, day: Day, lang: str, width: float, height: float) -> None:
        self._day, self._lang, self._width, self._height = day, lang, width, height
        self._right, self._base = width - _RIGHT, height - _BOTTOM
        seen = [m for p in day.points for m in (p.low_m, p.high_m) if m is not None]
        self._low, self._high, self._step = scale([*seen, *(one.level_m for one in day.trace.levels)])
        self._id = "h-" + escape(day.trace.source)

    def parts(self) -> Iterator[str]:
        """The element, piece by piece."""
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="hydrograph" width="100%" '
            f'viewBox="0 0 {_n(self._width)} {_n(self._height)}" role="img" lang="{self._lang}" '
            f'aria-labelledby="{self._id}-t" aria-describedby="{self._id}-d" '
            f'font-family="sans-serif" font-size="{_TEXT}" fill="currentColor">'
            f'<title id="{self._id}-t">{escape(self._day.title(self._lang))}</title>'
            f'<desc id="{self._id}-d">{escape(self._day.description(self._lang))}</desc>'
            f'<defs><pattern id="{self._id}-p" width="6" height="6" patternUnits="userSpaceOnUse">'
            '<path d="M0 6L6 0" stroke="currentColor" stroke-opacity=".35"/></pattern></defs>'
        )
        yield from self._grid()
        yield from self._silence()
        yield from self._water()
        yield from self._levels()
        yield from self._marks()
        yield from self._legend()
        yield "</svg>"

    def _grid(self) -> Iterator[str]:
        digits = 2 if self._step < 0.1 else 1  # noqa: PLR2004
        for tick in range(math.ceil(self._low / self._step), math.floor(self._high / self._step) + 1):
            y = _n(self._y(tick * self._step))
            yield f'<path d="M{_n(_LEFT)} {y}H{_n(self._right)}" stroke="currentColor" stroke-opacity=".15"/>'
            yield f'<text x="{_n(_LEFT - 4)}" y="{y}" dy="4" text-anchor="end">{tick * self._step:.{digits}f}</text>'
        frame = f"M{_n(_LEFT)} {_n(_TOP)}V{_n(self._base)}H{_n(self._right)}"
        yield f'<text x="{_n(_LEFT - 4)}" y="11" text-anchor="end">m</text>'
        yield f'<path d="{frame}" fill="none" stroke="currentColor"/>'
        hour = dt.datetime.fromtimestamp(self._day.begin_ms / 1000, JST).replace(minute=0, second=0, microsecond=0)
        for _ in range(24):
            hour += dt.timedelta(hours=1)
            if hour.hour % 6 == 0:
                x = self._x(hour.timestamp() * 1000)
                word = f"{hour:%H:%M}" if hour.hour else f"{hour.month}/{hour.day}"
                at = _n(min(max(x, _LEFT + 8), self._right - 14))
                yield f'<path d="M{_n(x)} {_n(self._base)}v4" stroke="currentColor"/>'
                yield f'<text x="{at}" y="{_n(self._base + 16)}" text-anchor="middle">{word}</text>'

    def _silence(self) -> Iterator[str]:
        for begin, end in self._day.gaps:
            x, wide = self._x(begin), max(self._x(end) - self._x(begin), 1.0)
            yield (
                f'<rect class="gap" x="{_n(x)}" y="{_n(_TOP)}" width="{_n(wide)}" '
                f'height="{_n(self._base - _TOP)}" fill="url(#{self._id}-p)"/>'
            )
        since = self._day.since_ms
        if since is not None and self._x(since) - _LEFT > _ROOM:
            told = say("since", self._lang, at=when(since).split()[1])
            yield (
                f'<text class="label" x="{_n(self._x(since) - 4)}" y="{_n(self._base - 6)}" '
                f'text-anchor="end" {_HALO}>{told}</text>'
            )

    def _water(self) -> Iterator[str]:
        """A band from lowest to highest, and the mean as a line; one point alone is a dot."""
        for run in self._day.runs:
            columns = list(self._columns(run))
            if len(columns) == 1:
                x, _, mean, _ = columns[0]
                yield f'<circle class="water" cx="{_n(x)}" cy="{_n(mean)}" r="1.6"/>'
                continue
            there = " ".join(f"{_n(x)} {_n(high)}" for x, _, _, high in columns)
            back = " ".join(f"{_n(x)} {_n(low)}" for x, low, _, _ in reversed(columns))
            yield f'<path class="band" d="M{there} {back}Z" fill-opacity=".3"/>'
            line = " ".join(f"{_n(x)} {_n(mean)}" for x, _, mean, _ in columns)
            yield f'<path class="water" d="M{line}" fill="none" stroke="currentColor" stroke-width="2"/>'
        if self._day.runs:
            newest = self._day.runs[-1][-1]
            x, y = self._x(newest.at_ms), self._y(newest.mean_m or 0.0)
            yield f'<circle class="newest" cx="{_n(x)}" cy="{_n(y)}" r="3.5"/>'

    def _columns(self, run: Sequence[Point]) -> Iterator[tuple[float, float, float, float]]:
        """(x, lowest, mean, highest) of the points that share a column."""
        column: list[Point] = []
        for point in run:
            if column and self._x(point.at_ms) - self._x(column[0].at_ms) >= _COLUMN:
                yield self._column(column)
                column = []
            column.append(point)
        yield self._column(column)

    def _column(self, points: Sequence[Point]) -> tuple[float, float, float, float]:
        low = min(p.low_m for p in points if p.low_m is not None)
        high = max(p.high_m for p in points if p.high_m is not None)
        mean = sum(p.mean_m for p in points if p.mean_m is not None) / len(points)
        return self._x(sum(p.at_ms for p in points) / len(points)), self._y(low), self._y(mean), self._y(high)

    def _levels(self) -> Iterator[str]:
        above = math.inf  # where the label of the threshold below is: the next must not cover it
        for one in self._day.trace.levels:
            y = self._y(one.level_m)
            dash = f' stroke-dasharray="{_DASHES[one.name]}"' if one.name in _DASHES else ""
            yield (
                f'<path class="level {escape(one.name)}" d="M{_n(_LEFT)} {_n(y)}H{_n(self._right)}" '
                f'stroke="currentColor" stroke-width="1.5"{dash}/>'
            )
            above = min(y - 4, above - _TEXT - 1)
            told = f"{level_name(one, self._lang)} {one.level_m:.2f} m"
            yield f'<text class="label" x="{_n(_LEFT + 5)}" y="{_n(above)}" {_HALO}>{escape(told)}</text>'

    def _marks(self) -> Iterator[str]:
        for x, _ in self._spread(p for p in self._day.points if p.failed):
            at = f"M{_n(x - 3)} {_n(self._base - 9)}"
            yield f'<path class="refused" d="{at}{_CROSS}" stroke="currentColor" stroke-width="1.8"/>'
        for x, point in self._spread(p for p in self._day.points if p.quality is Quality.SUSPECT):
            yield f'<circle class="doubtful" cx="{_n(x)}" cy="{_n(self._y(point.mean_m or 0.0))}" {_RING}/>'

    def _spread(self, points: Iterable[Point]) -> Iterator[tuple[float, Point]]:
        """The points far enough apart to be told from each other."""
        before = -math.inf
        for point in points:
            x = self._x(point.at_ms)
            if x - before >= _APART:
                before = x
                yield x, point

    def _legend(self) -> Iterator[str]:
        y, x, points = self._height - 8, _LEFT, self._day.points
        edge = 'stroke="currentColor" stroke-opacity=".5"'
        signs = {
            "hatch": f'<rect y="-9" width="12" height="10" fill="url(#{self._id}-p)" {edge}/>',
            "cross": f'<path d="M2 -7{_CROSS}" stroke="currentColor" stroke-width="1.8"/>',
            "ring": f'<circle cx="6" cy="-4" {_RING}/>',
        }
        there = {
            "hatch": bool(self._day.gaps),
            "cross": any(p.failed for p in points),
            "ring": any(p.quality is Quality.SUSPECT for p in points),
        }
        for word, sign in signs.items():
            if there[word]:
                text = say(word, self._lang)
                yield f'<g transform="translate({_n(x)} {_n(y)})">{sign}<text x="16">{text}</text></g>'
                x += 26 + sum(_TEXT if ord(c) > 0x2E80 else _TEXT * 0.58 for c in text)  # noqa: PLR2004
        told = "JST" if self._day.clock == "synced" else f"JST ({say('clock', self._lang)})"
        yield f'<text x="{_n(self._right)}" y="{_n(y)}" text-anchor="end">{told}</text>'

    def _x(self, at_ms: float) -> float:
        begin, end = self._day.begin_ms, self._day.now_ms
        return _LEFT + (at_ms - begin) / (end - begin) * (self._right - _LEFT)

    def _y(self, metres: float) -> float:
        return _TOP + (self._high - metres) / (self._high - self._low) * (self._base - _TOP)


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
