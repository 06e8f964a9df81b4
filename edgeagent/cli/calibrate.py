"""calibrate: the staff gauge against the gauge."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeagent.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LangOption

__all__ = ["calibrate"]


def calibrate(
    source: Annotated[str, typer.Argument(help="Id of the gauge in the config. 計測器の id。")],
    config: ConfigOption = DEFAULT_CONFIG,
    staff: Annotated[
        float | None, typer.Option("--staff", help="What the staff gauge shows, m. 量水標の読み (m)。")
    ] = None,
    far: Annotated[bool, typer.Option("--far", help="Believe more than 1 m. 1 m を超える差を認める。")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last one back. 取り消す。")] = False,
    history: Annotated[bool, typer.Option("--history", help="Show all. 履歴。")] = False,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Make the gauge say what the staff gauge shows. 量水標に合わせる。"""
    from edgeagent.cli import read_live

    raise typer.Exit(
        read_live.calibrate(source, config, staff=staff, far=far, undo=undo, history=history, as_json=as_json)
    )
