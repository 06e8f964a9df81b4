"""What one sees while the demo runs: readings, the queue, what the city knows.  rich."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edgeagent.daemon.health import Status
from edgeagent.demo.verdict import Summary
from edgeagent.reading import Quantity
from edgeagent.words import quantity

__all__ = ["CityView", "Scene", "draw", "line", "verdict"]

_BARS = " ▁▂▃▄▅▆▇█"
_SHOWN = 4
WIDE = 60  # columns; a phone has about 40
WORDS = {
    "readings": {"ja": "計測値", "en": "readings"},
    "queue": {"ja": "送信待ち", "en": "queue"},
    "city": {"ja": "都市OSが知っていること", "en": "what the city knows"},
    "cut": {"ja": "✗ 回線切断中", "en": "✗ uplink is cut"},
    "up": {"ja": "✓ 送信中", "en": "✓ uplink is up"},
    "nothing": {"ja": "(まだ)", "en": "(nothing yet)"},
    "entity": {"ja": "エンティティ", "en": "entity"},
    "newest": {"ja": "最新値", "en": "newest"},
    "age": {"ja": "経過", "en": "age"},
    "instances": {"ja": "履歴", "en": "history"},
    "source": {"ja": "計測元", "en": "source"},
    "value": {"ja": "値", "en": "value"},
    "accepted": {"ja": "受付", "en": "accepted"},
    "waiting": {"ja": "待ち", "en": "waiting"},
    "leave": {"ja": "Ctrl-C で終了", "en": "Ctrl-C ends it"},
}


@dataclass(frozen=True)
class CityView:
    """One entity as the city knows it now: short id, what to show, age in seconds, instances kept."""

    entity: str
    shown: str
    age_s: float
    instances: int


@dataclass
class Scene:
    """Everything one picture needs."""

    lang: str
    elapsed_s: float = 0.0
    total_s: float = 60.0
    note: str = ""
    cut: bool = False
    status: Status | None = None
    city: Sequence[CityView] = ()
    waiting: list[int] = field(default_factory=list)


def draw(scene: Scene, width: int) -> RenderableType:
    """The whole picture, `width` columns wide; stacked, so that it also fits a phone."""
    return Group(_head(scene, width), _readings(scene, width), _queue(scene, width), _city(scene, width))


def line(scene: Scene) -> str:
    """The same in one line, for a log or a pipe."""
    waiting = scene.waiting[-1] if scene.waiting else 0
    accepted = scene.status.outbox.accepted if scene.status else 0
    state = _w("cut", scene) if scene.cut else _w("up", scene)
    return f"{scene.elapsed_s:5.0f}s  {state}  {_w('accepted', scene)} {accepted}  {_w('waiting', scene)} {waiting}"


def _head(scene: Scene, width: int) -> RenderableType:
    room = max(4, min(40, width - 34))
    done = int(room * min(1.0, scene.elapsed_s / max(scene.total_s, 1)))
    bar = "━" * done + "╌" * (room - done)
    head = Text.assemble(
        f"{scene.elapsed_s:3.0f}/{scene.total_s:.0f}s {bar} ",
        (_w("cut", scene), "bold red") if scene.cut else (_w("up", scene), "green"),
    )
    note = Text(f"{scene.note}  {_w('leave', scene)}".strip(), style="dim")
    return Group(head, note)


def _readings(scene: Scene, width: int) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 1), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    for one in scene.status.sources if scene.status else ():
        mark = "✓" if one.age_s is not None else "…"
        shown = ("  " if width >= WIDE else "\n").join(quantity(n, q, 2) for n, q in _telling(one.last)) or _w(
            "nothing", scene
        )
        if one.problems:
            shown += f"  ! {sum(one.problems.values())}"
        table.add_row(f"{mark} {one.name or one.id}", shown, "" if one.age_s is None else f"{one.age_s:.0f}s")
    return Panel(table, title=_w("readings", scene), title_align="left", border_style="cyan")


def _queue(scene: Scene, width: int) -> RenderableType:
    recent = scene.waiting[-max(8, width - 30) :]
    most = max([*recent, 1])
    spark = "".join(_BARS[round(n / most * (len(_BARS) - 1))] for n in recent)
    now = recent[-1] if recent else 0
    outbox = scene.status.outbox if scene.status else None
    total = f"{_w('accepted', scene)} {outbox.accepted if outbox else 0}"
    text = Text.assemble((f"{now:5d} ", "bold red" if scene.cut else "bold"), (spark, "yellow"), f"  {total}")
    return Panel(text, title=_w("queue", scene), title_align="left", border_style="yellow")


def _city(scene: Scene, width: int) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 1), show_header=width >= WIDE)
    table.add_column(_w("entity", scene), no_wrap=True, overflow="ellipsis", ratio=3)
    table.add_column(_w("newest", scene), ratio=4)
    table.add_column(_w("age", scene), justify="right", no_wrap=True)
    table.add_column(_w("instances", scene), justify="right", no_wrap=True)
    for one in scene.city:
        name = one.entity if width >= WIDE else one.entity.split()[-1]
        table.add_row(name, one.shown, f"{one.age_s:.0f}s", str(one.instances))
    if not scene.city:
        table.add_row(_w("nothing", scene), "", "", "")
    return Panel(table, title=_w("city", scene), title_align="left", border_style="green")


def _telling(last: Mapping[str, Quantity]) -> list[tuple[str, Quantity]]:
    """The quantities worth a glance, not the per-class counts (`count_forward_car`)."""
    return [(name, value) for name, value in last.items() if name.count("_") <= 1][:_SHOWN]


def _w(word: str, scene: Scene) -> str:
    return WORDS[word][scene.lang]


_VERDICT = {
    "readings": {"ja": "計測値 (ディスクに保存済)", "en": "readings (on disk)"},
    "acknowledged": {"ja": "都市OSが受領", "en": "acknowledged by the city"},
    "lost": {"ja": "欠落", "en": "lost"},
    "waiting": {"ja": "送信待ち", "en": "still waiting"},
    "wrong": {"ja": "誤り", "en": "wrong"},
    "duplicates": {"ja": "重複", "en": "duplicates"},
    "regressions": {"ja": "古い値による上書き", "en": "old over new"},
    "vehicles": {"ja": "車両 (計測 / 実際)", "en": "vehicles (counted / true)"},
    "of": {"ja": "検証した水位のうち", "en": "of levels checked:"},
    "edge": {"ja": "うち端", "en": "of these at the edge:"},
    "tags": {"ja": "見守りタグ", "en": "watch tags"},
    "none": {"ja": "なし (dbus-daemon がありません)", "en": "left out (no dbus-daemon)"},
    "fine": {"ja": "✓ 欠落なし・誤りなし", "en": "✓ nothing lost, nothing wrong"},
    "bad": {"ja": "✗ 上の数字を見てください", "en": "✗ see the figures above"},
}


def verdict(summary: Summary, lang: str) -> RenderableType:
    """The summary as a table a person reads."""
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    table.add_column(style="dim")
    for name in ("readings", "acknowledged", "lost", "waiting", "wrong", "duplicates", "regressions"):
        bad = name in ("lost", "wrong", "regressions") and getattr(summary, name)
        note = f"{_VERDICT['of'][lang]} {summary.checked}" if name == "wrong" else ""
        table.add_row(
            _VERDICT[name][lang], Text(str(getattr(summary, name)), style="bold red" if bad else "bold"), note
        )
    truth = "?" if summary.vehicles_truth is None else str(summary.vehicles_truth)
    edge = f"{_VERDICT['edge'][lang]} {summary.vehicles_edge}" if summary.vehicles_edge else ""
    table.add_row(_VERDICT["vehicles"][lang], f"{summary.vehicles_counted} / {truth}", edge)
    if not summary.tags:
        table.add_row(_VERDICT["tags"][lang], "", _VERDICT["none"][lang])
    end = Text(_VERDICT["fine" if summary.ok else "bad"][lang], style="bold green" if summary.ok else "bold red")
    return Panel(Group(table, end), title="edgeagent demo", title_align="left", expand=False)
