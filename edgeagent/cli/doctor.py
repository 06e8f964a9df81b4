"""doctor: is this site ready, and if not, what is to be done."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeagent import messages
from edgeagent.cli.agent import ask
from edgeagent.cli.columns import tell
from edgeagent.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LangOption

if TYPE_CHECKING:
    from edgeagent.install.doctor_item import Item

__all__ = ["doctor"]


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
    from edgeagent.install import doctor_bundle, doctor_world
    from edgeagent.install.doctor_item import document, exit_code

    world = doctor_world.world(config, after_power_cycle=after_power_cycle)
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
        tell(f"→ {bundle}", file=sys.stderr if as_json else sys.stdout)
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
    raise typer.Exit(exit_code(items))


def _status(config: Path) -> bytes | None:
    from edgeagent.errors import EdgeAgentError

    try:
        return ask(config, "status")
    except EdgeAgentError:
        return None
