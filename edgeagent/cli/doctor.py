"""doctor: is this site ready, and if not, what is to be done."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeagent import messages
from edgeagent.cli.agent import ask, state_dir_of
from edgeagent.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LangOption

if TYPE_CHECKING:
    from edgeagent.install.doctor import World
    from edgeagent.install.doctor_item import Item
    from edgeagent.install.doctor_probe_devices import Agent

__all__ = ["doctor", "world_of"]


def doctor(
    config: ConfigOption = DEFAULT_CONFIG,
    after_power_cycle: Annotated[
        bool,
        typer.Option("--after-power-cycle", help="Compare with the state before the plug was pulled. 停電後の確認。"),
    ] = False,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Write a .tar.gz for support, without secrets. 問い合わせ用。")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="One item per line, no symbols. 記号なし・1 行 1 件。")
    ] = False,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Test everything and say what to do; exit 0 ready, 1 failed, 6 warnings. 全体を点検し対処を示す。"""
    import asyncio

    from edgeagent.cli.show_doctor import Page
    from edgeagent.install import doctor as room
    from edgeagent.install import doctor_bundle
    from edgeagent.install.doctor_item import document, exit_code

    world = world_of(config, after_power_cycle=after_power_cycle)
    page = Page(plain=plain)

    async def all_items() -> list[Item]:
        found = []
        async for item in room.examine(world):
            found.append(item)
            if not as_json:
                print("".join(f"{line}\n" for line in page.item(item)), end="", flush=True)
        return found

    items = asyncio.run(all_items())
    room.note(world)
    told = document(items, messages.language())
    if not as_json:
        print("\n".join(page.end(items)))
    if bundle is not None:
        doctor_bundle.write(bundle, told, config, _status(config))
        print(f"→ {bundle}", file=sys.stderr if as_json else sys.stdout)
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
    raise typer.Exit(exit_code(items))


def world_of(config: Path, *, after_power_cycle: bool = False) -> World:
    """What doctor looks at, for a config file."""
    from edgeagent.clock import SystemClock
    from edgeagent.daemon import build
    from edgeagent.errors import EdgeAgentError
    from edgeagent.install.doctor import World
    from edgeagent.update.slots import Slots

    try:
        state_dir = state_dir_of(config)
    except EdgeAgentError:
        state_dir = None
    made, problems = build.read_config(config)
    if made is not None and made.update is not None and state_dir is not None:
        # what came over the air is what runs: the gateway's own file may name neither source nor uplink
        running = state_dir / "update" / "running.toml"
        if Slots(state_dir / "update").record().runs.name and running.is_file():
            merged, _ = build.read_config(running)
            made = merged or made
    return World(
        file=config,
        config=made,
        problems=problems,
        state_dir=state_dir,
        clock=SystemClock(),
        agent=_agent(config),
        store=_store(config),
        after_power_cycle=after_power_cycle,
    )


def _agent(config: Path) -> Callable[[], Agent]:
    import msgspec

    from edgeagent.errors import ConfigError, EdgeAgentError
    from edgeagent.install.doctor_probe_devices import Agent

    def answer() -> Agent:
        try:
            return msgspec.json.decode(ask(config, "status"), type=Agent)
        except (ConfigError, msgspec.DecodeError) as error:
            raise EdgeAgentError("daemon.not-running", path=str(config)) from error

    return answer


def _store(config: Path) -> Callable[[str], bytes]:
    from edgeagent.cli.store import store

    def answer(question: str) -> bytes:
        with store(config) as found:
            return found.ask(question)

    return answer


def _status(config: Path) -> bytes | None:
    from edgeagent.errors import EdgeAgentError

    try:
        return ask(config, "status")
    except EdgeAgentError:
        return None
