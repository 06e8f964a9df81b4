"""scan modbus: progress on stderr, devices on stdout as they are found."""

from __future__ import annotations

import asyncio
import json

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from edgeagent.cli import show_install
from edgeagent.cli.columns import tell
from edgeagent.clock import SystemClock
from edgeagent.errors import ConfigError
from edgeagent.install import modbus_scan
from edgeagent.install.modbus_scan import Found, Line

__all__ = ["numbers", "run"]

_NOTHING, _STOPPED = 3, 6
_HIGHEST_UNIT = 247


def run(port: str, units: str, baud: str, frame: str, *, as_json: bool) -> int:
    """Scan, print, and return the exit code."""
    found: list[Found] = []
    lines: list[Line] = []
    asked = {
        "units": numbers(units, "--units", _HIGHEST_UNIT),
        "bauds": numbers(baud, "--baud", 4_000_000) or modbus_scan.BAUDS,
        "frames": tuple(frame.upper().split(",")) if frame else modbus_scan.FRAMES,
    }
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20))
    stopped = False
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(port, total=None)

        def progress(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        async def scan() -> None:
            async for one in modbus_scan.scan(port, clock=SystemClock(), progress=progress, **asked):  # type: ignore[arg-type]
                if isinstance(one, Line):
                    lines.append(one)
                    continue
                found.append(one)
                if not as_json:
                    tell(show_install.device(one), end="")

        try:
            asyncio.run(scan())
        except KeyboardInterrupt:
            stopped = True
    if as_json:
        told = {"devices": msgspec.to_builtins(found), "other_settings": msgspec.to_builtins(lines), "stopped": stopped}
        print(json.dumps(told, ensure_ascii=False))
    elif not found:
        tell(show_install.nobody(port, lines), end="")
    if stopped:
        return _STOPPED
    return 0 if found else _NOTHING


def numbers(text: str, option: str, most: int) -> tuple[int, ...]:
    """`1-3,246` -> 1, 2, 3, 246.

    Raises:
        ConfigError: it is not such a list.
    """
    made: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        try:
            low, high = int(first), int(last or first)
        except ValueError:
            low, high = 0, -1
        if not 1 <= low <= high <= most:
            raise ConfigError("config.wrong-type", path=option, expected=f"1-{most}", got=part)
        made += range(low, high + 1)
    return tuple(made)
