"""read: what one gauge says right now."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeagent.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LangOption

__all__ = ["read"]


def read(
    source: Annotated[str, typer.Argument(help="Id of the gauge in the config. 計測器の id。")],
    config: ConfigOption = DEFAULT_CONFIG,
    count: Annotated[int, typer.Option("--count", "-n", help="Stop after so many; 0: Ctrl-C. 回数。", min=0)] = 0,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the last minutes. グラフを描く。")] = False,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Show what a gauge says: values, raw registers, errors. 計測器の今の値を見る。"""
    from edgeagent.cli import read_live

    raise typer.Exit(read_live.run(source, config, count=count, plot=plot, as_json=as_json))
