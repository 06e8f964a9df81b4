"""Which tags are ours, told by keyed hashes: who reads the list learns no id.

The config and the file of enrolled tags hold hashes; an id is known here only while its tag is heard.
A stranger's id is hashed, looked up and forgotten.  Pure.  May import besides the words: nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from edgeagent.sources.pseudonym import keyed_hash

__all__ = ["AllowList", "Listed"]


@dataclass(frozen=True)
class Listed:
    """One line of the list.

    Attributes:
        hash: 32 hex digits, see `pseudonym.keyed_hash`.
        alias: the city's own name for the tag; leaves the box with an SOS only.
        key: 16 bytes that open its encrypted BTHome frames, or none.
        canary: the gateway's own tag: it proves that the radio hears, and is nobody.
    """

    hash: str
    alias: str = ""
    key: bytes = field(default=b"", repr=False)
    canary: bool = False


class AllowList:
    """The list of one source.

    Args:
        of_list: the key of the hashes, `pseudonym.list_key`.
        listed: its lines; a hash that comes twice counts once, the first.
    """

    def __init__(self, of_list: bytes, listed: Iterable[Listed]) -> None:
        self._of_list = of_list
        self._by_hash: dict[bytes, Listed] = {}
        for one in listed:
            self._by_hash.setdefault(bytes.fromhex(one.hash), one)
        self._known: dict[str, Listed] = {}  # ids of ours that were heard: bounded by the list

    def __len__(self) -> int:
        return len(self._by_hash)

    def find(self, tag_id: str) -> Listed | None:
        """The line of a tag, or None for a stranger, of whom nothing is kept."""
        known = self._known.get(tag_id)
        if known is None:
            known = self._by_hash.get(keyed_hash(self._of_list, tag_id))
            if known is not None:
                self._known[tag_id] = known
        return known
