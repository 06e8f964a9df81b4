"""A task per source group, one pump, a task per uplink: started, restarted and ended here.

Everything that can fail is restarted here and nowhere else, so this is the one file with
`except Exception`: a bug in one driver is counted, logged with its place, and stops only itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgeagent import messages
from edgeagent.backoff import delay_s
from edgeagent.clock import Clock
from edgeagent.daemon.courier import Courier
from edgeagent.daemon.health import Health, named
from edgeagent.daemon.pump import Pump
from edgeagent.daemon.refusal import Refusal
from edgeagent.errors import EdgeAgentError, SourceUnavailable
from edgeagent.ports import Outbox, Source, Uplink, UplinkConfig
from edgeagent.reading import Reading
from edgeagent.rules.chain import Chain

__all__ = ["Flow", "SourceGroup"]

log = logging.getLogger("edgeagent")

SETTLED_AFTER_S = 60.0  # what ran so long starts its back-off from the beginning
# Together below 5 s.  Draining only happens where the uplink works, giving up only where it does not.
SOURCES_END_S, PUMP_END_S, DRAIN_S, UPLINKS_END_S = 1.0, 0.7, 1.2, 1.5


@dataclass(frozen=True)
class SourceGroup:
    """One running object and the ids of the configured sources it serves."""

    ids: tuple[str, ...]
    make: Callable[[], Source]


class Flow:
    """The whole pipe."""

    def __init__(
        self,
        *,
        groups: Sequence[SourceGroup],
        chains: Mapping[str, Chain],
        outbox: Outbox,
        uplinks: Mapping[str, Callable[[], Uplink]],
        health: Health,
        clock: Clock,
        sections: Mapping[str, UplinkConfig] | None = None,
        lang: str = "en",
        luck: Callable[[], float] = random.random,
        state_dir: Path | None = None,
    ) -> None:
        self._groups, self._health, self._clock, self._lang, self._luck = groups, health, clock, lang, luck
        self._pump = Pump(chains=chains, outbox=outbox, health=health, clock=clock, lang=lang)
        self._outbox = outbox
        self._couriers = [
            Courier(
                make,
                (sections or {}).get(name, UplinkConfig(id=name, driver="")),
                outbox=outbox,
                health=health.uplinks[name],
                clock=clock,
                luck=luck,
                lang=lang,
                refusal=Refusal(name, state_dir, self.take, clock) if state_dir else None,
            )
            for name, make in uplinks.items()
        ]
        self._links = list(uplinks)
        self._work: dict[str, asyncio.Task[None]] = {}

    async def take(self, reading: Reading) -> None:
        """A reading of the agent itself, on the same way as all others."""
        await self._pump.inlet.put(reading)

    def heal(self, name: str) -> None:
        """Start a source (by its id) or an uplink (`uplink <id>`) again: it stands still."""
        for group in self._groups:
            if name in group.ids:
                for source in group.ids:
                    self._health.sources[source].healed += 1
                name = group.ids[0]
        work = self._work.get(name)
        if work is not None:
            work.cancel()

    @property
    def queued(self) -> int:
        """Readings between sources and rules."""
        return self._pump.inlet.qsize()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; then everything taken in is durable before this returns."""
        emit = _Emit(self._pump.inlet, self._health, self._clock, self._lang)
        sources = [asyncio.create_task(self._keep_source(g, emit), name=g.ids[0]) for g in self._groups]
        pump = asyncio.create_task(self._keep(self._pump.run, self._pump_failed), name="pump")
        couriers = [
            asyncio.create_task(self._keep(partial(self._healable, f"uplink {name}", c.run), partial(Courier.say, c)))
            for name, c in zip(self._links, self._couriers, strict=True)
        ]
        try:
            await stop.wait()
        finally:
            await _end(sources, SOURCES_END_S)
            await self._last_word(pump)
            await self._drain()
            await _end(couriers, UPLINKS_END_S)

    async def _last_word(self, pump: asyncio.Task[None]) -> None:
        """The pump is not cancelled: a commit torn in the middle would be put twice."""
        put = asyncio.create_task(self._pump.inlet.put(None))
        _, late = await asyncio.wait([put, pump], timeout=PUMP_END_S)
        if late:
            await _end(list(late), PUMP_END_S)

    async def _drain(self) -> None:
        """What the last commit stored may still leave now where a receiver is known to listen."""
        with contextlib.suppress(TimeoutError, EdgeAgentError):
            async with asyncio.timeout(DRAIN_S):
                while await self._owed_to_listeners():  # noqa: ASYNC110  once, at the end
                    await asyncio.sleep(0.05)

    async def _owed_to_listeners(self) -> bool:
        stats = (await self._outbox.stats()).uplinks
        listening = [u.id for u in self._health.uplinks.values() if u.state == "ok" and u.id in stats]
        return any(stats[name].waiting for name in listening)

    async def _keep_source(self, group: SourceGroup, emit: _Emit) -> None:
        async def once() -> None:
            self._set_running(group, running=True)
            try:
                await self._healable(group.ids[0], partial(group.make().run, emit))
            finally:
                self._set_running(group, running=False)

        def failed(error: EdgeAgentError) -> None:
            for source in group.ids:
                emit.problem(source, error)

        await self._keep(once, failed)
        log.info("%s: finished", ", ".join(group.ids))

    async def _healable(self, name: str, run: Callable[[], Coroutine[object, object, None]]) -> None:
        """Run as a task that `heal` can end; that counts as a failure, the end of the agent does not."""
        work = self._work[name] = asyncio.create_task(run(), name=name)
        try:
            await work
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if me is not None and me.cancelling():
                raise
            raise SourceUnavailable("daemon.healed", part=name) from None

    async def _keep(self, run: Callable[[], Awaitable[None]], failed: Callable[[EdgeAgentError], None]) -> None:
        """Run again after every failure, with growing pauses; returns when `run` does."""
        failures = 0
        while True:
            began = self._clock.mono()
            try:
                await run()
            except EdgeAgentError as error:
                failed(error)
            except Exception as error:  # noqa: BLE001  the restarting place, see above
                failed(_bug(error))
            else:
                return
            failures = 1 if self._clock.mono() - began > SETTLED_AFTER_S else failures + 1
            await asyncio.sleep(delay_s(failures, luck=self._luck()))

    def _set_running(self, group: SourceGroup, *, running: bool) -> None:
        for source in group.ids:
            self._health.sources[source].running = running

    def _pump_failed(self, error: EdgeAgentError) -> None:
        self._health.outbox_problem = error
        log.error("%s", messages.text(error.code, error.facts, self._lang))


class _Emit:
    """The way out that a source group is handed."""

    def __init__(
        self, inlet: asyncio.Queue[Reading | asyncio.Event | None], health: Health, clock: Clock, lang: str
    ) -> None:
        self._inlet, self._health, self._clock, self._lang = inlet, health, clock, lang

    async def __call__(self, *readings: Reading) -> None:
        for reading in readings:
            seen = self._health.sources.get(reading.source)
            if seen is not None:
                seen.alive_mono_ms = self._clock.now().mono_ms
            await self._inlet.put(reading)

    async def kept(self) -> None:
        safe = asyncio.Event()
        await self._inlet.put(safe)
        await safe.wait()

    def problem(self, source: str, error: EdgeAgentError) -> None:
        seen = self._health.sources[source]
        if error.code not in seen.problems:  # the first of its kind is a line in the log, the rest are counted
            log.warning("%s", named(source, error, self._lang))
        seen.failed(error, self._clock.now())


def _bug(error: Exception) -> EdgeAgentError:
    """An exception nobody foresaw, as one line with its place; the traceback only at debug level."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
    log.debug("unexpected", exc_info=error)
    return EdgeAgentError("daemon.bug", kind=type(error).__name__, why=str(error), place=place)


async def _end(tasks: Iterable[asyncio.Task[None]], within_s: float) -> None:
    """Cancel and wait; a task that will not end does not keep the others from ending."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending, timeout=within_s)
