"""Asking about an agent by its config: the running one, or, about the store, the store itself.

A box that no longer starts still holds readings, and an USB stick may have to be read in before the
agent is started.  The store keeps a second process out, so the two never meet.  Imported by every verb, so
nothing heavy is imported before it is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgeagent.errors import EdgeAgentError

if TYPE_CHECKING:
    import asyncio

__all__ = ["Store", "ask", "state_dir_of", "store"]


def ask(config: Path, question: str) -> bytes:
    """Ask the agent that was started with this config.

    Raises:
        ConfigError: it has no gateway section.  EdgeAgentError: nobody answers.
    """
    from edgeagent.daemon import control

    path = control.socket_path(state_dir_of(config))
    answer = control.ask(path, question)
    if not answer:
        raise EdgeAgentError("outbox.no-answer", path=path)
    return answer


def state_dir_of(config: Path) -> Path:
    """The state directory of a config, whose other sections may be wrong."""
    from edgeagent.config import GatewayConfig, decode, read_toml

    gateway, problems = decode(GatewayConfig, read_toml(config).get("gateway", {}), "gateway")
    if gateway is None:
        raise problems[0]
    return Path(gateway.state_dir)


class Store:
    """Asks whoever has the store; see `store`."""

    def __init__(self, config: Path, runner: asyncio.Runner) -> None:
        self._config, self._runner = config, runner
        self._agent: object = None

    def ask(self, question: str) -> bytes:
        """One JSON document.

        Raises:
            EdgeAgentError: nobody answers, and there is no store that could be opened.
        """
        if self._agent is None:
            try:
                return ask(self._config, question)
            except EdgeAgentError as error:
                if error.code != "daemon.not-running" or not self._open():
                    raise
        return self._runner.run(self._answer(question))

    def close(self) -> None:
        """Let go of the store."""
        from edgeagent.daemon.build import Agent

        if isinstance(self._agent, Agent):
            self._runner.run(self._agent.outbox.close())

    def _open(self) -> bool:
        """Whether there is a store; it is opened with the first question."""
        from edgeagent.clock import SystemClock
        from edgeagent.daemon.build import build, read_config

        found, problems = read_config(self._config)
        if found is None:
            raise problems[0]
        if not (Path(found.gateway.state_dir) / "outbox.db").is_file():
            return False
        self._agent = build(found, SystemClock())
        return True

    async def _answer(self, question: str) -> bytes:
        import msgspec

        from edgeagent.daemon.build import Agent

        assert isinstance(self._agent, Agent)
        self._agent.outbox.open()
        word, *rest = question.split()
        return msgspec.json.encode(await self._agent.answers()[word](*rest)) + b"\n"


@contextlib.contextmanager
def store(config: Path) -> Iterator[Store]:
    """The store of the agent with this config, for the time of one command."""
    import asyncio

    with asyncio.Runner() as runner:
        made = Store(config, runner)
        try:
            yield made
        finally:
            made.close()
