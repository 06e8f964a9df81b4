"""What a month's data volume still allows.  Pure.

A SIM has a cap, and a backlog of days or a chatty config can eat it in a night; then the gateway is
mute for the rest of the month, floods included.  So sending is held to the line that leads from
nothing on the first of the month (JST) to the cap on the last: what is far above it waits, in this
order, until time has caught up:

    FREELY      up to a tenth of the cap above the line: everything leaves
    NO_BACKLOG  above that: alarms and the newest values
    SPARSELY    above two tenths, or the last twentieth of the cap: the newest values every ten minutes
    BARELY      the cap is reached: the newest values once an hour, as a sign of life

Alarms always leave at once, beyond the cap too.
"""

from __future__ import annotations

import datetime as dt
import enum

from edgeagent.outbox.days import month_at
from edgeagent.ports import UplinkStats
from edgeagent.reading import Moment, TimeTrust

__all__ = ["Thrift", "forecast", "thrift", "used"]

_AHEAD, _FAR_AHEAD, _NEARLY = 0.1, 0.2, 0.95
_LEAST_SHARE = 1 / 31  # a forecast from less than a day would be a guess


class Thrift(enum.IntEnum):
    """How sparing to be."""

    FREELY = 0
    NO_BACKLOG = 1
    SPARSELY = 2
    BARELY = 3

    @property
    def pause_s(self) -> float:
        """Between two batches of newest values."""
        return {Thrift.SPARSELY: 600.0, Thrift.BARELY: 3600.0}.get(self, 0.0)


def used(stats: UplinkStats, now: Moment) -> int:
    """Bytes sent in the month that it is now."""
    return 0 if month_at(now) > stats.month else stats.sent


def thrift(monthly_bytes: int, sent: int, now: Moment) -> Thrift:
    """How sparing to be now; without a trusted clock, as if the month had just begun.

    Args:
        monthly_bytes: the cap; 0 for none.
        sent: of this month.
        now: the present moment.
    """
    if not monthly_bytes:
        return Thrift.FREELY
    share = sent / monthly_bytes
    ahead = share - _elapsed(now)
    if share >= 1.0:
        return Thrift.BARELY
    if ahead > _FAR_AHEAD or share > _NEARLY:
        return Thrift.SPARSELY
    return Thrift.NO_BACKLOG if ahead > _AHEAD else Thrift.FREELY


def forecast(sent: int, now: Moment) -> int | None:
    """Bytes at the end of the month at the pace so far; None without a trusted clock."""
    share = _elapsed(now)
    return round(sent / max(share, _LEAST_SHARE)) if share else None


def _elapsed(now: Moment) -> float:
    """Share of the month that is over, in Japan; 0 when the clock cannot be trusted."""
    if now.trust is not TimeTrust.SYNCED:
        return 0.0
    zone = dt.timezone(dt.timedelta(hours=9))
    at = dt.datetime.fromtimestamp(now.wall_ms / 1000, zone)
    begin = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (begin + dt.timedelta(days=32)).replace(day=1)
    return (at - begin) / (end - begin)
