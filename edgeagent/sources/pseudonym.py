"""Tag id -> what stands for it: on the list, in what leaves the box, and with an SOS.

    gateway's key = what the city hands to a gateway: any secret of 16 bytes or more, best
                    HKDF-SHA256(city key, info "gateway/<gateway id>") in hex: a stolen box then gives
                    away nothing about the others
    list key      = HKDF(gateway's key, info "allow-list")
    day key       = HKDF(gateway's key, info "<YYYY-MM-DD>/<gateway id>")        UTC date
    alias key     = HKDF(gateway's key, info "alias/<YYYY>/<gateway id>")
    keyed hash    = first 32 hex digits of HMAC-SHA256(list key, tag id)         the allow-list
    pseudonym     = first 16 hex digits of HMAC-SHA256(day key, tag id)          what leaves
    alias         = first 16 hex digits of HMAC-SHA256(alias key, tag id)        leaves with an SOS only

HKDF is RFC 5869 with salt "edgeagent tags v1".  A plain hash would not do: the 32 bits of an iBeacon's
major and minor are tried in seconds.  With the day in the key nobody follows a person over days, with the
gateway in it nobody follows one through the town; the city can, because it holds the key and its register
of tags.  Keys of days are made when needed and never written down; two are kept, the present and the last.
Pure.  May import: nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from dataclasses import dataclass, field

__all__ = ["DayNames", "Names", "day_key", "day_of", "gateway_key", "hkdf_sha256", "keyed_hash", "list_key"]

_SALT = b"edgeagent tags v1"
_HEX_DIGITS = 16
_HASH_BYTES = 16
_DAYS_KEPT = 2


@dataclass(frozen=True)
class DayNames:
    """The names of one day: `2026-11-23` and the key they are made with."""

    day: str
    key: bytes = field(repr=False)

    def pseudonym(self, tag_id: str) -> str:
        """What stands for a tag on that day: 16 lower-case hex digits."""
        return hmac.new(self.key, tag_id.encode(), hashlib.sha256).hexdigest()[:_HEX_DIGITS]


class Names:
    """The names of one gateway's tags, day by day.

    Args:
        key: the gateway's key.
        gateway: its id.
    """

    def __init__(self, key: bytes, gateway: str) -> None:
        self._key, self._gateway = key, gateway
        self._days: dict[str, DayNames] = {}

    def of_day(self, wall_ms: int) -> DayNames:
        """The names of the day of this time."""
        day = day_of(wall_ms)
        found = self._days.get(day)
        if found is None:
            found = self._days[day] = DayNames(day, day_key(self._key, day, self._gateway))
            while len(self._days) > _DAYS_KEPT:
                del self._days[next(iter(self._days))]
        return found

    def alias(self, tag_id: str, wall_ms: int) -> str:
        """The longer-lived name for an SOS: the same for a calendar year (UTC)."""
        key = _derived(self._key, f"alias/{day_of(wall_ms)[:4]}/{self._gateway}")
        return hmac.new(key, tag_id.encode(), hashlib.sha256).hexdigest()[:_HEX_DIGITS]


def day_of(wall_ms: int) -> str:
    """UTC date of an epoch time in milliseconds, `YYYY-MM-DD`."""
    return dt.datetime.fromtimestamp(wall_ms / 1000, dt.UTC).date().isoformat()


def day_key(key: bytes, day: str, gateway: str) -> bytes:
    """The key of one gateway's pseudonyms on one day (32 bytes)."""
    return _derived(key, f"{day}/{gateway}")


def gateway_key(city_key: bytes, gateway: str) -> str:
    """What the city hands to one gateway: 64 hex digits."""
    return _derived(city_key, f"gateway/{gateway}").hex()


def list_key(key: bytes) -> bytes:
    """What the hashes of the allow-list are keyed with (32 bytes)."""
    return _derived(key, "allow-list")


def keyed_hash(of_list: bytes, tag_id: str) -> bytes:
    """What stands for a tag on the allow-list (16 bytes; 32 hex digits in a config).

    Args:
        of_list: `list_key`.
        tag_id: as `beacons.normal_id` spells it.
    """
    return hmac.digest(of_list, tag_id.encode(), "sha256")[:_HASH_BYTES]


def _derived(key: bytes, info: str) -> bytes:
    return hkdf_sha256(key, salt=_SALT, info=info.encode())


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
