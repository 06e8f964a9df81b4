"""The agent's part in updates, where `edgeagent run` says there are any: the keeper and the reporter."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from edgeagent.clock import Clock
from edgeagent.daemon.build import Agent
from edgeagent.daemon.keeper import Keeper
from edgeagent.ports import SourceConfig
from edgeagent.security_log import SecurityLog
from edgeagent.update.boot import CONFIG_ENV, FOLDER_ENV, note_end
from edgeagent.update.section import UpdateSection

__all__ = ["ended", "start"]

log = logging.getLogger("edgeagent")


def start(agent: Agent, clock: Clock, end: Callable[[], None]) -> list[asyncio.Task[None]]:
    """Tasks that run beside the flow; none without updates.

    Args:
        agent: what runs.
        clock: of the agent.
        end: ends the agent, so that it is started again.
    """
    folder, section = os.environ.get(FOLDER_ENV), agent.config.update
    state_dir = Path(agent.config.gateway.state_dir)
    SecurityLog(state_dir, clock).note("agent-started", config=os.environ.get(CONFIG_ENV, ""))
    if not folder or not isinstance(section, UpdateSection):
        return []
    keeper = Keeper(
        Path(folder),
        section,
        gateway=agent.config.gateway.id,
        health=agent.health,
        stats=agent.outbox.stats,
        emit=agent.flow.take,
        clock=clock,
        end=end,
        lang=agent.config.gateway.lang,
        slowest_s=max((_interval_s(s.config) for s in agent.config.sources if s.config.enabled), default=0.0),
    )
    tasks = [asyncio.create_task(_kept(keeper), name="keeper")]
    if section.mqtt is not None:
        from edgeagent.daemon.reporter import Reporter  # noqa: PLC0415  paho only where it is used

        reporter = Reporter(
            section.mqtt, agent.config.gateway.id, keeper.reported, state_dir, Path(os.environ[CONFIG_ENV])
        )
        tasks.append(asyncio.create_task(reporter.run(), name="reporter"))
    return tasks


def ended() -> None:
    """The agent ends because it was asked to."""
    folder = os.environ.get(FOLDER_ENV)
    if folder:
        note_end(Path(folder))


def _interval_s(config: SourceConfig) -> float:
    return max(float(getattr(config, name, 0.0)) for name in ("every_s", "window_s"))


async def _kept(keeper: Keeper) -> None:
    """The keeper is started again whatever happens to it; when it stays silent the watchdog is not fed."""
    while True:
        try:
            await keeper.run()
        except Exception:
            log.exception("update: the keeper failed and is started again")
        await asyncio.sleep(5)
