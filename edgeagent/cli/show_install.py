"""What the installer's verbs print: readable at 40 columns, never by colour alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import msgspec

from edgeagent import messages
from edgeagent.install.serial_ports import Port

__all__ = ["ports", "ports_json"]

WORDS = {
    "held by": {"ja": "使用中", "en": "held by"},
    "free": {"ja": "空き", "en": "free"},
    "on the board": {"ja": "基板上のポート", "en": "on the board"},
}


def ports(found: Sequence[Port]) -> str:
    """Serial ports as text."""
    if not found:
        return "".join(f"{line}\n" for line in _note("install.no-ports", {}))
    return "".join(f"{line}\n" for port in found for line in _port(port))


def ports_json(found: Sequence[Port]) -> str:
    """Serial ports as one JSON document on one line."""
    return json.dumps({"ports": msgspec.to_builtins(found)}, ensure_ascii=False) + "\n"


def _port(port: Port) -> Iterable[str]:
    yield port.name
    about = f"{port.product or '?'}  {port.usb}" if port.usb else w("on the board")
    yield f"    {about}  ({port.device})"
    if port.holders:
        yield f"    ✗ {w('held by')} " + ", ".join(f"{h.program} (pid {h.pid})" for h in port.holders)
    elif "install.holders-hidden" not in port.notes:
        yield f"    ✓ {w('free')}"
    for note in port.notes:
        yield from _note(note, {"device": port.device})


def _note(code: str, facts: dict[str, object]) -> Iterable[str]:
    said = messages.text(code, facts, messages.language())
    yield f"    ! {said.what}"
    yield f"      → {said.remedy}"


def w(word: str) -> str:
    """A word of this file in the person's language."""
    return WORDS[word][messages.language()]
