"""What `doctor` looks at, for a config file: the config that runs, the running agent, the store."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgeagent.clock import SystemClock
from edgeagent.daemon import asking, build
from edgeagent.errors import ConfigError, EdgeAgentError
from edgeagent.install.doctor import World
from edgeagent.install.doctor_probe_devices import Agent
from edgeagent.update.slots import Slots

__all__ = ["world"]


def world(config: Path, *, after_power_cycle: bool = False) -> World:
    """Everything there is to know about the site of this config, which may be wrong or missing."""
    try:
        state_dir = asking.state_dir_of(config)
    except EdgeAgentError:
        state_dir = None
    made, problems = build.read_config(config)
    if made is not None and made.update is not None and state_dir is not None:
        # what came over the air is what runs: the gateway's own file may name neither source nor uplink
        running = state_dir / "update" / "running.toml"
        if Slots(state_dir / "update").record().runs.name and running.is_file():
            merged, _ = build.read_config(running)
            made = merged or made

    def agent() -> Agent:
        try:
            return msgspec.json.decode(asking.ask(config, "status"), type=Agent)
        except (ConfigError, msgspec.DecodeError) as error:
            raise EdgeAgentError("daemon.not-running", path=str(config)) from error

    def store(question: str) -> bytes:
        with asking.store(config) as found:
            return found.ask(question)

    return World(
        file=config,
        config=made,
        problems=problems,
        state_dir=state_dir,
        clock=SystemClock(),
        agent=agent,
        store=store,
        after_power_cycle=after_power_cycle,
    )
