"""A D-Bus daemon of one's own, and the virtual bluetoothd as a process on it.

Both are children that are ended by their process id; nothing of the machine's own bus is touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from edgeagent.errors import SourceUnavailable

__all__ = ["ADDRESS_VARIABLE", "bluetoothd", "private_bus"]

ADDRESS_VARIABLE: Final = "DBUS_SYSTEM_BUS_ADDRESS"
_START_S, _STOP_S = 20.0, 3.0


@contextlib.asynccontextmanager
async def private_bus() -> AsyncIterator[str]:
    """A D-Bus daemon of one's own.

    Yields:
        Its address; put it into DBUS_SYSTEM_BUS_ADDRESS for bleak and for `VirtualBluez`.

    Raises:
        SourceUnavailable: `tags.no-dbus-daemon` or `tags.dbus-daemon-failed`.
    """
    program = shutil.which("dbus-daemon", path=os.environ.get("PATH", os.defpath) + ":/usr/bin:/usr/sbin")
    if program is None:
        raise SourceUnavailable("tags.no-dbus-daemon")
    with tempfile.TemporaryDirectory(prefix="edgeagent-bus-") as folder:
        address = f"unix:path={Path(folder) / 'bus'}"
        arguments = ("--session", "--nofork", "--nopidfile", f"--address={address}", "--print-address=1")
        daemon = await asyncio.create_subprocess_exec(program, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
        try:
            await _said_something(daemon, "dbus-daemon")
            yield address
        finally:
            await _end(daemon)


@contextlib.asynccontextmanager
async def bluetoothd(bus_address: str, *arguments: str) -> AsyncIterator[Process]:
    """This module as a process on that bus, ready to be scanned with (and to be killed).

    Args:
        bus_address: of a private bus.
        arguments: as in `python -m edgeagent.simulate.bluez --help`.
    """
    command = (sys.executable, "-m", "edgeagent.simulate.bluez", *arguments)
    environment = {**os.environ, ADDRESS_VARIABLE: bus_address}
    process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, env=environment)
    try:
        await _said_something(process, "simulate.bluez")
        yield process
    finally:
        await _end(process)


async def _said_something(process: Process, program: str) -> None:
    """Wait for the first line on stdout, which both programs print when they are ready."""
    line = b""
    if process.stdout is not None:
        with contextlib.suppress(TimeoutError):
            line = await asyncio.wait_for(process.stdout.readline(), _START_S)
    if not line:
        raise SourceUnavailable("tags.dbus-daemon-failed", program=program, status=process.returncode)


async def _end(process: Process) -> None:
    for order in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(order)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP_S)
