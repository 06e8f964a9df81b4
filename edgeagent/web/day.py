"""What is in the last day of a gauge, before anybody draws it: runs, silences, scale, words.  Pure.

- Where readings failed or were missing a run ends, and so it does where nobody spoke for much longer
  than usual: 2.5 times the usual distance of the points on either side, at least three minutes.
- Times are JST, which the whole of Japan has.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from edgeagent.history import History, Level, Point, Trace
from edgeagent.reading import Quality

__all__ = ["JST", "Day", "level_name", "say", "scale", "when"]

JST = dt.timezone(dt.timedelta(hours=9), "JST")
_MINUTE_MS, _DAY_MS = 60_000, 86_400_000
_SILENT_MS, _USUAL = 3 * _MINUTE_MS, 2.5
_LEAST_M = 0.2  # a calm river is not blown up to the full height

# Short enough for a line of a phone; the thresholds of Japanese river stations.
_NAMES = {
    "standby": {"ja": "水防団待機", "en": "Standby"},
    "caution": {"ja": "氾濫注意", "en": "Flood watch"},
    "evacuate": {"ja": "避難判断", "en": "Evacuation decision"},
    "danger": {"ja": "氾濫危険", "en": "Flood danger"},
}
_WORDS = {
    "title": {
        "ja": "{name} の水位、{since} から {now} まで (JST)",
        "en": "Water level of {name}, {since} to {now} JST",
    },
    "newest": {"ja": "最新 {metres} m ({at})。", "en": "Newest {metres} m at {at}."},
    "doubt": {"ja": "疑わしい値です。", "en": "It is doubtful."},
    "range": {"ja": "最低 {low} m、最高 {high} m ({at})。", "en": "Lowest {low} m, highest {high} m at {at}."},
    "none": {"ja": "使える値はありません。", "en": "There is no value that can be used."},
    "since told": {"ja": "{at} より前は記録していません。", "en": "Nothing was watched before {at}."},
    "gaps": {"ja": "値の途切れ {n} か所。", "en": "Stretches without data: {n}."},
    "failed": {"ja": "不良として除いた測定 {n} 件。", "en": "Readings refused as wrong: {n}."},
    "missing": {"ja": "欠測 {n} 件。", "en": "Readings missing: {n}."},
    "levels": {"ja": "基準水位: {all}。", "en": "Thresholds: {all}."},
    "since": {"ja": "記録開始 {at}", "en": "watched since {at}"},
    "hatch": {"ja": "値なし", "en": "no data"},
    "cross": {"ja": "不良", "en": "refused"},
    "ring": {"ja": "疑わしい", "en": "doubtful"},
    "clock": {"ja": "時計未同期", "en": "clock not set"},
}


class Day:
    """The 24 hours that end when the history was asked for.

    Attributes:
        begin_ms, now_ms: of these hours, UTC epoch.
        since_ms: when the agent began to watch; None where that is before.
        points: all of these hours.
        runs: those with a number, in stretches that a line may join.
        gaps: (begin, end) in ms of the stretches without data.
    """

    def __init__(self, trace: Trace, history: History) -> None:
        self.trace, self.clock = trace, history.clock
        self.begin_ms, self.now_ms = history.now_ms - _DAY_MS, history.now_ms
        self.since_ms = history.since_ms if history.since_ms > self.begin_ms + _SILENT_MS else None
        self.points = [p for p in trace.points if self.begin_ms <= p.at_ms <= self.now_ms]
        self.runs = list(_runs(self.points))
        self.gaps = list(self._silences())

    def title(self, lang: str) -> str:
        """One line that names the picture."""
        name = self.trace.name or self.trace.source
        return say("title", lang, name=name, since=when(self.begin_ms), now=when(self.now_ms))

    def description(self, lang: str) -> str:
        """What a person sees in the picture, in sentences."""
        usable = [p for run in self.runs for p in run]
        said = []
        if usable:
            newest, high = usable[-1], max(usable, key=lambda p: p.high_m or -math.inf)
            low = min(p.low_m for p in usable if p.low_m is not None)
            said.append(say("newest", lang, metres=f"{newest.mean_m:.2f}", at=when(newest.at_ms)))
            if newest.quality is Quality.SUSPECT:
                said.append(say("doubt", lang))
            said.append(say("range", lang, low=f"{low:.2f}", high=f"{high.high_m:.2f}", at=when(high.at_ms)))
        else:
            said.append(say("none", lang))
        if self.since_ms is not None:
            said.append(say("since told", lang, at=when(self.since_ms)))
        failed, missing = sum(p.failed for p in self.points), sum(p.missing for p in self.points)
        counts = (("gaps", len(self.gaps)), ("failed", failed), ("missing", missing))
        said += [say(word, lang, n=number) for word, number in counts if number]
        if self.trace.levels:
            between = "、" if lang == "ja" else ", "
            told = between.join(f"{level_name(one, lang)} {one.level_m:.2f} m" for one in self.trace.levels)
            said.append(say("levels", lang, all=told))
        if self.clock != "synced":
            said.append(say("clock", lang))
        return ("" if lang == "ja" else " ").join(said)

    def _silences(self) -> Iterator[tuple[int, int]]:
        if not self.runs:
            yield self.begin_ms, self.now_ms
            return
        first, last = self.runs[0], self.runs[-1]
        if first[0].at_ms - self.begin_ms > _patience(first[:4]) or self.points[0].mean_m is None:
            yield self.begin_ms, first[0].at_ms
        for before, after in pairwise(self.runs):
            yield before[-1].at_ms, after[0].at_ms
        if self.now_ms - last[-1].at_ms > _patience(last[-4:]) or self.points[-1].mean_m is None:
            yield last[-1].at_ms, self.now_ms


def level_name(level: Level, lang: str) -> str:
    """What a threshold is called here, in this language."""
    own = level.ja if lang == "ja" else level.en
    return own or _NAMES.get(level.name, {}).get(lang, level.name)


def say(word: str, lang: str, **facts: object) -> str:
    """A word of the picture."""
    return _WORDS[word][lang].format(**facts)


def when(at_ms: float) -> str:
    """`11/26 18:05`, JST."""
    at = dt.datetime.fromtimestamp(at_ms / 1000, JST)
    return f"{at.month}/{at.day} {at:%H:%M}"


def scale(metres: Sequence[float]) -> tuple[float, float, float]:
    """(lowest, highest, step of the grid) in metres for these values."""
    low, high = (min(metres), max(metres)) if metres else (0.0, 1.0)
    middle, half = (low + high) / 2, max(high - low, _LEAST_M) / 2
    low, high = middle - half * 1.1, middle + half * 1.15
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    return low, high, next(power * m for m in (1, 2, 5, 10) if power * m >= rough)


def _patience(near: Sequence[Point]) -> float:
    """How long after or before these points silence is a gap, in ms."""
    between = [after.at_ms - before.at_ms for before, after in pairwise(near)]
    return max(_SILENT_MS, _USUAL * median(between or [0]))


def _runs(points: Sequence[Point]) -> Iterator[list[Point]]:
    run: list[Point] = []
    for n, point in enumerate(points):
        if run:
            gap = point.at_ms - points[n - 1].at_ms
            patience = max(_patience(points[max(0, n - 4) : n]), _patience(points[n : n + 4]))
            if point.mean_m is None or gap > patience:
                yield run
                run = []
        if point.mean_m is not None:
            run.append(point)
    if run:
        yield run
