"""A QR code on the terminal: as wide as there is room for, coloured only where colours are wanted."""

from __future__ import annotations

from edgeagent import messages
from edgeagent.cli.columns import colour, columns, wrap
from edgeagent.install import qr

__all__ = ["shown"]

WORDS = {
    "narrow": {
        "ja": "(画面が狭いため QR は表示できません: 42 桁以上で表示します)",
        "en": "(this terminal is too narrow for the QR code: it takes 42 columns)",
    },
}
_QUIET = 2  # light modules around it; four by the standard, phones do with two and mostly with none


def shown(text: str) -> str:
    """The code, or, where it does not fit, that it does not: a broken one cannot be read anyway."""
    modules, room = qr.matrix(text), columns()
    if len(modules) > room:
        return "\n".join(wrap(WORDS["narrow"][messages.language()], room)) + "\n"
    return qr.terminal(modules, colour=colour(), quiet=min(_QUIET, (room - len(modules)) // 2))
