"""When a Modbus TCP answer may be believed.  Pure: told the bytes, asks nobody.

The transaction id settles what RTU cannot: a late answer names the question it belongs to.  But
many gateways answer with id 0, with another function or with fewer registers than were asked
for, so id, protocol, length, unit, function and byte count must all be right.  A stream whose
headers stop making sense cannot be resynchronised and must be closed; so must one that answers
under an id not used yet, for that very answer would fit a question to come.

Source of the format: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3.
May import: own room.
"""

from __future__ import annotations

import struct
from collections import Counter

from edgeagent.wire.rtu import Answer, Refusal, Request

__all__ = ["Stream"]

_HEADER_BYTES = 7
_LENGTH_AT = 4
_HEADER = ">HHHB"
_IDS = 0xFFFF
_APART, _MOST = 5000, 60_000
_LONGEST_BODY = 254  # unit and PDU
_SHORTEST_BODY = 3  # unit, function, exception code


class Stream:
    """One TCP connection as far as belief goes.

    Attributes:
        dropped: what was heard and not believed, by kind.
        broken: the stream is out of step and must be closed.
        transaction: the last id used; the next connection goes on from here, so that an answer kept
            by a gateway fits no question of ours.
    """

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.broken = False
        self._heard = bytearray()
        self._asked: Request | None = None
        self._believed: Answer | Refusal | None = None
        self.transaction = 0
        self._why = "timeout"

    def opened(self) -> None:
        """A new connection: nothing is owed on it, and its ids are far from those of the last one."""
        self.transaction = (self.transaction + _APART) % _MOST
        self._heard.clear()
        self._asked, self._believed, self.broken = None, None, False

    def sent(self, request: Request, transaction: int) -> None:
        """A question went out under this transaction id (never 0)."""
        self._asked, self.transaction, self._why = request, transaction, "timeout"

    def received(self, data: bytes) -> Answer | Refusal | None:
        """Bytes came in; returns the answer to the open question when it is whole."""
        heard = self._heard
        heard += data
        while heard and not self.broken:
            # what follows an answer must be another frame: else a byte was lost in that answer, and
            # the first byte of what follows has taken its place
            if not _may_be_head(heard):
                self.broken, self._why = True, "noise"
                heard.clear()
                return None
            size = _size(heard)
            if len(heard) < size:
                break
            frame = bytes(heard[:size])
            del heard[:size]
            transaction, _, _, unit = struct.unpack_from(_HEADER, frame)
            found = self._judge(frame, transaction, unit)
            if found is not None:
                self._asked, self._believed = None, found
        if self.broken or heard:
            return None
        believed, self._believed = self._believed, None
        return believed

    def gave_up(self) -> str:
        """Nothing believable came in time; the name of the reason."""
        self._asked, self._believed = None, None
        self.dropped[self._why] += 1
        if self._heard:  # half a frame would swallow the head of the next one
            self.broken = True
        return self._why

    def _judge(self, frame: bytes, transaction: int, unit: int) -> Answer | Refusal | None:
        asked = self._asked
        if asked is None or transaction != self.transaction:
            self.dropped["late"] += 1
            if transaction and 0 < (transaction - self.transaction) & _IDS < _IDS // 2:
                self.broken, self._why = True, "noise"
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


def _may_be_head(heard: bytearray) -> bool:
    """Whether these bytes can begin a frame, as far as they go."""
    if any(heard[2:4]):  # protocol 0
        return False
    if len(heard) > _LENGTH_AT and heard[_LENGTH_AT]:
        return False
    return len(heard) < _LENGTH_AT + 2 or _SHORTEST_BODY <= heard[_LENGTH_AT + 1] <= _LONGEST_BODY


def _size(heard: bytearray) -> int:
    """Bytes of the frame that begins here; the header's, while its length is not there yet."""
    return _HEADER_BYTES if len(heard) < _HEADER_BYTES else _HEADER_BYTES - 1 + heard[_LENGTH_AT + 1]
