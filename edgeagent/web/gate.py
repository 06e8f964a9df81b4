"""Who may see the page, and for how long: one token, once; one session; off after a while.  Pure but for its clock.

- There is no password, and nothing that holds for a second time: the token is made when the page is
  opened and shown in the terminal alone.  It is exchanged for a session, once.
- Five wrong tokens close the page, and so do 15 minutes, whoever is looking.
- A token that was already used is refused and does not count as wrong: it is good for nothing, and a
  phone that goes back a page must not shut its owner out.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Literal

from edgeagent.clock import Clock

__all__ = ["MINUTES", "TRIES", "Closed", "Entry", "Gate"]

MINUTES = 15.0
TRIES = 5
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U; can be typed in the rain
_LETTERS = 10  # 50 bits against five tries
_LIKE = str.maketrans("ILO", "110", " -")

Closed = Literal["time", "wrong-tokens", "asked"]
Entry = Literal["wrong", "used", "closed"]


class Gate:
    """The state of one opening of the page.

    Args:
        clock: for the end.
        minutes: at most MINUTES.

    Attributes:
        token: what the terminal shows.
        closed: why it is closed; None while it is open.
    """

    def __init__(self, clock: Clock, *, minutes: float = MINUTES) -> None:
        self._clock, self._ends_s = clock, clock.mono() + min(minutes, MINUTES) * 60
        self.token = "".join(secrets.choice(_ALPHABET) for _ in range(_LETTERS))
        self._session, self._csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self._entered = False
        self._wrong = 0
        self._closed: Closed | None = None

    @property
    def closed(self) -> Closed | None:
        """Why the page is closed."""
        if self._closed is None and self._clock.mono() >= self._ends_s:
            self._closed = "time"
        return self._closed

    @property
    def left_s(self) -> float:
        """Until it closes by itself."""
        return 0.0 if self.closed else max(0.0, self._ends_s - self._clock.mono())

    @property
    def tries_left(self) -> int:
        """Wrong tokens until it closes."""
        return TRIES - self._wrong

    @property
    def entered(self) -> bool:
        """Whether the token was used."""
        return self._entered

    @property
    def csrf(self) -> str:
        """What every writing request of the session must repeat."""
        return self._csrf

    def enter(self, typed: str) -> tuple[str, None] | tuple[None, Entry]:
        """(session, None) for the right token, the first time; else (None, why not)."""
        if self.closed:
            return None, "closed"
        said = typed.strip().upper().translate(_LIKE)
        if not hmac.compare_digest(said.encode(), self.token.encode()):
            self._wrong += 1
            if self._wrong >= TRIES:
                self._closed = "wrong-tokens"
            return None, "wrong"
        if self._entered:
            return None, "used"
        self._entered = True
        return self._session, None

    def admits(self, session: str) -> bool:
        """Whether this is the session, and the page is open."""
        same = hmac.compare_digest(session.encode(), self._session.encode())
        return same and self._entered and self.closed is None

    def trusts(self, repeated: str) -> bool:
        """Whether a writing request came from our own page."""
        return hmac.compare_digest(repeated.encode(), self._csrf.encode())

    def shut(self) -> None:
        """The person is done."""
        self._closed = self._closed or "asked"
