"""The daemon's life: build, say READY, run, end within 5 s of SIGTERM with everything on disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

from edgeagent import messages
from edgeagent.clock import Clock, SystemClock
from edgeagent.config import Config
from edgeagent.daemon import control, systemd
from edgeagent.daemon.build import Agent, build
from edgeagent.errors import EdgeAgentError

__all__ = ["run"]

log = logging.getLogger("edgeagent")

PROGRESS_S = 15.0  # the pump turns once a second; without a turn for so long the watchdog is not fed


def run(config: Config) -> None:
    """Run the daemon until SIGTERM or SIGINT."""
    _start_log()
    clock = SystemClock()
    agent = build(config, clock)
    asyncio.run(_run(agent, clock))


async def _run(agent: Agent, clock: Clock) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
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
        watchdog = asyncio.create_task(_feed_watchdog(agent, clock))
        log.info(
            "%s: %d sources, %d uplinks", agent.config.gateway.id, len(agent.health.sources), len(agent.health.uplinks)
        )
        systemd.notify("READY=1")
        try:
            await agent.flow.run(stop)
        finally:
            systemd.notify("STOPPING=1")
            watchdog.cancel()
            with contextlib.suppress(EdgeAgentError):
                await agent.outbox.close()
    log.info("%s: stopped", agent.config.gateway.id)


async def _feed_watchdog(agent: Agent, clock: Clock) -> None:
    every_s = systemd.watchdog_s()
    while every_s is not None:
        if clock.now().mono_ms - agent.health.pump_mono_ms < PROGRESS_S * 1000:
            systemd.notify("WATCHDOG=1")
        await asyncio.sleep(every_s)


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
