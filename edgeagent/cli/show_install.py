"""What the installer's verbs print: readable at 40 columns, never by colour alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import msgspec

from edgeagent import messages
from edgeagent.calibrations import History
from edgeagent.errors import EdgeAgentError
from edgeagent.install.look import Word
from edgeagent.install.modbus_scan import Found, Line
from edgeagent.install.serial_ports import Port
from edgeagent.reading import Reading
from edgeagent.words import named, quantity

__all__ = [
    "chart",
    "comparisons",
    "device",
    "nobody",
    "note",
    "ports",
    "ports_json",
    "problem",
    "reading",
    "registers",
]

WORDS = {
    "held by": {"ja": "使用中", "en": "held by"},
    "free": {"ja": "空き", "en": "free"},
    "on the board": {"ja": "基板上のポート", "en": "on the board"},
    "unit": {"ja": "装置番号", "en": "unit"},
    "no profile": {"ja": "合うプロファイルなし", "en": "no profile fits"},
    "registers": {
        "ja": "レジスタ (✓ = 範囲内, * = プロファイルの順)",
        "en": "registers (✓ = sane, * = the profile's order)",
    },
    "comparisons": {"ja": "量水標との比較", "en": "compared with the staff gauge"},
    "none yet": {"ja": "まだありません", "en": "none yet"},
    "staff": {"ja": "量水標", "en": "staff"},
    "gauge": {"ja": "水位計", "en": "gauge"},
    "added": {"ja": "補正", "en": "added"},
    "undone": {"ja": "取消済", "en": "undone"},
    "restart": {
        "ja": "反映するには再起動: sudo systemctl restart edgeagent",
        "en": "to apply it, restart: sudo systemctl restart edgeagent",
    },
}


_EIGHTHS = "▁▂▃▄▅▆▇█"


def ports(found: Sequence[Port]) -> str:
    """Serial ports as text."""
    if not found:
        return "".join(f"{line}\n" for line in _note("install.no-ports", {}))
    return "".join(f"{line}\n" for port in found for line in _port(port))


def ports_json(found: Sequence[Port]) -> str:
    """Serial ports as one JSON document on one line."""
    return json.dumps({"ports": msgspec.to_builtins(found)}, ensure_ascii=False) + "\n"


def device(found: Found) -> str:
    """One Modbus device."""
    setting = f"  {found.baud} {found.frame}" if found.baud else ""
    lines = [f"✓ {_w('unit')} {found.unit}{setting}"]
    for guess in found.guesses:
        values = " · ".join(f"{named(name, messages.language())} {value:g}" for name, value in guess.values.items())
        lines.append(f"    {guess.profile}  @{guess.address}")
        lines.append(f"      {values}")
    if not found.guesses:
        lines.append(f"    {_w('no profile')}")
    return "".join(f"{line}\n" for line in lines)


def nobody(port: str, lines: Sequence[Line]) -> str:
    """Nobody was found, and what was heard instead."""
    said = [note("install.nobody", {"port": port})]
    for line in lines:
        heard = ", ".join(f"{kind} ×{count}" for kind, count in line.heard.items())
        said.append(note("install.other-setting", {"setting": f"{line.baud} {line.frame}", "heard": heard}))
    return "".join(said)


def reading(one: Reading) -> str:
    """One reading on one line, with the reasons of what is missing."""
    lang = messages.language()
    shown = " · ".join(quantity(named(name, lang), value) for name, value in one.quantities.items())
    reasons = [f"{k.removeprefix('reason:')}: {v}" for k, v in one.facts.items() if k.startswith("reason:")]
    return f"{shown}\n" + "".join(f"    ! {reason}\n" for reason in reasons)


def registers(words: Sequence[Word]) -> str:
    """Registers in hex and under every word order."""
    lines = [_w("registers")] if words else []
    for word in words:
        lines.append(f"  {word.name} @{word.address}  0x {word.raw}")
        for order, value in word.numbers.items():
            number = "-" if value is None else f"{value:.6g}"
            lines.append(
                f"    {order}{'*' if order == word.order else ' '} {number:>13} {'✓' * (order in word.inside)}"
            )
    return "".join(f"{line.rstrip()}\n" for line in lines)


def chart(readings: Sequence[Reading], width: int, height: int) -> str:
    """The main value over the last readings, one column each."""
    values = [_main(r) for r in readings][-max(width - 9, 10) :]
    there = [v for v in values if v is not None]
    if not there:
        return note("install.no-plot", {})
    low, high = min(there), max(there)
    span = max(high - low, 0.01) * 1.1
    low = high - span  # so that the lowest value is seen too
    rows = []
    for row in range(height, 0, -1):
        floor = low + span * (row - 1) / height
        label = f"{low + span * row / height:8.2f}" if row in (height, 1) else " " * 8
        rows.append(f"{label} " + "".join(_cell(v, floor, span / height) for v in values))
    return "".join(f"{row}\n" for row in rows)


def comparisons(history: History, *, changed: bool) -> str:
    """The history of a gauge."""
    lines = [f"{history.source}: {_w('comparisons')}"]
    for entry in history.entries:
        mark = "✓" if entry is history.current else "·"
        undone = f"  ({_w('undone')})" if entry.undone else ""
        lines.append(f"  {mark} {entry.at[:16]}{undone}")
        lines.append(f"      {_w('staff')} {entry.staff_m:.2f} m · {_w('gauge')} {entry.read_m:.2f} m")
        lines.append(f"      {_w('added')} {entry.added_m:+.3f} m")
    if not history.entries:
        lines.append(f"  {_w('none yet')}")
    if changed:
        lines.append(f"→ {_w('restart')}")
    return "".join(f"{line}\n" for line in lines)


def problem(error: EdgeAgentError) -> str:
    """An error with its remedy."""
    said = messages.text(error.code, error.facts, messages.language())
    return f"✗ {said.what}\n" + (f"  → {said.remedy}\n" if said.remedy else "")


def note(code: str, facts: dict[str, object]) -> str:
    """A note with its remedy."""
    return "".join(
        f"{line.strip(' ') if line.startswith('    !') else '  ' + line.strip()}\n" for line in _note(code, facts)
    )


def _cell(value: float | None, floor: float, step: float) -> str:
    if value is None:
        return " "
    filled = (value - floor) / step
    return " " if filled <= 0 else "█" if filled >= 1 else _EIGHTHS[max(int(filled * 8), 0)]


def _main(one: Reading) -> float | None:
    for name in ("level", *one.quantities):
        found = one.quantities.get(name)
        if found is not None and (found.usable or name == "level"):
            value = found.value if found.usable else None
            return float(value) if isinstance(value, int | float) else None
    return None


def _port(port: Port) -> Iterable[str]:
    yield port.name
    about = f"{port.product or '?'}  {port.usb}" if port.usb else _w("on the board")
    yield f"    {about}  ({port.device})"
    if port.holders:
        yield f"    ✗ {_w('held by')} " + ", ".join(f"{h.program} (pid {h.pid})" for h in port.holders)
    elif "install.holders-hidden" not in port.notes:
        yield f"    ✓ {_w('free')}"
    for note in port.notes:
        yield from _note(note, {"device": port.device})


def _note(code: str, facts: dict[str, object]) -> Iterable[str]:
    said = messages.text(code, facts, messages.language())
    yield f"    ! {said.what}"
    yield f"      → {said.remedy}"


def _w(word: str) -> str:
    """A word of this file in the person's language."""
    return WORDS[word][messages.language()]
