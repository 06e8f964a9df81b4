"""A serial cable without hardware: a pseudo terminal under a path that survives unplugging.

The far end (the device) writes and reads bytes here; the near end opens `path` like any port.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
import threading
import time
import tty
from pathlib import Path

__all__ = ["PtyLine", "garbled"]

_BAUDS = {getattr(termios, name): int(name[1:]) for name in dir(termios) if name[0] == "B" and name[1:].isdigit()}
_SPEED = 4  # place of the input speed in what tcgetattr gives


class PtyLine:
    """One cable.

    Args:
        path: where the near end appears, as a symbolic link; None uses the pty's own name.

    Attributes:
        path: what an agent opens.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._link = None if path is None else Path(path)
        self._far, self._near = -1, -1
        self._hands = threading.Lock()  # the device's thread reads while another one pulls the plug
        self.path = ""
        self.plug()

    def plug(self) -> None:
        """Plug the cable in (again); the same path, maybe another number behind it."""
        with self._hands:
            # our own handle on the near end stays open: else the pty hangs up between two agents
            self._far, self._near = os.openpty()
            tty.setraw(self._near)
            os.set_blocking(self._far, False)
            self.path = os.ttyname(self._near)
            if self._link is not None:
                self._link.unlink(missing_ok=True)
                self._link.symlink_to(self.path)
                self.path = str(self._link)

    def unplug(self) -> None:
        """Pull the cable: whoever has the port open is hung up, the path is gone."""
        with self._hands:
            if self._link is not None:
                self._link.unlink(missing_ok=True)
            for handle in (self._far, self._near):
                if handle >= 0:
                    os.close(handle)
            self._far, self._near = -1, -1

    @property
    def baud(self) -> int:
        """What the near end has set its port to; a pty carries bytes at any speed, a device does not."""
        with self._hands:
            return _BAUDS.get(termios.tcgetattr(self._near)[_SPEED], 0) if self._near >= 0 else 0

    def read(self, timeout_s: float) -> bytes:
        """What the near end sent, after at most `timeout_s`; empty when nothing came."""
        with self._hands:
            if self._far >= 0:
                try:
                    ready = select.select([self._far], [], [], timeout_s)[0]
                    return os.read(self._far, 4096) if ready else b""
                except OSError:  # hung up in this moment
                    pass
        time.sleep(timeout_s)
        return b""

    def write(self, data: bytes) -> None:
        """Send to the near end; what does not fit into its buffer is lost, as on a real cable."""
        with self._hands:
            if self._far >= 0:
                with contextlib.suppress(OSError):
                    os.write(self._far, data)


def garbled(data: bytes) -> bytes:
    """What a receiver that is set to another speed makes of it: about as many bytes, none of them right."""
    return bytes(0x80 | (byte * 37 + 11 * at) & 0x7F for at, byte in enumerate(data))
