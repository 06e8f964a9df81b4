"""READY, WATCHDOG and STOPPING over NOTIFY_SOCKET (sd_notify(3)), in ten lines instead of a library."""

from __future__ import annotations

import os
import socket

__all__ = ["notify", "watchdog_s"]


def notify(state: str) -> bool:
    """Tell systemd, where it listens.

    Args:
        state: e.g. `READY=1` or `WATCHDOG=1`.

    Returns:
        False when nobody listens or the socket does not take it; never raises.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.connect(address)
            out.sendall(state.encode())
    except OSError:
        return False
    return True


def watchdog_s() -> float | None:
    """Half of the unit's WatchdogSec in seconds, the advised pace of feeding; None when unset."""
    micros = os.environ.get("WATCHDOG_USEC", "")
    return int(micros) / 2e6 if micros.isdigit() and int(micros) > 0 else None
