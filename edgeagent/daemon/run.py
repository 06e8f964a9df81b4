"""The daemon's life: build, say READY, run, end within 5 s of SIGTERM with everything on disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from edgeagent import messages
from edgeagent.clock import Clock, SystemClock
from edgeagent.config import Config
from edgeagent.daemon import control, systemd, updates
from edgeagent.daemon.build import Agent, build
from edgeagent.daemon.progress import Progress, limit_s
from edgeagent.errors import EdgeAgentError

__all__ = ["run"]

log = logging.getLogger("edgeagent")

LOOK_S = 5.0  # how often standstill is looked for, without a watchdog to feed


def run(config: Config) -> None:
    """Run the daemon until SIGTERM or SIGINT."""
    _start_log()
    clock = SystemClock()
    agent = build(config, clock)
    asyncio.run(_run(agent, clock))


async def _run(agent: Agent, clock: Clock) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(left_behind)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    lang = agent.config.gateway.lang
    path = control.socket_path(Path(agent.config.gateway.state_dir))
    with contextlib.suppress(OSError):  # the outbox says it better, and goes on trying
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(control.serve(path, agent.answers()))
        except EdgeAgentError as error:  # measuring goes on without it
            log.error("%s", messages.text(error.code, error.facts, lang))  # noqa: TRY400  no traceback
        helpers = [asyncio.create_task(_feed_watchdog(agent, clock)), *updates.start(agent, clock, stop.set)]
        log.info(
            "%s: %d sources, %d uplinks", agent.config.gateway.id, len(agent.health.sources), len(agent.health.uplinks)
        )
        systemd.notify("READY=1")
        try:
            await agent.flow.run(stop)
        finally:
            systemd.notify("STOPPING=1")
            for helper in helpers:
                helper.cancel()
            await asyncio.wait(helpers, timeout=1)
            with contextlib.suppress(EdgeAgentError):
                await agent.outbox.close()
    updates.ended()
    log.info("%s: stopped", agent.config.gateway.id)


def left_behind(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What a library started and nobody waits for any more (a bus closed under a reply): one line, no traceback.

    The pipelines' own failures never come here: whoever runs them waits for them.
    """
    error = context.get("exception")
    debug = log.isEnabledFor(logging.DEBUG)
    log.warning("%s %r", context.get("message", ""), error, exc_info=error if debug else None)


async def _feed_watchdog(agent: Agent, clock: Clock) -> None:
    """Start again what stands still; feed the watchdog while everything progresses."""
    every_s = systemd.watchdog_s()
    limits = {s.config.id: limit_s(s.config) for s in agent.config.sources if s.config.enabled}
    progress = Progress(agent.health, limits, clock.now().mono_ms)
    said: tuple[str, ...] = ()
    while True:
        stage = progress.look(clock.now().mono_ms)
        for part in stage.heal:
            log.warning("%s", messages.text("daemon.healed", {"part": part}, agent.config.gateway.lang))
            agent.flow.heal(part)
        if stage.feed and every_s is not None:
            systemd.notify("WATCHDOG=1")
        if stage.stuck and stage.stuck != said:
            facts = {"stuck": ", ".join(stage.stuck)}
            log.error("%s", messages.text("daemon.standstill", facts, agent.config.gateway.lang))
        said = stage.stuck
        await asyncio.sleep(min(every_s or LOOK_S, LOOK_S))


def _start_log() -> None:
    """Lines on stderr; journald has its own clock, a terminal gets one."""
    under_journald = "JOURNAL_STREAM" in os.environ
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if os.environ.get("EDGEAGENT_DEBUG") else logging.INFO,
        format="%(levelname)s %(message)s" if under_journald else "%(asctime)s %(levelname)-7s %(message)s",
        datefmt="%H:%M:%S",
    )
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # our own belief rules say it better
    for chatty in ("bleak", "asyncio", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
