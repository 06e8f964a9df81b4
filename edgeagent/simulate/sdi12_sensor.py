"""SDI-12 sensors on a pty, with scripted faults, in a thread of their own."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from edgeagent.simulate.pty_line import PtyLine

__all__ = ["FAULTS", "Sdi12Sensors"]

FAULTS = ("silent", "bad-crc", "no-service-request", "wrong-address", "echo")


class Sdi12Sensors:
    """Sensors on one adapter.

    Args:
        sensors: address -> its values now.
        seconds: how long a measurement takes.
        path: where the port appears; None uses the pty's own name.

    Attributes:
        faults: address -> a fault of FAULTS for every answer; may be changed at any time.
        asked: every command heard.
    """

    def __init__(
        self, sensors: Mapping[str, Callable[[], Sequence[float]]], *, seconds: int = 0, path: str | None = None
    ) -> None:
        self._sensors, self._seconds = dict(sensors), seconds
        self.line = PtyLine(path)
        self.faults: dict[str, str] = {}
        self.asked: deque[str] = deque(maxlen=10_000)
        self._measured: dict[str, tuple[Sequence[float], bool]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="sdi12", daemon=True)

    @property
    def path(self) -> str:
        """What an agent opens."""
        return self.line.path

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
        self.line.unplug()

    def _serve(self) -> None:
        heard = b""
        while not self._stop.is_set():
            heard += self.line.read(0.02)
            *commands, heard = heard.split(b"!")
            for command in commands:
                self._answer(command.strip(b"\x00").decode("ascii", "replace"))

    def _answer(self, command: str) -> None:
        self.asked.append(command)
        address, what = command[:1], command[1:]
        fault = self.faults.get(address, "")
        if address not in self._sensors or fault == "silent":
            return
        echo = f"{command}!".encode() if fault == "echo" else b""
        said = "Z" if fault == "wrong-address" else address
        if what[:1] in "MC":
            values = self._sensors[address]()
            self._measured[address] = values, "C" in what[1:]
            self.line.write(echo + f"{said}{self._seconds:03d}{len(values)}\r\n".encode())
            if self._seconds and fault != "no-service-request":
                time.sleep(min(self._seconds, 0.1))  # ready sooner than it said
                self.line.write(f"{address}\r\n".encode())
        elif what == "D0":
            values, checked = self._measured.get(address, ((), False))
            answer = (said + "".join(f"{value:+g}" for value in values)).encode()
            check = _crc(answer) if checked else b""
            self.line.write(echo + answer + (b"AAA" if fault == "bad-crc" and checked else check) + b"\r\n")


def _crc(data: bytes) -> bytes:
    """Bit by bit, as the specification draws it; written a second time, so that one error does not hide another."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            low, crc = crc & 1, crc >> 1
            if low:
                crc ^= 0xA001
    return bytes(((crc >> 12) | 0x40, ((crc >> 6) & 0x3F) | 0x40, (crc & 0x3F) | 0x40))
