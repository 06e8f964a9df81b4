"""When is a radio deaf, and what is done about it next.  Pure.

Silence alone proves little: at night, or on a mountain road, nobody may pass for an hour.  So the bound is
learnt from the site (five times the longest usual gap between two advertisements of anybody; at a busy one less
than the floor will do), and it starts again with every scanner.  A canary, a tag of our own in the cabinet,
makes silence a proof.

    rung 1  a fresh scanner
    rung 2  the adapter off and on
    rung 3  the adapter's USB device reset
    rung 4  bluetoothd restarted (asked of systemd)
    then    deaf: said so, a fresh scanner now and then, the rungs above again after ten minutes

Rungs 2 to 4 are climbed only when something is known to be wrong: calls that failed, a canary that fell
silent, or silence at a site where there never is any.  Each waits a while, because a bluetoothd that is
just starting needs no help; one that does not answer its calls at all is restarted at the second of them.
May import: nothing.
"""

from __future__ import annotations

import enum

__all__ = ["Ladder", "Rung"]

_TIMES_USUAL = 5
_FORGET = 0.999  # per advertisement: a busy street forgets its longest gap within minutes, a quiet one in days
_LONGEST_S = 600.0
_CANARY_S = 10.0  # a canary speaks every few seconds
_BUSY_S = 15.0  # twenty of a busy site's longest usual gaps, at least this
_NEXT_RUNG_S = 5.0  # once something is known to be wrong, each rung is given so long
_LEARNT = 100  # advertisements, before the site is known
_NEVER_SILENT = 20  # usual gaps that fit into the bound at a site where silence means a fault
_DOUBTED = 3  # scanners without anybody, after which a radio that proves nothing counts as deaf
_AGAIN_S = 600.0


class Rung(enum.IntEnum):
    """What is done before the next scanner starts."""

    SCANNER = 1
    POWER = 2
    USB = 3
    BLUETOOTHD = 4


_AFTER = {Rung.SCANNER: 0, Rung.POWER: 1, Rung.USB: 4, Rung.BLUETOOTHD: 8}


class Ladder:
    """The judge over one radio.

    Args:
        floor_s: silence that is always allowed, in seconds.
        canary: a canary should be heard.
        pace_s: rung 2 not before so many seconds of trouble; rung 3 and 4 after 4 and 8 times that.

    Attributes:
        climbed: failures and silences in a row since anybody was heard.
    """

    def __init__(self, *, floor_s: float, canary: bool = False, pace_s: float = 1.5) -> None:
        self._pace_s = pace_s
        self._floor_s, self._canary = (min(floor_s, _CANARY_S) if canary else floor_s), canary
        self.climbed = 0
        self._failed = self._unproven = False
        self._usual_s = 0.0
        self._adverts = 0
        self._last_s: float | None = None
        self._started_s = 0.0
        self._rung = Rung.SCANNER
        self._since_s, self._again_s = 0.0, float("-inf")

    def started(self, now_s: float) -> None:
        """A scanner runs; its silence begins now."""
        self._started_s, self._last_s, self._failed = now_s, None, False

    def heard(self, now_s: float) -> None:
        """Anybody's advertisement."""
        if self._last_s is None:
            self.climbed, self._unproven = 0, False
        else:
            self._usual_s = max(now_s - self._last_s, self._usual_s * _FORGET)
        self._last_s = now_s
        self._adverts += 1

    def failed(self, now_s: float, *, hung: bool = False) -> Rung:
        """A scanner could not be started, or its daemon or adapter went away.

        Args:
            now_s: when.
            hung: a call was never answered.

        Returns:
            What to do next.
        """
        self._failed = self._unproven = True
        rung = self._climb(now_s)
        if hung and self.climbed > 1 and self._rung is not Rung.BLUETOOTHD:
            rung = self._rung = Rung.BLUETOOTHD
        return rung

    def silent(self, now_s: float) -> bool:
        """Whether the silence is too long."""
        return now_s - (self._started_s if self._last_s is None else self._last_s) > self.bound_s

    def fell_silent(self, now_s: float) -> Rung:
        """A scanner was given up because of its silence.

        Returns:
            What to do next.
        """
        return self._climb(now_s)

    def skip(self) -> Rung:
        """The USB device cannot be reset (the radio of a Pi hangs on a UART): the next rung at once."""
        self._rung = Rung.BLUETOOTHD
        return Rung.BLUETOOTHD

    @property
    def bound_s(self) -> float:
        """Silence that is allowed now, in seconds."""
        floor_s = self._floor_s
        if self._adverts >= _LEARNT:
            floor_s = min(floor_s, max(_BUSY_S, _NEVER_SILENT * self._usual_s))
        if self._certain and 0 < self.climbed <= Rung.BLUETOOTHD:
            floor_s = min(floor_s, _NEXT_RUNG_S)
        bound_s = max(floor_s, _TIMES_USUAL * self._usual_s)
        if not self._certain or self.climbed > Rung.BLUETOOTHD:
            bound_s *= 2.0 ** min(self.climbed, 10)
        return min(bound_s, _LONGEST_S)

    @property
    def hears(self) -> bool:
        """Whether this scanner has heard anybody."""
        return self._last_s is not None

    @property
    def deaf(self) -> bool:
        """Whether a radio that fell silent is to be called deaf.

        One that heard somebody and then fell silent is deaf until the next one hears; one that never heard
        anybody is at a quiet place, or deaf too: that is told only after a few of them.
        """
        return self.hears or self._certain or self.climbed >= _DOUBTED

    @property
    def trusted(self) -> bool:
        """Whether a scanner that was just started may be said to listen before it heard anybody."""
        return not self.climbed or not (self._certain or self._unproven or self.climbed >= _DOUBTED)

    @property
    def _certain(self) -> bool:
        return self._canary or self._failed or 0 < self._usual_s * _NEVER_SILENT < self._floor_s

    def _climb(self, now_s: float) -> Rung:
        if not self.climbed or now_s > self._again_s:
            self._since_s, self._rung, self._again_s = now_s, Rung.SCANNER, now_s + _AGAIN_S
        self.climbed += 1
        following = Rung(min(self._rung + 1, Rung.BLUETOOTHD))
        due_s = self._since_s + _AFTER[following] * self._pace_s
        if self.climbed == 1 or self._rung is Rung.BLUETOOTHD or not self._certain or now_s < due_s:
            return Rung.SCANNER
        self._rung = following
        return following
