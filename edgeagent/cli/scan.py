"""scan: what is there to be read.  Read-only."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeagent.cli.columns import tell
from edgeagent.cli.options import JsonOption, LangOption
from edgeagent.cli.scan_ble import ble
from edgeagent.cli.scan_camera import camera

__all__ = ["app"]

app = typer.Typer(help="Find devices; never writes to one. 機器を探す (読むだけ)。", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A verb each; none is the default."""


@app.command()
def serial(
    identify: Annotated[
        bool, typer.Option("--identify", help="Unplug one to learn its name. 抜いた機器の名前を調べる。")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=1, max=600, help="Wait so long. 待つ秒数。")] = 120,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """List serial ports, their lasting names and who holds them. シリアルポートの一覧。"""
    if identify:
        from edgeagent.cli import scan_identify

        raise typer.Exit(scan_identify.run(timeout, as_json=as_json))
    from edgeagent.cli import show_install
    from edgeagent.install import serial_ports

    found = serial_ports.ports()
    print(show_install.ports_json(found), end="") if as_json else tell(show_install.ports(found), end="")
    raise typer.Exit(0 if found else 3)


@app.command()
def modbus(
    port: Annotated[str, typer.Option("--port", "-p", help="Serial port, /dev/serial/by-id/…. シリアルポート。")],
    units: Annotated[str, typer.Option("--units", help="e.g. 1-20,246. 装置番号。", show_default=False)] = "",
    baud: Annotated[str, typer.Option("--baud", help="e.g. 9600,19200. ボーレート。", show_default=False)] = "",
    frame: Annotated[str, typer.Option("--frame", help="e.g. 8N1,8E1. パリティ等。", show_default=False)] = "",
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Find Modbus devices, how the line is set, and which profile fits; Ctrl-C stops. Modbus 機器を探す。"""
    from edgeagent.cli import scan_modbus

    raise typer.Exit(scan_modbus.run(port, units, baud, frame, as_json=as_json))


app.command()(ble)
app.command()(camera)
