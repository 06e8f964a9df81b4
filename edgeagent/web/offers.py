"""What the verb hands to the page: all that it can show and do, as functions; no room behind it is known here."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

__all__ = ["Camera", "Check", "Drawn", "Found", "Listed", "Offers", "Picture", "Watcher"]


class Drawn(
    msgspec.Struct, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}, forbid_unknown_fields=True
):
    """A counting line as a person drew it: pixels of the camera's picture, y down."""

    id: str
    start: tuple[float, float]
    end: tuple[float, float]
    forward: Literal["down", "up", "left", "right"]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of a line: vehicles that crossed it or passed beside its end, and what is wrong with it."""

    id: str
    forward: int
    backward: int
    beside: int
    faults: tuple[str, ...]


class Picture(msgspec.Struct, frozen=True):
    """A picture that may be shown: PNG, already blurred; size in pixels; seconds and vehicles since the start."""

    png: bytes
    size: tuple[int, int]
    seconds: float
    vehicles: int


class Watcher(Protocol):
    """A camera that a person looks through."""

    def pictures(self) -> Generator[Picture, None, None]:
        """A picture now and then, until closed.

        Raises:
            EdgeAgentError: the camera gives none.
        """
        ...

    def check(self, lines: Sequence[Drawn]) -> list[Found]:
        """Hold lines against the ways of the vehicles seen so far."""
        ...


class Camera(msgspec.Struct, frozen=True, kw_only=True):
    """A configured camera and its counting lines."""

    id: str
    name: str
    lines: tuple[Drawn, ...]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A configured source, for when no agent runs."""

    id: str
    name: str
    driver: str


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `doctor`, in the language it was asked in; `state` is ok, warning, failed or skipped."""

    code: str
    state: str
    text: str
    remedy: str
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Offers:
    """All that the page is built from.  The functions block and are called in threads.

    Attributes:
        gateway: its id, and what people call it.
        sources: as configured.
        ask: a question to the agent; EdgeAgentError where none runs.
        cameras: as configured now.
        watch: opens a camera by its id.
        save: writes a camera's lines into the gateway's own config; EdgeAgentError where it must not.
        restart: restarts the agent; None where this box cannot, EdgeAgentError where it did not.
        doctor: every check, in a language.
        note: tells the security log.
    """

    gateway: str
    name: str = ""
    sources: Sequence[Listed] = ()
    ask: Callable[[str], bytes]
    cameras: Callable[[], Sequence[Camera]]
    watch: Callable[[str], Watcher]
    save: Callable[[str, Sequence[Drawn]], None]
    restart: Callable[[], None] | None = None
    doctor: Callable[[str], list[Check]]
    note: Callable[..., None] = field(default=lambda *_, **__: None)
