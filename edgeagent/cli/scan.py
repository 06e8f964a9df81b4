"""scan: what is there to be read.  Read-only."""

from __future__ import annotations

import typer

from edgeagent.cli.options import JsonOption, LangOption
from edgeagent.cli.scan_ble import ble

__all__ = ["app"]

app = typer.Typer(help="Find devices; never writes to one. 機器を探す (読むだけ)。", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `scan serial` a verb of its own even while it is the only one."""


@app.command()
def serial(as_json: JsonOption = False, lang: LangOption = None) -> None:
    """List serial ports, their lasting names and who holds them. シリアルポートの一覧。"""
    from edgeagent.cli import show_install
    from edgeagent.install import serial_ports

    found = serial_ports.ports()
    print(show_install.ports_json(found) if as_json else show_install.ports(found), end="")
    raise typer.Exit(0 if found else 3)


app.command()(ble)
