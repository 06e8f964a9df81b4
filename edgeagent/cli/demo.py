"""demo: the whole agent in a virtual world, for about a minute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edgeagent.cli.options import JsonOption, LangOption

__all__ = ["demo"]


def demo(
    seconds: Annotated[float, typer.Option("--seconds", min=10, max=300, help="How long. 長さ(秒)。")] = 60,
    video: Annotated[
        Path | None, typer.Option("--video", help="A clip for the camera (truth: <clip>.json beside it). 映像。")
    ] = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Run the whole agent on virtual devices and show it. 仮想機器で全体を動かして見せる。"""
    import asyncio

    import msgspec
    from rich.console import Console

    from edgeagent import messages
    from edgeagent.demo import run
    from edgeagent.demo.view import verdict

    console = Console(stderr=as_json, highlight=False)
    summary = asyncio.run(run.run(seconds=seconds, video=video, lang=messages.language(), console=console))
    console.print(verdict(summary, messages.language()))
    if as_json:
        print(json.dumps(msgspec.to_builtins(summary)))
    raise typer.Exit(0 if summary.ok else 1)
