"""Modbus devices on a pty (RTU) and on TCP, with scripted faults, written without pymodbus.

One object is one bus with several units.  It keeps a record of what it held at the moment of each
answer, so that a reading can be checked against what was really true: "wrong 0" is provable.
May import: wire (the CRC only).
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from edgeagent.simulate.pty_line import PtyLine
from edgeagent.wire.rtu import crc16

__all__ = ["FAULTS", "Held", "ModbusSlave", "Registers", "registers_from"]

Registers = Callable[[int, int], Sequence[int] | None]
"""(first address, count) -> the words, or None: this device lacks one of them."""

FAULTS = (
    "silent",
    "late",
    "bad-crc",
    "wrong-function",
    "wrong-unit",
    "short-count",
    "long-count",
    "odd-count",
    "zero-count",
    "truncated",
    "leading-zero",
    "noise-before",
    "echo",
    "duplicate",
    "previous",
    "bytewise",
    "babble",
    "busy",
)
_QUESTION_BYTES = 8
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _BUSY = 1, 2, 6
_STEP_S = 0.05


class Held(NamedTuple):
    """What a unit held when it answered: `at` is `time.monotonic()`."""

    at: float
    unit: int
    address: int
    values: tuple[int, ...]


def registers_from(words: Mapping[int, int]) -> Registers:
    """Registers out of a mapping address -> word, which may be changed while the slave runs."""

    def read(address: int, count: int) -> Sequence[int] | None:
        try:
            return [words[a] & 0xFFFF for a in range(address, address + count)]
        except KeyError:
            return None

    return read


class ModbusSlave:
    """Units on one bus, in a thread of their own.

    Args:
        units: unit id -> its registers (holding and input alike).
        path: where the pty's port appears; None uses the pty's own name.
        tcp: serve Modbus TCP on 127.0.0.1 instead of a pty.
        late_s: how late the fault `late` is.
        latency_s: how long a sound answer takes.
        baud: its speed on a pty; a question at another is noise to it.  0: any.

    Attributes:
        faults: unit id -> a fault of FAULTS for every answer, or a list that is used up one
            entry per answer ("" is a sound one).  May be changed at any time.  On TCP, which has
            neither CRC nor echo, `bad-crc` sends a broken header, `echo` answers under
            transaction id 0 and `noise-before` hangs up.
        held: what was true at each answer, newest last.
        asked: every question seen: (monotonic seconds, unit, function, address, count).
    """

    def __init__(
        self,
        units: Mapping[int, Registers],
        *,
        path: str | Path | None = None,
        tcp: bool = False,
        late_s: float = 0.6,
        latency_s: float = 0.0,
        baud: int = 0,
    ) -> None:
        self.units = dict(units)
        self._baud = baud
        self.faults: dict[int, str | list[str]] = {}
        self.held: deque[Held] = deque(maxlen=100_000)
        self.asked: deque[tuple[float, int, int, int, int]] = deque(maxlen=100_000)
        self.line = None if tcp else PtyLine(path)
        self._late_s, self._latency_s = late_s, latency_s
        self._server = _listen() if tcp else None
        self._later: list[tuple[float, bytes]] = []
        self._previous = b""
        self._stop = threading.Event()
        self._hang_up = threading.Event()
        target = self._serve_tcp if tcp else self._serve_rtu
        self._thread = threading.Thread(target=target, name="modbus-slave", daemon=True)

    @property
    def path(self) -> str:
        """What an agent opens (RTU)."""
        return self.line.path if self.line else ""

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1, 0 for RTU."""
        return int(self._server.getsockname()[1]) if self._server else 0

    def start(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop answering and take the port away."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        if self.line:
            self.line.unplug()
        if self._server:
            self._server.close()

    def hang_up(self) -> None:
        """Close every TCP connection, as gateways do with idle ones."""
        self._hang_up.set()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- RTU -----------------------------------------------------------------------------------

    def _serve_rtu(self) -> None:
        assert self.line is not None
        heard = b""
        while not self._stop.is_set():
            more = self.line.read(self._wait_s())
            self._send_due(self.line.write)
            if not more or (self._baud and self.line.baud != self._baud):
                heard = b""  # a pause ends a frame
                continue
            heard += more
            while len(heard) >= _QUESTION_BYTES:
                size = _QUESTION_BYTES if heard[1] in (3, 4) else len(heard)
                question, heard = heard[:size], heard[size:]
                if crc16(question) == 0:
                    self._answer_rtu(question)
                else:
                    heard = b""

    def _answer_rtu(self, question: bytes) -> None:
        assert self.line is not None
        unit, body = question[0], question[1:-2]
        if unit not in self.units:
            return
        fault = self._next_fault(unit)
        pdu = self._pdu(unit, body, fault)
        frame = _with_crc(bytes((_other(unit) if fault == "wrong-unit" else unit,)) + pdu)
        after = time.monotonic() + (self._late_s if fault == "late" else self._latency_s)
        if fault == "previous":  # the last answer once more, as if it had been stuck somewhere
            self._later.append((time.monotonic(), self._previous))
        self._later += [(after + delay_s, data) for delay_s, data in _spoilt(fault, question, frame)]
        self._previous = frame
        self._send_due(self.line.write)

    # --- TCP -----------------------------------------------------------------------------------

    def _serve_tcp(self) -> None:
        assert self._server is not None
        clients: dict[socket.socket, bytes] = {}
        try:
            while not self._stop.is_set():
                ready = select.select([self._server, *clients], [], [], self._wait_s())[0]
                if self._hang_up.is_set():
                    self._hang_up.clear()
                    while clients:
                        clients.popitem()[0].close()
                    continue
                for one in ready:
                    if one is self._server:
                        clients[self._server.accept()[0]] = b""
                    elif not self._hear_tcp(one, clients):
                        del clients[one]
                        one.close()
                self._send_due(lambda data: _send_all(clients, data))
        finally:
            for client in clients:
                client.close()

    def _hear_tcp(self, client: socket.socket, clients: dict[socket.socket, bytes]) -> bool:
        try:
            more = client.recv(4096)
        except OSError:
            return False
        if not more:
            return False
        heard = clients[client] + more
        while len(heard) >= 12:  # noqa: PLR2004  header and a read question
            question, heard = heard[:12], heard[12:]
            answer = self._answer_tcp(question)
            if answer is None:
                return False
            if answer:
                _send(client, answer)
        clients[client] = heard
        return True

    def _answer_tcp(self, question: bytes) -> bytes | None:
        """The answer; empty for silence, None to hang up."""
        transaction, _, _, unit = struct.unpack_from(">HHHB", question)
        if unit not in self.units:
            return _mbap(transaction, unit, bytes((question[7] | 0x80, 0x0B)))
        fault = self._next_fault(unit)
        pdu = self._pdu(unit, question[7:], fault)
        if self._latency_s:
            time.sleep(self._latency_s)
        if fault == "silent":
            return b""
        if fault == "late":
            self._later.append((time.monotonic() + self._late_s, _mbap(transaction, unit, pdu)))
            return b""
        if fault == "truncated":
            return _mbap(transaction, unit, pdu)[:-2]
        if fault in ("bad-crc", "babble"):  # TCP has no CRC: a stream out of step instead
            return b"\xde\xad\xbe\xef" * 4
        if fault == "echo":  # a gateway that knows no transaction ids
            return _mbap(0, unit, pdu)
        if fault == "duplicate":
            return _mbap(transaction, unit, pdu) * 2
        if fault == "noise-before":
            return None
        return _mbap(transaction, _other(unit) if fault == "wrong-unit" else unit, pdu)

    # --- both ----------------------------------------------------------------------------------

    def _pdu(self, unit: int, body: bytes, fault: str) -> bytes:
        function, address, count = struct.unpack_from(">BHH", body)
        now = time.monotonic()
        self.asked.append((now, unit, function, address, count))
        if function not in (3, 4):
            return bytes((function | 0x80, _ILLEGAL_FUNCTION))
        if fault == "busy":
            return bytes((function | 0x80, _BUSY))
        words = self.units[unit](address, count)
        if words is None:
            return bytes((function | 0x80, _ILLEGAL_ADDRESS))
        self.held.append(Held(now, unit, address, tuple(words)))
        data = struct.pack(f">{count}H", *words)
        if fault == "wrong-function":
            function = 7 - function
        elif fault == "short-count":
            data = data[:-2]
        elif fault == "long-count":
            data += b"\x12\x34"
        elif fault == "odd-count":
            data += b"\x56"
        elif fault == "zero-count":
            data = b""
        return bytes((function, len(data))) + data

    def _next_fault(self, unit: int) -> str:
        script = self.faults.get(unit, "")
        if isinstance(script, str):
            return script
        return script.pop(0) if script else ""

    def _wait_s(self) -> float:
        if not self._later:
            return _STEP_S
        return min(max(min(at for at, _ in self._later) - time.monotonic(), 0.0), _STEP_S)

    def _send_due(self, send: Callable[[bytes], object]) -> None:
        now = time.monotonic()
        due = [item for item in self._later if item[0] <= now]
        if due:
            self._later = [item for item in self._later if item[0] > now]
            for _, data in sorted(due, key=lambda item: item[0]):
                send(data)


def _spoilt(fault: str, question: bytes, frame: bytes) -> list[tuple[float, bytes]]:
    """What goes over the wire instead of a sound answer: (seconds to wait, bytes)."""
    if fault == "silent":
        return []
    if fault == "duplicate":
        return [(0.0, frame), (0.01, frame)]
    if fault == "bytewise":
        return [(0.003 * i, frame[i : i + 1]) for i in range(len(frame))]
    if fault == "babble":
        return [(0.004 * i, b"\xa5\x5a" * 4) for i in range(500)]
    changed = {
        "bad-crc": frame[:-1] + bytes((frame[-1] ^ 0x55,)),
        "truncated": frame[:-3],
        "leading-zero": b"\x00" + frame,
        "noise-before": frame[:3] + b"\xff\x55R1234\r" + frame,
        "echo": question + frame,
    }
    return [(0.0, changed.get(fault, frame))]


def _with_crc(body: bytes) -> bytes:
    return body + crc16(body).to_bytes(2, "little")


def _mbap(transaction: int, unit: int, pdu: bytes) -> bytes:
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def _other(unit: int) -> int:
    return unit % 246 + 1


def _listen() -> socket.socket:
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(1)
    return server


def _send_all(clients: Iterable[socket.socket], data: bytes) -> None:
    for client in clients:
        _send(client, data)


def _send(client: socket.socket, data: bytes) -> None:
    try:
        client.sendall(data)
    except OSError:
        return
