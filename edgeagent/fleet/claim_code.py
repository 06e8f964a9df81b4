"""The one-time code of a claim, as text: what a person types, what the QR code holds.  Pure.

    K7QF-93MD-2XHT[-9WRB-K3VM-D7QP-04AZ]         or   https://enrol.city.example:8443/#K7QF-93MD-…

Crockford's base 32, so 0 and O, 1, I and L are the same and case does not matter.  Four characters find
the code in the server's books and are no secret, seven are the secret, one is a check of all the others:
a slip of the finger is found before anything is sent and costs no try.  The last sixteen pin the server's
own authority (80 bits of its SHA-256), so a box that has never met the server can tell it from an impostor;
they are left out where the server's certificate comes from a public authority.  In the link the code stands
behind `#`, which no browser sends anywhere.
"""

from __future__ import annotations

import hashlib
import secrets
import urllib.parse
from typing import NamedTuple

from edgeagent.errors import ConfigError

__all__ = ["ClaimCode", "make", "parse", "pin_of"]

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ALIKE = str.maketrans("OIL", "011")
_LOCATOR, _SECRET, _PIN = 4, 7, 16
_HEAD = _LOCATOR + _SECRET + 1


class ClaimCode(NamedTuple):
    """A code taken apart.

    Attributes:
        locator: finds it in the server's books.
        secret: proves that somebody was given it.
        pin: of the server's authority; "" for none.
        server: base address, where the text was a link; "" otherwise.
    """

    locator: str
    secret: str
    pin: str = ""
    server: str = ""

    def __str__(self) -> str:
        whole = self.locator + self.secret + _check(self.locator + self.secret + self.pin) + self.pin
        grouped = "-".join(whole[at : at + 4] for at in range(0, len(whole), 4))
        return f"{self.server.rstrip('/')}/#{grouped}" if self.server else grouped


def make(pin: str = "", server: str = "") -> ClaimCode:
    """A new code."""
    drawn = "".join(secrets.choice(_ALPHABET) for _ in range(_LOCATOR + _SECRET))
    return ClaimCode(drawn[:_LOCATOR], drawn[_LOCATOR:], pin, server)


def parse(text: str) -> ClaimCode:
    """Take a code or a link apart.

    Raises:
        ConfigError: `claim.mistyped`.
    """
    server, hash_sign, typed = text.strip().rpartition("#")
    if hash_sign:
        split = urllib.parse.urlsplit(server)
        server = f"{split.scheme}://{split.netloc}" if split.scheme and split.netloc else ""
    whole = "".join(typed.replace("-", "").split()).upper().translate(_ALIKE)
    head, pin = whole[:_HEAD], whole[_HEAD:]
    fits = len(head) == _HEAD and len(pin) in (0, _PIN) and set(whole) <= set(_ALPHABET)
    if not fits or (hash_sign and not server) or _check(head[:-1] + pin) != head[-1]:
        raise ConfigError("claim.mistyped", path="CODE")
    return ClaimCode(head[:_LOCATOR], head[_LOCATOR:-1], pin, server)


def pin_of(certificate_der: bytes) -> str:
    """The pin of an authority's certificate."""
    number = int.from_bytes(hashlib.sha256(certificate_der).digest()[:10], "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(75, -1, -5))


def _check(rest: str) -> str:
    return _ALPHABET[hashlib.sha256(b"edgeagent claim " + rest.encode()).digest()[0] & 31]
