"""What a check of `doctor` says: a stable code, a state, and the facts its text needs.

A code names one check for ever (`E-POWER-02`); people search for it and write it down.  Its texts
stand in the message area `doctor`: `E-POWER-02` says what is wrong, why, and the remedy;
`E-POWER-02-ok` what was found good; `skip-…` why a check was left out.  Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from edgeagent import messages

__all__ = [
    "GROUPS",
    "Cause",
    "Item",
    "State",
    "document",
    "exit_code",
    "failed",
    "good",
    "group_of",
    "left_out",
    "warned",
]

# in the order they are looked at and shown
GROUPS = ("CONFIG", "POWER", "CLOCK", "STORE", "IDENT", "NET", "DEVICE", "BUFFER", "OTA", "SERVICE", "CYCLE")


class State(enum.StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


Cause: TypeAlias = tuple[str, dict[str, str]]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the result.

    Attributes:
        code: `E-<GROUP>-<number>`.
        state: how it ended.
        said: name of its text in the message area `doctor`.
        facts: what the text needs.
        about: id of the source or uplink it is about; "" for the box.
        cause: an error of another room behind it, code and facts: its text is the fact `why`, its
            remedy is better than ours.
    """

    code: str
    state: State
    said: str
    facts: dict[str, str] = {}
    about: str = ""
    cause: Cause | None = None

    def text(self, lang: str) -> messages.Text:
        """What was found and what to do, in one of our languages."""
        if self.cause is None:
            return messages.text(f"doctor.{self.said}", self.facts, lang)
        why = messages.text(*self.cause, lang)
        said = messages.text(f"doctor.{self.said}", {**self.facts, "why": why.what}, lang)
        return messages.Text(said.what, why.remedy or said.remedy)


def good(code: str, about: str = "", *, said: str = "", **facts: object) -> Item:
    """The check found nothing wrong."""
    return Item(code=code, state=State.OK, said=said or f"{code}-ok", facts=_texts(facts), about=about)


def warned(code: str, about: str = "", *, said: str = "", cause: Cause | None = None, **facts: object) -> Item:
    """It works, and somebody should look at it."""
    return Item(code=code, state=State.WARNING, said=said or code, facts=_texts(facts), about=about, cause=cause)


def failed(code: str, about: str = "", *, said: str = "", cause: Cause | None = None, **facts: object) -> Item:
    """The site is not ready like this."""
    return Item(code=code, state=State.FAILED, said=said or code, facts=_texts(facts), about=about, cause=cause)


def left_out(code: str, reason: str, about: str = "", **facts: object) -> Item:
    """The check could not be made; `reason` names the text `skip-<reason>`."""
    return Item(code=code, state=State.SKIPPED, said=f"skip-{reason}", facts=_texts(facts), about=about)


def group_of(item: Item) -> str:
    """`POWER` of `E-POWER-02`."""
    return item.code.split("-")[1]


def exit_code(items: Iterable[Item]) -> int:
    """0 all good, 1 something failed, 6 warnings only."""
    states = {item.state for item in items}
    return 1 if State.FAILED in states else 6 if State.WARNING in states else 0


def document(items: Iterable[Item], lang: str) -> dict[str, object]:
    """For machines."""
    listed = list(items)
    return {
        "ok": all(item.state is not State.FAILED for item in listed),
        "items": [_line(item, lang) for item in listed],
    }


def _line(item: Item, lang: str) -> dict[str, object]:
    said = item.text(lang)
    return {
        "code": item.code,
        "state": item.state.value,
        "text": said.what,
        "remedy": said.remedy,
        "about": item.about,
        "facts": item.facts,
    }


def _texts(facts: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in facts.items()}
