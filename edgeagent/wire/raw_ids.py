"""Does a text or a file hold an address or an id of a tag, instead of a pseudonym?  Pure.  May import: nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

__all__ = ["RawIds"]

_ADDRESS = rb"(?<![0-9A-Fa-f])[0-9A-Fa-f]{2}(?:([:_])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}(?![0-9A-Fa-f])"
_TAG = (
    rb"ibeacon:[0-9a-f-]{32,36}:\d+:\d+|altbeacon:[0-9a-f]{40}|eddystone:[0-9a-f]{20}:[0-9a-f]{12}"
    rb"|eid:[0-9a-f]{16}|line:[0-9a-f]{10}\b"
)


class RawIds:
    """What to look for.

    Args:
        profiles: names of tag profiles; ids of theirs are `<name>:<hex digits>`.
        known: ids that are known to be raw, in any spelling.
        ours: addresses of the gateway's own adapters, which are no secret.
    """

    def __init__(self, profiles: Iterable[str] = (), known: Iterable[str] = (), ours: Iterable[str] = ()) -> None:
        named = b"".join(rb"|%s:[0-9a-f]{2,40}\b" % re.escape(name.encode()) for name in profiles)
        told = b"".join(b"|" + re.escape(one.encode()) for one in known)
        self._address = re.compile(_ADDRESS)
        self._tag = re.compile(_TAG + named + told, re.IGNORECASE)
        self._ours = frozenset(one.upper().encode() for one in ours)

    def found(self, data: bytes) -> Mapping[str, int]:
        """How many there are, by kind (`address`, `tag-id`); empty when there is none."""
        found: Counter[str] = Counter()
        for match in self._address.finditer(data):
            if match.group().upper().replace(b"_", b":") not in self._ours:
                found["address"] += 1
        found["tag-id"] += sum(1 for _ in self._tag.finditer(data))
        return +found

    def struck(self, data: bytes, mark: bytes) -> bytes:
        """The data with each of them replaced by a mark."""

        def address(match: re.Match[bytes]) -> bytes:
            ours = match.group().upper().replace(b"_", b":") in self._ours
            return match.group() if ours else mark

        return self._tag.sub(mark, self._address.sub(address, data))
