"""Status as text: one thing per line, readable at 40 columns, never by colour alone."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from edgeagent import messages
from edgeagent.daemon.health import Problem, SourceStatus, Status, UplinkStatus
from edgeagent.ports import DayBooks, DeadLetter, OutboxPlan, OutboxStats
from edgeagent.reading import Quantity
from edgeagent.words import named, quantity, span

__all__ = ["Books", "books", "dead_count", "dead_letter", "headlines", "outbox", "plan", "retried", "status", "taken"]

WORDS = {
    "sources": {"ja": "計測", "en": "sources"},
    "uplinks": {"ja": "送信先", "en": "uplinks"},
    "outbox": {"ja": "蓄積", "en": "outbox"},
    "accepted": {"ja": "受付", "en": "accepted"},
    "acknowledged": {"ja": "送信済", "en": "acknowledged"},
    "waiting": {"ja": "送信待ち", "en": "waiting"},
    "dead": {"ja": "拒否", "en": "dead letters"},
    "survives": {"ja": "間引かずに耐えられる通信断", "en": "an outage is survived unthinned for"},
    "measured": {"ja": "計測時間", "en": "measured over"},
    "taken": {"ja": "取り込み", "en": "taken in"},
    "retried": {"ja": "再送", "en": "retried"},
    "bound": {
        "ja": "停電で失われるのは、最後の 2 秒 (または 20 件) 以内のまだ確定していない測定値だけです",
        "en": "a power cut can take the readings of the last 2 s (at most 20) that were not committed yet, no more",
    },
    "oldest": {"ja": "最古", "en": "oldest"},
    "lost": {"ja": "欠落", "en": "lost"},
    "thinned": {"ja": "間引き", "en": "thinned"},
    "ago": {"ja": "前", "en": " ago"},
    "nothing yet": {"ja": "まだ値なし", "en": "nothing yet"},
    "synced": {"ja": "同期済", "en": "synced"},
    "ok": {"ja": "正常", "en": "ok"},
    "idle": {"ja": "待機", "en": "idle"},
    "down": {"ja": "不通", "en": "down"},
    "up": {"ja": "稼働", "en": "up"},
    "clock": {"ja": "時計", "en": "clock"},
    "sent": {"ja": "通信量", "en": "sent"},
    "reading": {"ja": "件", "en": "reading"},
    "not over": {"ja": "途中経過", "en": "not over yet"},
    "unsynced": {"ja": "未同期", "en": "unsynced"},
    "undated": {"ja": "時計が未同期の間の測定値", "en": "readings taken before the clock was set"},
    "complete": {"ja": "すべて送達済み", "en": "everything was acknowledged"},
    "incomplete": {"ja": "未送達または欠落あり", "en": "not everything was acknowledged"},
    "month": {"ja": "今月", "en": "this month"},
    "forecast": {"ja": "月末見込み", "en": "forecast"},
    "no_backlog": {"ja": "節約中: 蓄積分の送信を止めています", "en": "saving data: the backlog waits"},
    "sparsely": {"ja": "節約中: 最新値は 10 分ごと", "en": "saving data: newest values every 10 min"},
    "barely": {
        "ja": "今月の上限に到達: 警報と 1 時間ごとの最新値のみ",
        "en": "month used up: alarms, and newest values once an hour",
    },
    "in memory": {"ja": "メモリ上", "en": "in memory only"},
}
_SHOWN = 6  # quantities per source on the status page
_BREAKDOWN = 2


def status(answer: bytes) -> str:
    """The answer to `status` as text."""
    now = msgspec.json.decode(answer, type=Status)
    lines = [
        f"{now.gateway}  edgeagent {now.version}  {_w('up')} {span(now.up_s)}  {_w('clock')} {_state(now.clock)}",
        "",
    ]
    lines += [_w("sources"), *(line for s in now.sources for line in _source(s)), ""]
    lines += [_w("uplinks"), *(line for u in now.uplinks for line in _uplink(u)), ""]
    lines += _outbox(now.outbox)
    if now.outbox_problem:
        lines += [f"  ✗ {_say(now.outbox_problem)}", f"  {_w('in memory')} {now.held_in_ram}"]
    return "\n".join(lines) + "\n"


def outbox(answer: bytes) -> str:
    """The answer to `outbox` as text."""
    return "\n".join([*_outbox(msgspec.json.decode(answer, type=OutboxStats)), f"  {_w('bound')}"]) + "\n"


def plan(answer: bytes) -> str:
    """The answer to `plan` as text."""
    now = msgspec.json.decode(answer, type=OutboxPlan)
    if now.hours is None:
        return f"{_w('nothing yet')}\n"
    return (
        f"{_w('survives')} {span(now.hours * 3600)}\n"
        f"  {now.per_hour:.0f}/h · {now.bytes_each:.0f} B · {now.free_bytes / 1e6:.1f} MB"
        f"  ({_w('measured')} {span(now.measured_s)})\n"
    )


class Books(NamedTuple):
    """The books of a day as text and as a document; complete when nothing of it is missing anywhere."""

    text: str
    json: str
    complete: bool


def books(answer: bytes) -> Books:
    """The answer to `day`."""
    now = msgspec.json.decode(answer, type=DayBooks)
    complete = not (now.thinned or now.lost or any(u.waiting or u.dead for u in now.uplinks.values()))
    lines = [f"{now.day}  {_w('accepted')} {now.accepted}" + (f"  ({_w('not over')})" if now.open else "")]
    lines += [f"  {one.stream}  {one.first}–{one.last}  ({one.last - one.first + 1})" for one in now.streams]
    for name, owed in now.uplinks.items():
        mark = "✗" if owed.waiting or owed.dead else "✓"
        lines.append(f"  {mark} {name}  {_w('waiting')} {owed.waiting} · {_w('dead')} {owed.dead}")
    lines.append(f"  {_w('thinned')} {now.thinned} · {_w('lost')} {now.lost}")
    if now.unsynced:
        lines.append(f"  ! {_w('undated')} {now.unsynced}")
    lines.append(f"{'✓' if complete else '✗'} {_w('complete' if complete else 'incomplete')}")
    document = {**msgspec.to_builtins(now), "complete": complete}
    return Books("\n".join(lines) + "\n", json.dumps(document, ensure_ascii=False) + "\n", complete)


def dead_letter(letter: DeadLetter) -> str:
    """One refused reading on two lines."""
    when = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(letter.wall_ms / 1000))
    what = f"{letter.reading.stream} #{letter.reading.sequence}" if letter.reading else "?"
    return f"{letter.number:>6}  {when}  {letter.uplink or '-'}  {what}\n        {letter.reason}"


def dead_count(count: int) -> str:
    """How many were listed."""
    return f"{_w('dead')}: {count}"


def taken(count: int) -> str:
    """How many were imported."""
    return f"{_w('taken')}: {count}"


def retried(count: int, of: int) -> str:
    """How many are owed again."""
    return f"{_w('retried')}: {count} / {of}"


def headlines(last: Mapping[str, Quantity]) -> list[tuple[str, Quantity]]:
    """What fits on a line: the per-class counts (`count_forward_car`) stay in `--json`."""
    return [(name, value) for name, value in last.items() if name.count("_") < _BREAKDOWN][:_SHOWN]


def _source(one: SourceStatus) -> list[str]:
    blind = all(value.value is None for value in one.last.values())
    mark = "✗" if blind or one.state != "running" else "✓"
    lines = [f"  {mark} {one.id} {one.name}".rstrip() + f"  ({one.driver})"]
    if one.age_s is None:
        lines.append(f"      {_w('nothing yet')}")
    else:
        shown = [quantity(named(name, messages.language()), value) for name, value in headlines(one.last)]
        lines += [f"      {' · '.join(shown)}", f"      {span(one.age_s)}{_w('ago')}, n={one.readings}"]
    if one.problems:
        counted = ", ".join(f"{code} ×{n}" for code, n in one.problems.items())
        lines.append(f"      ! {counted}")
    if one.last_problem and one.last_problem_age_s is not None:
        lines.append(f"      {span(one.last_problem_age_s)}{_w('ago')}: {_say(one.last_problem)}")
    return lines


def _uplink(one: UplinkStatus) -> list[str]:
    mark = {"ok": "✓", "idle": "·"}.get(one.state, "✗")
    lines = [
        f"  {mark} {one.id}  ({one.driver}, {_state(one.state)})",
        f"      {_w('acknowledged')} {one.acknowledged} · {_w('waiting')} {one.waiting}"
        + (f" · {_w('oldest')} {span(one.oldest_s)}" if one.waiting else "")
        + (f" · {_w('dead')} {one.dead}" if one.dead else ""),
    ]
    if one.sent_bytes:
        each = f" · {one.bytes_per_reading:.0f} B/{_w('reading')}" if one.bytes_per_reading is not None else ""
        lines.append(f"      {_w('sent')} {one.sent_bytes / 1e6:.2f} MB{each}")
    if one.monthly_bytes:
        lines.append(
            f"      {_w('month')} {one.month_bytes / 1e6:.1f} / {one.monthly_bytes / 1e6:.0f} MB{_forecast(one)}"
        )
        if one.thrift != "freely":
            lines.append(f"      ! {_w(one.thrift)}")
    if one.last_problem:
        lines.append(f"      ! {_say(one.last_problem)}")
    return lines


def _forecast(one: UplinkStatus) -> str:
    return "" if one.forecast_bytes is None else f" · {_w('forecast')} {one.forecast_bytes / 1e6:.1f} MB"


def _outbox(now: OutboxStats) -> list[str]:
    return [
        _w("outbox"),
        f"  {_w('accepted')} {now.accepted} · {_w('acknowledged')} {now.acknowledged} · {_w('waiting')} {now.waiting}",
        f"  {_w('thinned')} {now.thinned} · {_w('lost')} {now.lost} · {_w('oldest')} {span(now.oldest_s)}",
        f"  {now.bytes / 1e6:.1f} MB",
    ]


def _say(problem: Problem) -> str:
    return str(messages.text(problem.code, problem.facts, messages.language()))


def _w(word: str) -> str:
    return WORDS[word][messages.language()]


def _state(word: str) -> str:
    """A state of the agent; one of a newer agent as it is."""
    return _w(word) if word in WORDS else word
