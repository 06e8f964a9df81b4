"""What the agent said -> pieces of the page: HTML, every text escaped, every state a sign and a word.  Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from html import escape

from edgeagent import messages
from edgeagent.daemon.health import Problem, SourceStatus, Status, UplinkStatus
from edgeagent.errors import EdgeAgentError
from edgeagent.history import History, Level
from edgeagent.reading import Quality, Quantity, Unit
from edgeagent.web.day import JST, level_name
from edgeagent.web.hydrograph import svg
from edgeagent.web.offers import Camera, Check, Listed
from edgeagent.words import quantity

__all__ = ["cameras", "checks", "lasting", "listed", "sending", "state", "status", "word"]

_MARKS = {"good": "✓", "look": "!", "bad": "✗", "off": "–"}
_ALARMS = ("standby", "caution", "evacuate", "danger")
_TAGS = ("people",)  # of a tag listener nothing but the count is shown
_MOST = 8


def word(name: str, lang: str, **facts: object) -> str:
    """A word of the page, escaped."""
    return escape(messages.text(f"web.{name}", facts, lang).what)


def state(kind: str, lang: str, told: str = "") -> str:
    """A state as a person sees it without colour: sign and word."""
    return f'<p class="state {kind}"><span aria-hidden="true">{_MARKS[kind]}</span> {told or word(kind, lang)}</p>'


def lasting(seconds: float, lang: str) -> str:
    """`4 秒`, `15 分`, `5 時間 2 分`: as people say it."""
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if minutes < 2:  # noqa: PLR2004
        return word("span-s", lang, s=int(seconds))
    if not hours:
        return word("span-m", lang, m=minutes)
    days = hours // 24
    return word("span-d", lang, d=days, h=hours % 24) if days else word("span-h", lang, h=hours, m=minutes % 60)


def status(now: Status, history: History | None, lang: str, now_ms: int) -> str:
    """Every source: value, age, quality, alarm level, and the last day of a gauge; as of `now_ms`, UTC epoch."""
    at = dt.datetime.fromtimestamp(now_ms / 1000, JST)
    told = f'<p class="when">{word("as-of", lang, time=f"{at:%H:%M:%S}")}</p>'
    if now.clock != "synced":
        told += f'<p class="note"><span aria-hidden="true">!</span> {word("unsynced", lang)}</p>'
    return told + "".join(_source(one, history, lang) for one in now.sources)


def listed(sources: Sequence[Listed], lang: str, why: EdgeAgentError) -> str:
    """What is configured, where no agent answers, and why none does."""
    cards = (
        f'<article class="card"><h3>{escape(one.name or one.id)} <small>{escape(one.driver)}</small></h3>'
        f"{state('off', lang)}</article>"
        for one in sources
    )
    silent = f"{word('no-agent', lang)} {word('no-agent-how', lang)}"
    told = silent if why.code == "daemon.not-running" else escape(str(messages.text(why.code, why.facts, lang)))
    return f'<p class="note"><span aria-hidden="true">!</span> {told}</p>{"".join(cards)}'


def sending(now: Status, lang: str) -> str:
    """The buffer and every uplink."""
    box = now.outbox
    counts = (("acknowledged", box.acknowledged), ("queue", box.waiting), ("thinned", box.thinned), ("lost", box.lost))
    kind = "bad" if now.outbox_problem or box.lost else "look" if box.thinned else "good"
    buffer = [f"<h3>{word('buffer', lang)}</h3>", state(kind, lang), _numbers(counts, lang)]
    if box.waiting:
        buffer.append(f"<p>{word('oldest', lang, span=lasting(box.oldest_s, lang))}</p>")
    if now.outbox_problem:
        buffer.append(f"<p>{word('buffer-bad', lang)}</p>{_problem(now.outbox_problem, lang)}")
    return "".join(_uplink(one, lang) for one in now.uplinks) + f'<article class="card">{"".join(buffer)}</article>'


def cameras(found: Sequence[Camera], lang: str) -> str:
    """A way to every camera."""
    return "".join(
        f'<article class="card"><h3>{escape(one.name or one.id)}</h3>'
        f'<p><a class="button" href="/camera?source={escape(one.id)}">{word("aim", lang)}</a></p></article>'
        for one in found
    )


def checks(found: Sequence[Check], lang: str) -> str:
    """The result of `doctor`: what is wrong first."""
    order = ("failed", "warning", "skipped", "ok")
    kinds = {"failed": "bad", "warning": "look", "skipped": "off", "ok": "good"}
    states = [one.state for one in found]
    sums = {"failed": states.count("failed"), "warnings": states.count("warning"), "good": states.count("ok")}
    rows = []
    for one in sorted(found, key=lambda check: order.index(check.state)):
        told = word("skipped", lang) if one.state == "skipped" else ""
        remedy = f"<p><b>{word('remedy', lang)}:</b> {escape(one.remedy)}</p>" if one.remedy else ""
        about = f"{escape(one.about)}: " if one.about else ""
        rows.append(
            f"<li>{state(kinds[one.state], lang, told)}<p>{about}{escape(one.text)}</p>{remedy}"
            f"<p><small>{escape(one.code)}</small></p></li>"
        )
    return f'<p class="sum"><b>{word("doctor-sum", lang, **sums)}</b></p><ul class="checks">{"".join(rows)}</ul>'


def _source(one: SourceStatus, history: History | None, lang: str) -> str:
    trace = next((t for t in history.traces if t.source == one.id), None) if history else None
    alarm = one.last.get("alarm_level")
    reached = alarm.value if alarm is not None and alarm.value in _ALARMS else None
    blind = one.age_s is not None and all(value.value is None for value in one.last.values())
    kind = "good" if one.state == "running" and one.well and not blind else "bad"
    if one.age_s is None and one.last_problem is None:
        kind = "off"
    parts = [f"<h3>{escape(one.name or one.id)} <small>{escape(one.driver)}</small></h3>"]
    if reached is not None:
        levels = trace.levels if trace else []
        level = next((x for x in levels if x.name == reached), Level(str(reached), 0.0))
        parts.append(
            f'<p class="alarm {escape(str(reached))}"><span aria-hidden="true">▲</span> {word("alarm", lang)}: '
            f"{escape(level_name(level, lang))}</p>"
        )
    elif alarm is not None and alarm.value == "normal":
        parts.append(f"<p>{word('alarm', lang)}: {word('normal', lang)}</p>")
    if "level" in one.last:
        parts.append(_level(one.last["level"], lang))
    told = {"good": word("measures", lang), "bad": word("fails", lang)}.get(kind, "")
    parts += [state(kind, lang, told), f'<p class="age">{_age(one, lang)}</p>', _rest(one, lang)]
    if one.last_problem is not None and kind == "bad":
        parts.append(_problem(one.last_problem, lang))
    if trace is not None and history is not None:
        parts.append(
            f"<figure><figcaption>{word('picture', lang)}</figcaption>{svg(trace, history, lang=lang)}</figure>"
        )
    return f'<article class="card">{"".join(parts)}</article>'


def _level(level: Quantity, lang: str) -> str:
    if level.value is None or level.quality is Quality.MISSING:
        return f'<p class="value"><b>— m</b> <span class="doubt">✗ {word("missing", lang)}</span></p>'
    if level.quality is Quality.FAIL:
        return f'<p class="value"><b>— m</b> <span class="doubt">✗ {word("refused", lang)}</span></p>'
    doubt = f' <span class="doubt">? {word("doubtful", lang)}</span>' if level.quality is Quality.SUSPECT else ""
    return f'<p class="value"><span>{word("level", lang)}</span> <b>{level.value:.2f} m</b>{doubt}</p>'


def _age(one: SourceStatus, lang: str) -> str:
    return word("nothing", lang) if one.age_s is None else word("ago", lang, span=lasting(one.age_s, lang))


def _rest(one: SourceStatus, lang: str) -> str:
    """The other quantities; of tags the count alone."""
    if one.driver == "ble-tags":
        people, hears = one.last.get("people"), one.last.get("listening")
        heard = "" if hears is None else word("listening" if hears.value is True else "deaf", lang)
        count = people.value if people is not None and people.value is not None else "—"
        return f"<dl><dt>{word('people', lang)}</dt><dd>{word('people-n', lang, n=count)}</dd></dl><p>{heard}</p>"
    rows: list[str] = []
    for name, value in one.last.items():
        label = messages.catalogue("web", lang).get(f"q-{name}")
        if label is not None and name != "level" and value.value is not None and len(rows) < _MOST:
            rows.append(f"<dt>{escape(label['what'])}</dt><dd>{_shown(value, lang)}</dd>")
    return f"<dl>{''.join(rows)}</dl>" if rows else ""


def _shown(value: Quantity, lang: str) -> str:
    if isinstance(value.value, bool):
        return word("yes" if value.value else "no", lang)
    if value.quality is Quality.FAIL:
        return word("refused", lang)
    if value.unit is Unit.ONE and isinstance(value.value, float) and not value.value.is_integer():
        return f"{value.value:.2f}"
    doubt = f" ({word('doubtful', lang)})" if value.quality is Quality.SUSPECT else ""
    return escape(quantity("", Quantity(value.value, value.unit)).strip()) + doubt


def _uplink(one: UplinkStatus, lang: str) -> str:
    kind = {"ok": "good", "idle": "off" if one.well else "look"}.get(one.state, "bad")
    told = word(one.state if one.state in ("ok", "idle") else "down", lang)
    counts = (("acknowledged", one.acknowledged), ("queue", one.waiting), ("dead", one.dead))
    parts = [f"<h3>{escape(one.id)} <small>{escape(one.driver)}</small></h3>", state(kind, lang, told)]
    if one.last_ok_s is not None:
        parts.append(f"<p>{word('last-ok', lang, span=lasting(one.last_ok_s, lang))}</p>")
    parts.append(_numbers(counts, lang))
    if one.last_problem is not None:
        parts.append(_problem(one.last_problem, lang))
    return f'<article class="card">{"".join(parts)}</article>'


def _numbers(counts: Iterable[tuple[str, int]], lang: str) -> str:
    return "<dl>" + "".join(f"<dt>{word(name, lang)}</dt><dd>{number}</dd>" for name, number in counts) + "</dl>"


def _problem(problem: Problem, lang: str) -> str:
    said = messages.text(problem.code, problem.facts, lang)
    return f'<p class="problem">{escape(str(said))}</p>'
