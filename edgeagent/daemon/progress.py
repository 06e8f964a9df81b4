"""Who stands still, and what is done about it, in stages; the watchdog comes last.  Pure.

A source that says nothing (no reading, no problem) for several times its interval, and an uplink
that is busy with one delivery for minutes, is started again by itself: once, twice, three times.
Only when that does not help is the watchdog no longer fed, and systemd starts the whole agent
again, which loses nothing.  A dead instrument is no standstill: its driver says so, and that counts.
The pump and the store are looked at by the same rule, without stages: they carry everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeagent.daemon.health import Health
from edgeagent.ports import SourceConfig

__all__ = ["BUSY_S", "HEALS", "KEEPER_S", "PUMP_S", "Progress", "Stage", "limit_s"]

HEALS = 3
PUMP_S = 15.0  # the pump turns once a second
KEEPER_S = 60.0  # it looks once a second
BUSY_S = 300.0  # every driver gives a delivery up much sooner
_LEAST_S = 300.0
_INTERVALS = 6
_LIVE = ("rtsp:", "rtsps:", "http:", "https:", "/dev/")


def limit_s(config: SourceConfig) -> float:
    """How long a source may say nothing, in seconds; 0 where silence says nothing about it.

    A scanner that hears nobody is well and heals itself; a clip that has ended has ended.
    """
    if hasattr(config, "silence_s"):
        return 0.0
    if hasattr(config, "camera"):
        live = str(config.camera).startswith(_LIVE)
        return max(_LEAST_S, _INTERVALS * float(getattr(config, "window_s", 60.0))) if live else 0.0
    every_s = getattr(config, "every_s", None)
    return max(_LEAST_S, _INTERVALS * float(every_s)) if isinstance(every_s, int | float) else 0.0


@dataclass(frozen=True)
class Stage:
    """What to do now.

    Attributes:
        heal: names of the parts to start again: a source's id, or `uplink <id>`.
        feed: whether everything progresses, so that the watchdog may be fed.
        stuck: who keeps it from being fed.
    """

    heal: tuple[str, ...]
    feed: bool
    stuck: tuple[str, ...] = ()


class Progress:
    """Looks at the health of one run.

    Args:
        health: measured by the loops.
        limits: seconds by source; 0 for none.
        began_ms: CLOCK_BOOTTIME milliseconds of the start.
    """

    def __init__(self, health: Health, limits: Mapping[str, float], began_ms: int) -> None:
        self._health, self._limits, self._began_ms = health, limits, began_ms
        self._healed: dict[str, tuple[int, int]] = {}  # part -> (how often without effect, when last)

    def look(self, now_ms: int) -> Stage:
        """Once every few seconds."""
        heal, stuck = [], []
        for name, since_ms, limit in self._parts():
            times, last_ms = self._healed.get(name, (0, 0))
            if since_ms is None or since_ms > last_ms > 0:
                self._healed.pop(name, None)
                times, last_ms = 0, 0
            if since_ms is None or now_ms - max(since_ms, last_ms) <= limit * 1000:
                continue
            if times < HEALS:
                self._healed[name] = (times + 1, now_ms)
                heal.append(name)
            else:
                stuck.append(name)
        if now_ms - max(self._health.pump_mono_ms, self._began_ms) > PUMP_S * 1000:
            stuck.append("pump")
        kept_ms = self._health.keeper_mono_ms
        if kept_ms is not None and now_ms - kept_ms > KEEPER_S * 1000:
            stuck.append("keeper")  # a trial that nobody judges ends here: the watchdog is a no
        return Stage(tuple(heal), not stuck, tuple(stuck))

    def _parts(self) -> list[tuple[str, int | None, float]]:
        """(name, since when it says nothing, limit in seconds)."""
        sources = [
            (name, seen.alive_mono_ms or self._began_ms, self._limits[name])
            for name, seen in self._health.sources.items()
            if self._limits.get(name)
        ]
        uplinks = [(f"uplink {u.id}", u.busy_since_mono_ms, BUSY_S) for u in self._health.uplinks.values()]
        return [*sources, *uplinks]
