"""Reset the USB device of a Bluetooth adapter, as if it were unplugged and plugged in again.

Needs write access to its node under /dev/bus/usb (`hardware/bluetooth/`: a udev rule for the group
bluetooth and a drop-in for the unit).  The radio of a Pi hangs on a UART and cannot be reset so.
Linux: Documentation/driver-api/usb/usb.rst, USBDEVFS_RESET.  May import besides the words: nothing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from edgeagent.errors import SourceUnavailable

__all__ = ["reset_usb"]

_USBDEVFS_RESET = 0x5514  # _IO('U', 20)


def _ioctl(descriptor: int) -> None:
    fcntl.ioctl(descriptor, _USBDEVFS_RESET, 0)


def reset_usb(adapter: str, source: str, *, root: Path = Path("/"), order: Callable[[int], None] = _ioctl) -> None:
    """Reset the device behind an adapter; blocks for some hundred milliseconds.

    Args:
        adapter: `hci0`; it may come back under another number.
        source: id of the source, for messages.
        root: where `sys` and `dev` are.
        order: what resets an open node.

    Raises:
        SourceUnavailable: `tags.not-usb`, or `tags.usb-denied` with the reason.
    """
    here = (root / "sys/class/bluetooth" / adapter / "device").resolve()
    device = next((d for d in (here, *here.parents) if (d / "busnum").is_file() and (d / "devnum").is_file()), None)
    if device is None:
        raise SourceUnavailable("tags.not-usb", source=source, adapter=adapter)
    try:
        bus, number = (int((device / name).read_text()) for name in ("busnum", "devnum"))
        node = root / f"dev/bus/usb/{bus:03d}/{number:03d}"
        descriptor = os.open(node, os.O_WRONLY)
        try:
            order(descriptor)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        why = f"{device.name}: {getattr(error, 'strerror', None) or error}"
        raise SourceUnavailable("tags.usb-denied", source=source, adapter=adapter, why=why) from error
