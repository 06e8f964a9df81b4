"""When a Modbus TCP answer may be believed.  Pure: told the bytes, asks nobody.

The transaction id settles what RTU cannot: a late answer names the question it belongs to.  But
many gateways answer with id 0, with another function or with fewer registers than were asked
for, so id, protocol, length, unit, function and byte count must all be right.  A stream whose
headers stop making sense cannot be resynchronised and must be closed.

Source of the format: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3.
May import: own room.
"""

from __future__ import annotations

import struct
from collections import Counter

from edgeagent.wire.rtu import Answer, Refusal, Request

__all__ = ["Stream"]

_HEADER_BYTES = 7
_LONGEST_BODY = 254  # unit and PDU
_SHORTEST_BODY = 3  # unit, function, exception code


class Stream:
    """One TCP connection as far as belief goes.

    Attributes:
        dropped: what was heard and not believed, by kind.
        broken: the stream is out of step and must be closed.
    """

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.broken = False
        self._heard = bytearray()
        self._asked: Request | None = None
        self._transaction = 0
        self._why = "timeout"

    def opened(self) -> None:
        """A new connection: nothing is owed on it."""
        self._heard.clear()
        self._asked, self.broken = None, False

    def sent(self, request: Request, transaction: int) -> None:
        """A question went out under this transaction id (never 0)."""
        self._asked, self._transaction, self._why = request, transaction, "timeout"

    def received(self, data: bytes) -> Answer | Refusal | None:
        """Bytes came in; returns the answer to the open question when it is whole."""
        heard = self._heard
        heard += data
        while len(heard) >= _HEADER_BYTES and not self.broken:
            transaction, protocol, length, unit = struct.unpack_from(">HHHB", heard)
            if protocol or not _SHORTEST_BODY <= length <= _LONGEST_BODY:
                self.broken = True
                self._why = "noise"
                heard.clear()
                return None
            size = _HEADER_BYTES - 1 + length
            if len(heard) < size:
                return None
            frame = bytes(heard[:size])
            del heard[:size]
            found = self._judge(frame, transaction, unit)
            if found is not None:
                self._asked = None
                return found
        return None

    def gave_up(self) -> str:
        """Nothing believable came in time; the name of the reason."""
        self._asked = None
        self.dropped[self._why] += 1
        if self._heard:  # half a frame would swallow the head of the next one
            self.broken = True
        return self._why

    def _judge(self, frame: bytes, transaction: int, unit: int) -> Answer | Refusal | None:
        asked = self._asked
        if asked is None or transaction != self._transaction:
            self.dropped["late"] += 1
            return None
        function, body = frame[7], frame[8:]
        if unit != asked.unit:
            self._why = "wrong-unit"
        elif function == asked.function | 0x80 and len(body) == 1:
            return Refusal(body[0])
        elif function != asked.function:
            self._why = "wrong-function"
        elif len(body) != 1 + 2 * asked.words or body[0] != 2 * asked.words:
            self._why = "wrong-count"
        else:
            return Answer(struct.unpack_from(f">{asked.words}H", frame, 9), frame)
        return None
