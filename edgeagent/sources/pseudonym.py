"""Tag id -> what leaves the box instead of it: 16 hex digits that change every UTC day.

    day key   = HKDF-SHA256(key, salt "edgeagent tags v1", info "<YYYY-MM-DD>/<gateway id>")   RFC 5869
    pseudonym = first 16 hex digits of HMAC-SHA256(day key, tag id)

A plain hash would not do: the 32 bits of an iBeacon's major and minor are tried in seconds.  With
the day in the key nobody follows a person over days, with the gateway in it nobody follows one
through the town; the city can, because it holds the key and its register of tags.
Pure.  May import: nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from dataclasses import dataclass, field

__all__ = ["DayNames", "day_key", "day_of", "hkdf_sha256"]

_SALT = b"edgeagent tags v1"
_HEX_DIGITS = 16


@dataclass(frozen=True)
class DayNames:
    """The names of one day: `2026-11-23` and the key they are made with."""

    day: str
    key: bytes = field(repr=False)

    def pseudonym(self, tag_id: str) -> str:
        """What stands for a tag on that day: 16 lower-case hex digits."""
        return hmac.new(self.key, tag_id.encode(), hashlib.sha256).hexdigest()[:_HEX_DIGITS]


def day_of(wall_ms: int) -> str:
    """UTC date of an epoch time in milliseconds, `YYYY-MM-DD`."""
    return dt.datetime.fromtimestamp(wall_ms / 1000, dt.UTC).date().isoformat()


def day_key(key: bytes, day: str, gateway: str) -> bytes:
    """The key of one gateway's pseudonyms on one day (32 bytes)."""
    return hkdf_sha256(key, salt=_SALT, info=f"{day}/{gateway}".encode())


def hkdf_sha256(key: bytes, *, salt: bytes, info: bytes, length: int = 32) -> bytes:
    """RFC 5869 extract-and-expand with SHA-256."""
    extracted = hmac.new(salt, key, hashlib.sha256).digest()
    out = block = b""
    count = 1
    while len(out) < length:
        block = hmac.new(extracted, block + info + bytes((count,)), hashlib.sha256).digest()
        out += block
        count += 1
    return out[:length]
