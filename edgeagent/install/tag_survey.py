"""Tags around an installer, by keyed hash: how strong, how often, ours or not; which one is being held here.

Only frames of tag formats come here, and only for as long as the installer looks: a tag that was not heard
for half a minute is forgotten, and ids never leave this file.  Times are handed in; nothing waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from edgeagent.sources.allow_list import AllowList
from edgeagent.sources.pseudonym import keyed_hash
from edgeagent.wire.beacons import Sighting

__all__ = ["Row", "Survey", "Walk", "WalkTest", "bar"]

_FORGET_S = 30.0
_MOST = 200
_KEPT = 9
_HELD_DBM, _AHEAD_DB, _HELD_S, _HELD_FRAMES = -55.0, 8.0, 3.0, 4
_FULL_DBM, _EMPTY_DBM = -40, -100
_HERE_DBM = -85.0  # the presence rule's default


class Row(msgspec.Struct, frozen=True):
    """One tag as it is shown.

    Attributes:
        hash: keyed hash, 32 hex digits.
        format: first word of its id.
        rssi: dBm, median of the last frames.
        frames: heard so far.
        listed: it is on the allow-list.
        alias: from the list.
        silent_s: since it was heard last.
    """

    hash: str
    format: str
    rssi: float
    frames: int
    listed: bool
    alias: str
    silent_s: float


@dataclass
class _Seen:
    hash: str
    format: str
    listed: bool
    alias: str
    frames: int = 0
    heard_s: float = 0.0
    near_s: float | None = None  # since when it has been the nearest
    rssi: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT))

    @property
    def median(self) -> float:
        return float(sorted(self.rssi)[len(self.rssi) // 2])


class Survey:
    """What is around.

    Args:
        of_list: key of the hashes.
        allowed: the allow-list.
    """

    def __init__(self, of_list: bytes, allowed: AllowList) -> None:
        self._of_list, self._allowed = of_list, allowed
        self._seen: dict[str, _Seen] = {}
        self.anybody = 0  # advertisements of any device

    def note(self, sighting: Sighting, rssi: int, now_s: float) -> None:
        """A frame of a tag format."""
        for tag in sighting.ids:
            found = self._seen.get(tag) or self._meet(tag)
            if found is not None:
                found.frames += 1
                found.heard_s = now_s
                found.rssi.append(rssi)

    def rows(self, now_s: float) -> Sequence[Row]:
        """The tags of now: ours first, then the strongest."""
        for tag in [tag for tag, seen in self._seen.items() if now_s - seen.heard_s > _FORGET_S]:
            del self._seen[tag]
        rows = [
            Row(s.hash, s.format, s.median, s.frames, s.listed, s.alias, round(now_s - s.heard_s, 1))
            for s in self._seen.values()
        ]
        return sorted(rows, key=lambda row: (not row.listed, -row.rssi, row.hash))

    def held(self, now_s: float) -> Row | None:
        """The tag that is held to the antenna: clearly the nearest for some seconds."""
        rows = sorted(self.rows(now_s), key=lambda row: -row.rssi)
        nearest = rows[0] if rows else None
        ahead = nearest is not None and nearest.rssi >= _HELD_DBM
        ahead = ahead and (len(rows) == 1 or rows[0].rssi - rows[1].rssi >= _AHEAD_DB)
        for seen in self._seen.values():
            if not ahead or nearest is None or seen.hash != nearest.hash:
                seen.near_s = None
            elif seen.near_s is None:
                seen.near_s = now_s
            elif now_s - seen.near_s >= _HELD_S and seen.frames >= _HELD_FRAMES:
                return nearest
        return None

    def find(self, tag_hash: str, now_s: float) -> Row | None:
        """One tag, by its keyed hash."""
        return next((row for row in self.rows(now_s) if row.hash == tag_hash), None)

    def _meet(self, tag: str) -> _Seen | None:
        if len(self._seen) >= _MOST:
            return None
        listed = self._allowed.find(tag)
        made = _Seen(
            keyed_hash(self._of_list, tag).hex(),
            tag.partition(":")[0],
            listed is not None,
            listed.alias if listed else "",
        )
        self._seen[tag] = made
        return made


class WalkTest(msgspec.Struct, frozen=True):
    """What a walk with a tag showed; goes into the site report.

    Attributes:
        wall_ms: when it ended, UTC epoch milliseconds.
        seconds: how long it took.
        heard: share of the seconds in which the tag was heard, 0..1.
        here: share of the seconds in which it was strong enough to count as present, 0..1.
        weakest_dbm: the weakest that was heard; None when nothing was.
        longest_gap_s: the longest silence.
    """

    wall_ms: int
    seconds: int
    heard: float
    here: float
    weakest_dbm: float | None
    longest_gap_s: int


class Walk:
    """Second by second: how strong the test tag is."""

    def __init__(self) -> None:
        self.seconds: list[float | None] = []

    def second(self, row: Row | None) -> bool:
        """One more second; whether the tag was heard in it."""
        heard = row is not None and row.silent_s < 1.0
        self.seconds.append(row.rssi if heard and row is not None else None)
        return heard

    def result(self, wall_ms: int) -> WalkTest:
        """The whole walk."""
        heard = [rssi for rssi in self.seconds if rssi is not None]
        longest = gap = 0
        for rssi in self.seconds:
            gap = gap + 1 if rssi is None else 0
            longest = max(longest, gap)
        total = max(len(self.seconds), 1)
        here = sum(rssi >= _HERE_DBM for rssi in heard)
        weakest = min(heard) if heard else None
        return WalkTest(
            wall_ms, len(self.seconds), round(len(heard) / total, 2), round(here / total, 2), weakest, longest
        )


def bar(rssi: float, width: int = 10) -> str:
    """Strength as blocks: empty at -100 dBm, full at -40."""
    full = round((min(max(rssi, _EMPTY_DBM), _FULL_DBM) - _EMPTY_DBM) / (_FULL_DBM - _EMPTY_DBM) * width)
    return "█" * full + "·" * (width - full)
