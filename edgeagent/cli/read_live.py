"""read and calibrate: run one gauge for a person, or ask the agent that holds its port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
from collections import Counter, deque
from pathlib import Path
from typing import Any

import msgspec

from edgeagent import calibrations, profiles
from edgeagent.cli import show_install
from edgeagent.cli.columns import tell
from edgeagent.clock import SystemClock
from edgeagent.config import Config, SourceSection
from edgeagent.daemon import build, control
from edgeagent.daemon.health import SourceStatus, Status
from edgeagent.errors import ConfigError, EdgeAgentError, SourceUnavailable
from edgeagent.install import calibrate as comparing
from edgeagent.install import look
from edgeagent.reading import Kind, Reading, ReadingClass

__all__ = ["calibrate", "run"]

_PATIENCE_S = 15.0
_PLOTTED = 600
_BUSY = "gauges.port-busy"


def run(source: str, config: Path, *, count: int, plot: bool, as_json: bool) -> int:
    """Show readings until enough, or Ctrl-C; returns the exit code."""
    made, one = _find(config, source)
    seen = _Seen(one, count=count or (1 if as_json else 0), plot=plot, as_json=as_json)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(made, one, seen))
    if as_json:
        print(json.dumps(seen.told(), ensure_ascii=False))
    return 0 if any(q.usable for r in seen.readings for q in r.quantities.values()) else 3


def calibrate(
    source: str, config: Path, *, staff: float | None, far: bool, undo: bool, history: bool, as_json: bool
) -> int:
    """Compare, take back, or show what was compared; returns the exit code."""
    made, one = _find(config, source)
    state_dir = Path(made.gateway.state_dir)
    if undo:
        comparing.undo(state_dir, source)
    elif staff is not None:
        clock = SystemClock()
        comparing.compare(state_dir, source, staff, asyncio.run(_level(made, one)), clock.now(), far=far)
    elif not history:
        raise ConfigError("config.missing", path="--staff", expected="m")
    kept = calibrations.load(state_dir, source)
    if as_json:
        print(json.dumps(msgspec.to_builtins(kept), ensure_ascii=False))
    else:
        tell(show_install.comparisons(kept, changed=undo or staff is not None), end="")
    return 0


class _Seen:
    """What came so far, and how it is shown."""

    def __init__(self, one: SourceSection, *, count: int, plot: bool, as_json: bool) -> None:
        self.readings: deque[Reading] = deque(maxlen=_PLOTTED)
        self.problems: Counter[str] = Counter()
        self._said: dict[str, EdgeAgentError] = {}
        self._count, self._left, self._plot, self._quiet = count, count, plot, as_json
        config: Any = one.config
        self._profile, _ = profiles.load(config.profile)

    def add(self, what: Reading | EdgeAgentError) -> bool:
        """One more; True when it is enough."""
        if isinstance(what, EdgeAgentError):
            first = what.code not in self.problems
            self.problems[what.code] += 1
            self._said[what.code] = what
            if first and not self._quiet:
                tell(show_install.problem(what), end="", file=sys.stderr)
            return False
        self.readings.append(what)
        if not self._quiet:
            self._show(what)
        self._left -= 1
        return self._count > 0 and self._left <= 0

    def told(self) -> dict[str, object]:
        """For machines: the last reading, its registers, errors by kind."""
        last = self.readings[-1] if self.readings else None
        words = look.words(self._profile, last.facts.get("raw", "")) if last and self._profile else ()
        return {
            "reading": None if last is None else msgspec.to_builtins(_as_dict(last)),
            "registers": [msgspec.to_builtins(w) for w in words],
            "problems": dict(self.problems),
        }

    def _show(self, reading: Reading) -> None:
        size = shutil.get_terminal_size()
        if self._plot:
            shown = show_install.chart(list(self.readings), size.columns, min(max(size.lines - 6, 4), 16))
            print(("\x1b[H\x1b[2J" if sys.stdout.isatty() else "") + shown, end="", flush=True)
        tell(show_install.reading(reading), end="")
        if len(self.readings) == 1 and self._profile and self._profile.blocks and not self._plot:
            tell(show_install.registers(list(look.words(self._profile, reading.facts.get("raw", "")))), end="")


async def _watch(config: Config, one: SourceSection, seen: _Seen) -> None:
    stream = look.look(one, Path(config.gateway.state_dir), SystemClock())
    async with contextlib.aclosing(stream) as events:
        while True:
            async with asyncio.timeout(None if seen.readings else _PATIENCE_S) as patience:
                try:
                    what = await anext(events)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    if patience.expired():
                        raise SourceUnavailable(
                            "install.no-answer", source=one.config.id, seconds=_PATIENCE_S
                        ) from None
                    raise
            if isinstance(what, EdgeAgentError) and what.code == _BUSY:
                seen.add(_from_agent(config, one.config.id, what))
                return
            if seen.add(what):
                return


async def _level(config: Config, one: SourceSection) -> Reading:
    """A reading with everything that holds already, from the gauge or from the agent that holds its port."""
    last: EdgeAgentError | None = None
    stream = look.look(one, Path(config.gateway.state_dir), SystemClock())
    async with contextlib.aclosing(stream) as events:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                async for what in events:
                    if isinstance(what, Reading):
                        return what
                    if what.code == _BUSY:
                        return _from_agent(config, one.config.id, what)
                    last = what
        except TimeoutError:
            pass
    raise last or SourceUnavailable("install.no-answer", source=one.config.id, seconds=_PATIENCE_S)


def _from_agent(config: Config, source: str, busy: EdgeAgentError) -> Reading:
    """What the running agent read last.

    Raises:
        EdgeAgentError: `busy`, when it is not the agent that holds the port, or it has read nothing.
    """
    try:
        answer = control.ask(control.socket_path(Path(config.gateway.state_dir)), "status")
        status = msgspec.json.decode(answer, type=Status)
    except (EdgeAgentError, msgspec.MsgspecError):
        raise busy from None
    found = next((s for s in status.sources if s.id == source and s.last), None)
    if found is None:
        raise busy
    tell(show_install.note("install.held-by-agent", {"source": source}), end="", file=sys.stderr)
    return _as_reading(found)


def _as_reading(found: SourceStatus) -> Reading:
    return Reading(
        source=found.id,
        kind=Kind.WATER,
        entity=found.id,
        at=SystemClock().now(),
        quantities=found.last,
        cls=ReadingClass.LIVE,
    )


def _as_dict(reading: Reading) -> dict[str, object]:
    return {
        "wall_ms": reading.at.wall_ms,
        "clock": reading.at.trust.value,
        "quantities": {
            name: {"value": q.value, "unit": q.unit.value, "quality": q.quality.value}
            for name, q in reading.quantities.items()
        },
        "facts": reading.facts,
    }


def _find(config: Path, source: str) -> tuple[Config, SourceSection]:
    made, problems = build.read_config(config)
    if made is None:
        raise problems[0]
    return made, look.section(made, source)
