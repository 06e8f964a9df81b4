"""A MaxBotix ultrasonic gauge on a pty: `R1234` and a carriage return, some times a second."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Self

from edgeagent.simulate.pty_line import PtyLine, garbled

__all__ = ["AsciiGauge"]

NO_TARGET_MM = 5000


class AsciiGauge:
    """A gauge that talks by itself, in a thread of its own.

    Args:
        distance_m: seconds since start -> distance to the water in metres, or None: no echo.
        path: where its port appears; None uses the pty's own name.
        lines_per_s: how often it speaks.
        baud: at what speed; who listens at another hears garbage.  0: at any.

    Attributes:
        said: (monotonic seconds, millimetres) of the last lines.
        silent: set it and it stops talking, as with a cut cable.
    """

    def __init__(
        self,
        distance_m: Callable[[float], float | None],
        *,
        path: str | Path | None = None,
        lines_per_s: float = 6.0,
        baud: int = 0,
    ) -> None:
        self._distance_m = distance_m
        self._baud = baud
        self._pause_s = 1.0 / lines_per_s
        self.line = PtyLine(path)
        self.said: deque[tuple[float, int]] = deque(maxlen=10_000)
        self.silent = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._talk, name="ascii-gauge", daemon=True)

    @property
    def path(self) -> str:
        """What an agent opens."""
        return self.line.path

    def start(self) -> Self:
        """Begin to talk."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Fall silent and take the port away."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self.line.unplug()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _talk(self) -> None:
        start = time.monotonic()
        while not self._stop.wait(self._pause_s):
            if self.silent.is_set():
                continue
            now = time.monotonic()
            distance = self._distance_m(now - start)
            said = NO_TARGET_MM if distance is None else min(max(round(distance * 1000), 0), 9999)
            self.said.append((now, said))
            line = b"R%04d\r" % said
            self.line.write(garbled(line) if self._baud and self.line.baud != self._baud else line)
