"""The contact of a tipping bucket -> tips.  Pure: told each edge and its time.

A reed contact bounces for some milliseconds, wind and birds tip a bucket twice, and a stuck contact
is closed for ever.  A tip counts when the contact closes after it was open for `debounce_ms`; more
rain than falls anywhere is a fault, and so is a contact that stays closed.

Sources: WMO HOMS C30.3.05 (0.1 to 1 mm per tip); Japan Meteorological Agency, 0.5 mm; the limits are
ours.  May import: nothing.
"""

from __future__ import annotations

from collections import deque
from typing import Annotated

import msgspec

__all__ = ["Bucket", "Contact"]

_HOUR_S = 3600.0


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """`[pulses]` of a profile.

    Attributes:
        mm_per_tip: rain per contact.
        debounce_ms: a contact that opens for a shorter time did not open.
        most_mm_per_h: more than this is a fault of the contact, not rain.
        stuck_s: a contact that stays closed for so long is stuck.
    """

    mm_per_tip: Annotated[float, msgspec.Meta(gt=0, le=10)]
    debounce_ms: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 30.0
    most_mm_per_h: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 300.0
    stuck_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 60.0


class Contact:
    """The contact of one bucket.

    Attributes:
        tips: counted since the start.
        bounces: closings that were none.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.tips = 0
        self.bounces = 0
        self._closed_at: float | None = None
        self._open_since = float("-inf")
        # enough tips in so short a time that the rate over them is beyond all rain
        self._recent: deque[float] = deque(maxlen=10)

    @property
    def total_mm(self) -> float:
        """Rain since the start."""
        return round(self.tips * self._bucket.mm_per_tip, 4)

    def closed(self, at: float) -> None:
        """The contact closed, at seconds of a clock that never steps."""
        if self._closed_at is not None:
            return
        self._closed_at = at
        if (at - self._open_since) * 1000 < self._bucket.debounce_ms:
            self.bounces += 1
            return
        self.tips += 1
        self._recent.append(at)

    def opened(self, at: float) -> None:
        """The contact opened."""
        if self._closed_at is not None:
            self._closed_at = None
            self._open_since = at

    def fault(self, now: float) -> str:
        """`stuck-closed`, `too-much`, or "" when all is well."""
        if self._closed_at is not None and now - self._closed_at >= self._bucket.stuck_s:
            return "stuck-closed"
        recent = self._recent
        if len(recent) == recent.maxlen:
            over_s = recent[-1] - recent[0]
            rate = (len(recent) - 1) * self._bucket.mm_per_tip * _HOUR_S / max(over_s, 0.001)
            if rate > self._bucket.most_mm_per_h and now - recent[-1] < self._bucket.stuck_s:
                return "too-much"
        return ""
