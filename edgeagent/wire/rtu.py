"""When a Modbus RTU answer may be believed.  Pure: told the bytes and the time, asks nobody.

RTU frames carry no transaction id.  A late answer to the last question looks exactly like an
early answer to this one, so belief rests on five rules:

1. Shape.  Only a frame with our unit, our function, exactly the byte count we asked for and a
   correct CRC is an answer (or a five byte refusal with our unit and function).  Everything
   else, a leading 0x00, an echo of our own question, chatter, is passed over and counted.
2. Silence before.  A question goes out only after the line was quiet for `gap_s`.
3. Silence after.  An answer counts when the line stayed quiet for `gap_s` behind it, and longer
   when it came sooner than this unit's slowest answers do; a second, different answer in that time
   means that nobody knows which is which: both are dropped.
4. Quarantine.  A unit that owes an answer is not asked again for `late_s`, so that the late
   answer meets no question.  Other units may be asked, their unit id tells them apart.
5. Handshake.  The first answer of a unit after it owed one (or after the port was opened) only
   proves that it is in step.  It is not published; the question is asked again.
6. Doubt.  An answer that is, byte for byte, a frame already heard from the unit for another
   register may be that one once more; so may one that came behind other bytes than idle ones and
   our own echo, for the true answer may be among those.  A different answer behind a repeat takes
   its place; otherwise the question is asked again: two registers may well hold the same.

Source of the format: MODBUS over Serial Line Specification V1.02, 2.5.1 (RTU), 6.2.2 (CRC);
MODBUS Application Protocol V1.1b3, 6.3, 6.4, 7.  May import: nothing.
"""

from __future__ import annotations

import struct
from collections import Counter, deque
from typing import NamedTuple

__all__ = ["Answer", "Line", "Refusal", "Request", "crc16", "encode", "find", "gap_s", "question", "verdict", "wire_s"]

READS = (3, 4)
_MOST_REGISTERS = 125
_HEAR_MOST = 1024  # four longest frames; a babbling line costs no more memory than this
_QUESTION_BYTES = 8
_REFUSAL_BYTES = 5
_LEAST_GAP_S = 0.02  # USB adapters deliver in 16 ms slices, so t3.5 alone cannot be seen
_FAST_BAUD = 19200  # above it the specification fixes t3.5 to 1.75 ms
_SETTLE = 0.1  # weight of a faster answer in a unit's slowest time; a slower one counts at once
_REPEAT_S = 5.0  # a frame that was sent twice comes within this time
_REMEMBERED = 16  # last answers per unit and shape; a profile has fewer questions
_LATEST_S = 30.0  # a unit that lags more than this is not waited for, only never believed
_IDLE = b"\x00\xff"  # what a line says when nobody drives it
_REST_S = 0.1  # the bus after a timeout, so that a slow answer collides with nobody


def _table() -> tuple[int, ...]:
    made = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        made.append(crc)
    return tuple(made)


_CRC = _table()


class Request(NamedTuple):
    """One question.  Only reading functions can be written down at all."""

    unit: int
    function: int
    address: int
    words: int


class Answer(NamedTuple):
    """A believed answer: the registers asked for, and the frame it came in."""

    registers: tuple[int, ...]
    raw: bytes


class Refusal(NamedTuple):
    """The unit answered with a Modbus exception code."""

    code: int


def crc16(data: bytes | bytearray | memoryview) -> int:
    """CRC-16/MODBUS, sent low byte first."""
    crc = 0xFFFF
    table = _CRC
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc


def encode(request: Request) -> bytes:
    """The question as it goes over an RS-485 line; see `question` for what is refused."""
    body = question(request)
    return body + crc16(body).to_bytes(2, "little")


def question(request: Request) -> bytes:
    """Unit and PDU, as they go over TCP behind the header.

    Raises:
        ValueError: not a read, or outside what the protocol allows.
    """
    unit, function, address, words = request
    if function not in READS or not 1 <= words <= _MOST_REGISTERS:
        raise ValueError(request)
    return struct.pack(">BBHH", unit, function, address, words)


def gap_s(baud: int, frame: str = "8N1") -> float:
    """Silence that separates frames: 3.5 characters, never less than a USB adapter can show."""
    return max(3.5 * _char_s(baud, frame) if baud <= _FAST_BAUD else 0.00175, _LEAST_GAP_S)


def wire_s(request: Request, baud: int, frame: str = "8N1") -> float:
    """Seconds that question and answer spend on the wire."""
    return (_QUESTION_BYTES + _REFUSAL_BYTES + 2 * request.words) * _char_s(baud, frame)


def find(request: Request, heard: bytes | bytearray, start: int = 0) -> tuple[Answer | Refusal | None, int]:
    """The first believable answer in what was heard.

    Args:
        request: the open question.
        heard: everything since it was sent.
        start: where to begin looking.

    Returns:
        (answer, index behind it), or (None, start): not (yet) there.
    """
    unit, function, _, count = request
    size = _REFUSAL_BYTES + 2 * count
    head = bytes((unit, function, 2 * count))
    refusal = bytes((unit, function | 0x80))
    at = heard.find(unit, start)
    while at >= 0:
        if heard.startswith(head, at):
            # of 247 units, each has an address whose echo passes for an answer, its CRC included
            if encode(request).startswith(bytes(heard[at : at + _QUESTION_BYTES])):
                at = heard.find(unit, at + _QUESTION_BYTES)
                continue
            frame = bytes(heard[at : at + size])
            if len(frame) == size and crc16(frame) == 0:
                return Answer(struct.unpack_from(f">{count}H", frame, 3), frame), at + size
        elif heard.startswith(refusal, at):
            frame = bytes(heard[at : at + _REFUSAL_BYTES])
            if len(frame) == _REFUSAL_BYTES and crc16(frame) == 0:
                return Refusal(frame[2]), at + _REFUSAL_BYTES
        at = heard.find(unit, at + 1)
    return None, start


def verdict(request: Request, heard: bytes | bytearray) -> str:
    """Why nothing in what was heard was an answer; a name for the message and the counter.

    Returns:
        timeout (silence), echo (only our own question), wrong-unit, wrong-function,
        wrong-count (a whole frame, but not ours), crc (ours by its head, damaged), noise.
    """
    own = encode(request)
    rest = bytes(heard).replace(own, b"")
    if not rest.strip(b"\x00"):
        return "echo" if own in heard else "timeout"
    for at in range(len(rest) - 4):
        unit, function, third = rest[at : at + 3]
        size = _REFUSAL_BYTES if function & 0x80 else _REFUSAL_BYTES + third
        if function & 0x7F and at + size <= len(rest) and crc16(rest[at : at + size]) == 0:
            if unit != request.unit:
                return "wrong-unit"
            if function & 0x7F != request.function:
                return "wrong-function"
            return "wrong-count"
    return "crc" if bytes(request[:2]) in rest else "noise"


class Line:
    """One RS-485 line as far as belief goes; holds the rules 2 to 5.

    Times are seconds of any clock that never steps; the caller says what time it is.

    Args:
        gap_s: silence before and behind a frame.
        late_s: how long after a timeout a unit may still come with the answer that it owes.

    Attributes:
        dropped: what was heard and not believed, by kind.
        contradicted: a second, different answer followed the one to the open question.
        latest_s: the longest time after a timeout at which a late answer was seen.
    """

    def __init__(self, *, gap_s: float, late_s: float) -> None:
        self.gap_s = gap_s
        self.late_s = late_s
        self.dropped: Counter[str] = Counter()
        self.contradicted = False
        self.latest_s = 0.0
        self._heard = bytearray()
        self._heard_at = float("-inf")
        self._rest_until = float("-inf")
        self._asked: Request | None = None
        self._asked_at = 0.0
        self._answer: Answer | Refusal | None = None
        self._answer_s = 0.0
        self._doubt = ""
        self._slowest_s: dict[int, float] = {}
        self._known: dict[tuple[int, int, int], deque[tuple[int | None, bytes, float]]] = {}
        self._asked_for_repeat: tuple[Request, bytes] | None = None
        self._owed: dict[int, tuple[Request, float, float]] = {}
        self._in_step: set[int] = set()

    def ready_at(self, unit: int) -> float:
        """The earliest moment at which this unit may be asked, as far as is known now."""
        ready = self.quiet_at()
        owed = self._owed.get(unit)
        return ready if owed is None else max(ready, owed[1] + owed[2])

    def quiet_at(self) -> float:
        """When the line will have been quiet for long enough, if nothing more is heard."""
        quiet = max(self._heard_at + self.gap_s, self._rest_until)
        if self._answer is None or self._asked is None:
            return quiet
        return max(quiet, self._asked_at + self._slowest_s.get(self._asked.unit, 0.0) + self.gap_s)

    @property
    def answer(self) -> Answer | Refusal | None:
        """The answer to the open question, as far as is known now."""
        return self._answer

    @property
    def doubt(self) -> str:
        """Why that answer must be asked for again (rule 6): `repeat`, `stray` bytes in front, or ""."""
        return self._doubt

    def opened(self, at: float) -> None:
        """The port was (re)opened: what is in the air is unknown, nobody is in step."""
        self._asked, self._answer = None, None
        self._heard.clear()
        self._in_step.clear()
        self._rest_until = at + _REST_S

    def sent(self, request: Request, at: float) -> None:
        """A question went out."""
        self._asked, self._asked_at, self._answer = request, at, None
        self._doubt = ""
        self._heard.clear()
        self._owed.pop(request.unit, None)
        self.contradicted = False

    def received(self, data: bytes, at: float) -> Answer | Refusal | None:
        """Bytes came in; returns the answer to the open question the first time it is whole."""
        self._heard_at = at
        self._heard += data
        if len(self._heard) > _HEAR_MOST:
            self.dropped["noise"] += len(self._heard) - _HEAR_MOST
            del self._heard[:-_HEAR_MOST]
        if self._owed:
            self._look_for_late(at)
        if self._asked is None:
            return None
        first = None
        asked = self._asked
        found, end = find(asked, self._heard)
        while found is not None:
            start = end - (_REFUSAL_BYTES if isinstance(found, Refusal) else len(found.raw))
            stray = bytes(self._heard[:start]).replace(encode(asked), b"").strip(_IDLE)
            repeat = self._is_repeat(asked, found, at)
            del self._heard[:end]
            if self._answer is None or (self._doubt == "repeat" and found != self._answer):
                self.dropped["duplicate"] += self._answer is not None
                self._answer, self._doubt = found, "repeat" if repeat else "stray" if stray else ""
                self._answer_s = at - self._asked_at
                first = first or found
            elif repeat or found == self._answer:
                self.dropped["duplicate"] += 1
            else:
                self.contradicted = True
                self._remember(asked, self._answer, None, at)
                self._remember(asked, found, None, at)
            found, end = find(asked, self._heard)
        return first

    def in_step(self, unit: int) -> bool:
        """Whether this unit's answers may be published (rule 5)."""
        return unit in self._in_step

    def agreed(self, unit: int) -> None:
        """The unit answered and the line stayed quiet: it is in step, and so fast."""
        self._in_step.add(unit)
        slowest_s = self._slowest_s.get(unit, 0.0)
        self._slowest_s[unit] = max(self._answer_s, slowest_s + _SETTLE * (self._answer_s - slowest_s))
        asked, answer = self._asked, self._answer
        if asked is not None and isinstance(answer, Answer):
            before, self._asked_for_repeat = (
                self._asked_for_repeat,
                (asked, answer.raw) if self._doubt == "repeat" else None,
            )
            if before is not None and before[0] == asked and before[1] != answer.raw:
                # it was a repeat, so the answer to the question before this one is still to come
                self._owed[unit] = (asked, self._heard_at, self._patience_s)
            if self._doubt != "repeat":
                self._remember(asked, answer, asked.address, self._heard_at)
        self._asked, self._answer = None, None

    def gave_up(self, at: float) -> str:
        """Nothing believable came in time (or two things did); starts the quarantine.

        Returns:
            The verdict, see `verdict`; `two-answers` when rule 3 was broken.
        """
        request = self._asked
        if request is None:
            return "timeout"
        why = "two-answers" if self.contradicted else verdict(request, self._heard)
        self.dropped[why] += 1
        self._asked, self._answer = None, None
        self._heard.clear()
        self._in_step.discard(request.unit)
        self._owed[request.unit] = (request, at, self._patience_s)
        self._rest_until = at + max(_REST_S, self.gap_s)
        return why

    @property
    def _patience_s(self) -> float:
        return max(self.late_s, 2 * self.latest_s)

    def _is_repeat(self, asked: Request, found: Answer | Refusal, at: float) -> bool:
        if isinstance(found, Refusal):
            return False
        known = self._known.get((asked.unit, asked.function, asked.words), ())
        return any(
            raw == found.raw and address != asked.address and at - then <= _REPEAT_S for address, raw, then in known
        )

    def _remember(self, asked: Request, found: Answer | Refusal, address: int | None, at: float) -> None:
        """A frame that may be heard once more; `address` None: nobody knows which register it was for."""
        if isinstance(found, Answer):
            shape = asked.unit, asked.function, asked.words
            self._known.setdefault(shape, deque(maxlen=_REMEMBERED)).append((address, found.raw, at))

    def _look_for_late(self, at: float) -> None:
        for unit, (request, since, _) in list(self._owed.items()):
            found, end = find(request, self._heard)
            if found is not None:
                del self._heard[end - (_REFUSAL_BYTES if isinstance(found, Refusal) else len(found.raw)) : end]
                self.dropped["late"] += 1
                self._remember(request, found, None, at)
                self.latest_s = min(max(self.latest_s, at - since), _LATEST_S)
                self._owed[unit] = (request, at, self._patience_s)


def _char_s(baud: int, frame: str) -> float:
    data, parity, stop = int(frame[0]), frame[1], int(frame[2])
    return (1 + data + (parity != "N") + stop) / baud
