"""count: vehicle counting on recorded video."""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer(help="Counting vehicles. 車両計測。", no_args_is_help=True)
