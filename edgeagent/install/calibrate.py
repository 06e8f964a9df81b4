"""The staff gauge against the gauge: what is to be added from now on.

Kept in `calibrations`, not in the config: the config may come signed from the centre.  A difference
of more than a metre is no drift but a wrong mount height, unit or staff, and is refused.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from edgeagent import calibrations
from edgeagent.errors import ConfigError, SourceUnavailable
from edgeagent.reading import Moment, Quality, Reading

__all__ = ["MOST_M", "compare", "undo"]

MOST_M = 1.0
_DECIMALS = 4


def compare(
    state_dir: Path, source: str, staff_m: float, reading: Reading, at: Moment, *, far: bool = False
) -> calibrations.Entry:
    """Write down one comparison.

    Args:
        state_dir: of the agent.
        source: id of the gauge.
        staff_m: what the staff gauge shows, metres above gauge zero.
        reading: what the gauge says now, with everything that holds already.
        at: now.
        far: believe a difference of more than MOST_M.

    Raises:
        SourceUnavailable: install.no-level: there is no good level to compare with.
        ConfigError: install.calibration-far, calibration-damaged or calibration-not-written.
    """
    level = reading.quantities.get("level")
    if level is None or level.quality is not Quality.GOOD or not isinstance(level.value, int | float):
        reason = reading.facts.get("reason:level", "no-level")
        raise SourceUnavailable("install.no-level", source=source, why=reason)
    difference = staff_m - float(level.value)
    if abs(difference) > MOST_M and not far:
        raise ConfigError(
            "install.calibration-far", path="--staff", staff=staff_m, level=level.value, difference=round(difference, 3)
        )
    history = calibrations.load(state_dir, source)
    before = history.current
    entry = calibrations.Entry(
        at=_date(at),
        clock=at.trust.value,
        staff_m=staff_m,
        read_m=float(level.value),
        added_m=round((before.added_m if before else 0.0) + difference, _DECIMALS),
    )
    calibrations.save(state_dir, history.adding(entry))
    return entry


def undo(state_dir: Path, source: str) -> calibrations.Entry | None:
    """Take the last comparison back; returns the one that holds now.

    Raises:
        ConfigError: install.nothing-to-undo, and as `compare`.
    """
    history = calibrations.load(state_dir, source)
    if history.current is None:
        raise ConfigError("install.nothing-to-undo", path="", source=source)
    without = history.undoing()
    calibrations.save(state_dir, without)
    return without.current


def _date(at: Moment) -> str:
    return dt.datetime.fromtimestamp(at.wall_ms / 1000, dt.UTC).isoformat(timespec="seconds")
