"""The `history` question: which gauges are remembered, and what is said of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from edgeagent import sources
from edgeagent.clock import Clock
from edgeagent.config import Config, SourceSection
from edgeagent.history import MINUTES, History, Level, Ring
from edgeagent.ports import Rule
from edgeagent.rules.alarm import AlarmConfig

__all__ = ["among", "answer", "rings"]

_THINS = ("window", "deadband")  # rules that let out less than was measured


def rings(config: Config) -> dict[str, Ring]:
    """A ring for every enabled source that can be a water gauge."""
    gauges = (s for s in config.sources if s.config.enabled and "alarm" in sources.driver(s.config.driver).rules)
    return {s.config.id: Ring(s.config.id, s.config.name, _levels(s)) for s in gauges}


def among(named: list[tuple[str, Rule]], ring: Ring | None) -> list[Rule]:
    """The rules of a source in their order, with its ring before those that let less out."""
    if ring is None:
        return [rule for _, rule in named]
    at = next((n for n, (name, _) in enumerate(named) if name in _THINS), len(named))
    rules = [rule for _, rule in named]
    return [*rules[:at], ring, *rules[at:]]


async def answer(kept: Mapping[str, Ring], clock: Clock, began_s: float, source: str = "") -> History:
    """The last day of every gauge, or of one; no trace where there is no such gauge.

    A source without thresholds that never spoke of water (a rain gauge) has none either.
    """
    now = clock.now()
    up_ms = min(round((clock.mono() - began_s) * 1000), MINUTES * 60_000)
    traces = []
    for name, ring in kept.items():
        if source in ("", name):
            traces.append(ring.trace(now))
            await asyncio.sleep(0)  # a day of many gauges is some milliseconds each: measuring goes first
    spoken = [trace for trace in traces if trace.points or trace.levels]
    return History(now_ms=now.wall_ms, since_ms=now.wall_ms - up_ms, clock=now.trust.value, traces=spoken)


def _levels(section: SourceSection) -> list[Level]:
    alarm = section.rules.get("alarm")
    if not isinstance(alarm, AlarmConfig):
        return []
    ja, en = alarm.names_ja, alarm.names_en
    return [Level(name, metres, getattr(ja, name), getattr(en, name)) for name, metres in alarm.levels_m.given]
