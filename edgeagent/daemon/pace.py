"""How fast a backlog may leave: a bucket of bytes, and batches that take a second or two.  Pure.

A backlog of days must not eat the line that live values need, nor the SIM's month in an hour.
The bucket is charged with what was really sent, after it was sent, so it may run into debt; while
it is in debt only alarms and live values leave.  A batch is never longer than the line can carry
in a second or two, because a live value that comes meanwhile has to wait for its end.
"""

from __future__ import annotations

__all__ = ["Pace"]

SAVED_S = 10.0  # a line that was idle may make up for so many seconds at once
QUICK_S, SLOW_S = 0.7, 2.0
LEAST, FEW, MANY = 20, 50, 500


class Pace:
    """For one uplink.

    Args:
        bytes_per_s: for the backlog; 0 for as fast as the line carries it.

    Attributes:
        rows: how many readings to lease at a time.
    """

    def __init__(self, bytes_per_s: int) -> None:
        self._rate = bytes_per_s
        self._saved = bytes_per_s * SAVED_S
        self._at_s: float | None = None
        self.rows = FEW

    def wait_s(self, now_s: float) -> float:
        """Seconds until the backlog may go on; 0 when it may."""
        if not self._rate:
            return 0.0
        if self._at_s is not None:
            self._saved = min(self._saved + self._rate * (now_s - self._at_s), self._rate * SAVED_S)
        self._at_s = now_s
        return max(0.0, -self._saved / self._rate)

    def spent(self, sent: int) -> None:
        """Charge bytes of the backlog."""
        self._saved -= sent

    def took(self, rows: int, seconds: float) -> None:
        """Learn from a batch that went through; a small one that was slow says nothing about large ones."""
        if seconds > SLOW_S and rows * 2 > self.rows:
            self.rows = max(self.rows // 2, LEAST)
        elif seconds < QUICK_S and rows >= self.rows:
            self.rows = min(self.rows * 2, MANY)

    def failed(self) -> None:
        """Begin carefully after an outage."""
        self.rows = min(self.rows, FEW)
