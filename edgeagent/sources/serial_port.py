"""Why a serial port cannot be opened, in words a person on a ladder can act on.

May import: errors, pyserial.
"""

from __future__ import annotations

import errno
import os
import stat
import termios
from pathlib import Path

import serial

from edgeagent.errors import SourceUnavailable

__all__ = ["BY_ID", "explain", "listed", "open_port", "possible_frame"]

BY_ID = Path("/dev/serial/by-id")
_MOST_LISTED = 6
_REFUSALS = (OSError, ValueError, termios.error)  # SerialException is an OSError, termios.error is not
_PTY_MAJORS = range(136, 144)  # Linux, devices.txt: Unix98 PTY slaves


def possible_frame(path: str, frame: str) -> str:
    """The frame a port can be set to: a pseudo terminal has no parity, and says so by EINVAL."""
    try:
        major = os.major(os.stat(path).st_rdev)  # noqa: PTH116  a device path, followed on purpose
    except OSError:
        return frame
    return "8N1" if major in _PTY_MAJORS else frame


def open_port(path: str, baud: int, frame: str) -> serial.Serial:
    """Open a port for us alone, without blocking.

    Raises:
        SourceUnavailable: gauges.no-port, port-denied, port-busy, not-serial or port-failed.
    """
    frame = possible_frame(path, frame)
    try:
        return serial.Serial(
            path,
            baudrate=baud,
            bytesize=int(frame[0]),
            parity=frame[1],
            stopbits=int(frame[2]),
            timeout=0,
            write_timeout=0,
            exclusive=True,
        )
    except _REFUSALS as error:
        raise explain(path, error) from error


def explain(path: str, error: Exception | None = None) -> SourceUnavailable:
    """What is wrong with a port.

    Args:
        path: the port.
        error: what opening it raised; None opens it once more to find out.
    """
    try:
        found = os.stat(path)  # noqa: PTH116  a device path, followed on purpose
    except OSError:
        return SourceUnavailable("gauges.no-port", port=path, found=listed())
    if not os.access(path, os.R_OK | os.W_OK):
        return SourceUnavailable("gauges.port-denied", port=path)
    if not stat.S_ISCHR(found.st_mode):
        return SourceUnavailable("gauges.not-serial", port=path)
    if error is None:
        try:
            serial.Serial(path, exclusive=True).close()
        except _REFUSALS as again:
            error = again
        else:
            return SourceUnavailable("gauges.port-failed", port=path, why="?")
    number = getattr(error, "errno", None)
    if number in (errno.EAGAIN, errno.EBUSY) or "lock" in str(error):
        return SourceUnavailable("gauges.port-busy", port=path)
    if number == errno.ENOTTY or "configure port" in str(error):
        return SourceUnavailable("gauges.not-serial", port=path)
    return SourceUnavailable("gauges.port-failed", port=path, why=str(error))


def listed() -> str:
    """The adapters that are plugged in now, by their lasting names; `-` when there is none."""
    try:
        found = sorted(str(p) for p in BY_ID.iterdir())
    except OSError:
        found = []
    return ", ".join(found[:_MOST_LISTED]) or "-"
