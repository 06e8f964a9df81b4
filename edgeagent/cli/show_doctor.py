"""How `doctor` looks: a group per heading, a check per line, readable at 40 columns and by ear."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from edgeagent import messages
from edgeagent.cli.columns import coloured, columns, width, wrap
from edgeagent.install.doctor_item import Item, State, group_of

__all__ = ["Page"]

WORDS = {
    "CONFIG": {"ja": "設定", "en": "Config"},
    "CYCLE": {"ja": "停電からの復帰", "en": "After the power cut"},
    "POWER": {"ja": "電源", "en": "Power"},
    "CLOCK": {"ja": "時計", "en": "Clock"},
    "STORE": {"ja": "記憶装置", "en": "Storage"},
    "IDENT": {"ja": "証明書と鍵", "en": "Identity"},
    "NET": {"ja": "通信", "en": "Network"},
    "DEVICE": {"ja": "機器", "en": "Devices"},
    "BUFFER": {"ja": "蓄積", "en": "Buffer"},
    "OTA": {"ja": "遠隔更新", "en": "Updates"},
    "SERVICE": {"ja": "サービス", "en": "Service"},
    "ok": {"ja": "正常", "en": "ok"},
    "warning": {"ja": "注意", "en": "warning"},
    "failed": {"ja": "異常", "en": "failed"},
    "skipped": {"ja": "検査せず", "en": "left out"},
    "remedy": {"ja": "対処", "en": "remedy"},
    "next": {
        "ja": "次に: 電源を抜き差しして sudo edgeagent doctor --after-power-cycle を実行してください。",
        "en": "Next: pull the plug, plug it in, and run: sudo edgeagent doctor --after-power-cycle",
    },
    "first": {
        "ja": "まず ✗ の行を上から順に直し、もう一度 edgeagent doctor を実行してください。",
        "en": "Next: mend the lines marked ✗ from the top, then run edgeagent doctor again.",
    },
}
_MARKS = {State.OK: "✓", State.WARNING: "!", State.FAILED: "✗", State.SKIPPED: "–"}


class Page:
    """Prints results as they come.

    Args:
        plain: one item per line and no symbols, for screen readers and serial consoles.
    """

    def __init__(self, *, plain: bool) -> None:
        self._plain = plain
        self._group = ""
        self._left_out: list[Item] = []
        self._counts: Counter[State] = Counter()

    def item(self, item: Item) -> list[str]:
        """The lines that are due with this result: a heading before the first of a group.

        Checks left out for one reason share a line, which comes when the next reason or result does.
        """
        self._counts[item.state] += 1
        if self._plain:
            return self._line(item)
        held = self._left_out
        same = held and (held[0].said, held[0].facts, held[0].about) == (item.said, item.facts, item.about)
        if item.state is State.SKIPPED and same and group_of(held[0]) == group_of(item):
            held.append(item)
            return []
        due = self._flush()
        if item.state is State.SKIPPED:
            self._left_out = [item]
            return due
        return due + self._line(item)

    def _flush(self) -> list[str]:
        held, self._left_out = self._left_out, []
        return self._line(held[0], *held[1:]) if held else []

    def _line(self, item: Item, *same: Item) -> list[str]:
        group = group_of(item)
        heading, self._group = group != self._group, group
        said = item.text(messages.language())
        about = f" {item.about}" if item.about else ""
        if self._plain:
            word = _w(item.state.value)
            remedy = f" {_w('remedy')}: {said.remedy}" if said.remedy and item.state is not State.OK else ""
            return [f"{_w(group)}, {word}, {item.code}{about}: {said.what}{remedy}"]
        room, mark = columns(), _MARKS[item.state]
        lines = ([""] if group != "CONFIG" else []) + [_w(group)] if heading else []
        codes = "".join([item.code, *(f", {one.code.rpartition('-')[2]}" for one in same)])
        about = "" if re.search(rf"(?<!\w){re.escape(item.about)}(?!\w)", said.what) else about
        about += f" {_w('skipped')}:" if item.state is State.SKIPPED else ""
        first, *rest = wrap(f"{codes}{about} {said.what}", room, f"  {mark} ", "    ")
        lines += [first.replace(mark, coloured(mark), 1), *rest]
        if said.remedy and item.state is not State.OK:
            lines += wrap(said.remedy, room, "    → ", "      ")
        return lines

    def end(self, items: Sequence[Item]) -> list[str]:
        """The sum, and what to do next."""
        counted = [(state, self._counts[state]) for state in State]
        failed = bool(self._counts[State.FAILED])
        if self._plain:
            return [", ".join(f"{_w(state.value)} {n}" for state, n in counted), _w("first" if failed else "next")]
        sums = [f"{_MARKS[state]} {_w(state.value)} {n}" for state, n in counted]
        total = ["  ".join(sums)] if width("  ".join(sums)) <= columns() else sums
        after = [] if _cycled(items) and not failed else wrap(_w("first" if failed else "next"), columns())
        return [*self._flush(), "", *total, *after]


def _cycled(items: Iterable[Item]) -> bool:
    return any(group_of(item) == "CYCLE" for item in items)


def _w(word: str) -> str:
    return WORDS[word][messages.language()]
