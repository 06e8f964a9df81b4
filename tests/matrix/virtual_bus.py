"""Modbus devices in memory whose every answer draws a fault; written without ours and without pymodbus.

They hang on the far end of pymodbus' own transport, so everything above the cable is the product.
"""

import asyncio
import random
import struct
from collections import Counter, deque

FUNCTIONS = (3, 4)


def crc(data):
    """CRC-16/MODBUS bit by bit, another way than the product's table."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return struct.pack("<H", value)


class Cable(asyncio.Transport):
    """The near end of the cable, as pymodbus sees it."""

    def __init__(self, loop, device, protocol):
        super().__init__()
        self._loop, self._device, self._protocol = loop, device, protocol
        device.cables.append(self)
        self._open = True

    def write(self, data):
        if self._open:
            self._device.hear(bytes(data), self)

    def say(self, after_s, data):
        self._loop.call_later(after_s, self._deliver, data)

    def break_off(self, after_s):
        self._loop.call_later(after_s, self._lost)

    def _deliver(self, data):
        if self._open and data:
            self._protocol.data_received(data)

    def _lost(self):
        if self._open:
            self._open = False
            self._protocol.connection_lost(OSError(5, "Input/output error"))

    def close(self):
        self._open = False

    def abort(self):
        self._open = False

    def is_closing(self):
        return not self._open


def plug(bus, device):
    """Let a Bus of the product open this device instead of a port."""
    made = bus._make_client

    def make():
        client = made()

        async def connect():
            protocol = client.ctx.handle_new_connection()
            cable = Cable(asyncio.get_running_loop(), device, protocol)
            protocol.connection_made(cable)
            return cable, protocol

        client.ctx.call_create = connect
        return client

    bus._make_client = make


class Device:
    """Several units; every value it holds changes every 10 ms and is another one in every register.

    Attributes:
        held: (unit, address) -> when it was asked for them and what it then held, newest last.
        answers: how many questions were heard.
        drawn: faults, counted.
        functions: the function codes that were seen.
        script: unit -> fault or list of faults; None: faults are drawn.
        asked: (seconds, unit) of every question.
    """

    def __init__(self, loop, seed, kinds, *, share=0.6, late_s=3.0):
        self._loop = loop
        self._luck = random.Random(seed)
        self._kinds, self._share, self._late_s = kinds, share, late_s
        self._before = {}
        self._remembered = 8
        self.script = None
        self.asked = []
        self.cables = deque(maxlen=2)
        self.held = {}
        self.answers = 0
        self.drawn = Counter()
        self.functions = Counter()

    def words(self, unit, address, count):
        step = int(self._loop.time() * 100)
        return [(step * 7 + unit * 4001 + (address + n) * 977) % 60_000 for n in range(count)]

    def keep_all(self):
        """Remember everything that was held, for short plays."""
        self._remembered = 100_000

    def draw(self, unit):
        if self.script is not None:
            kind = self.script.get(unit, "sound")
            if isinstance(kind, list):
                kind = kind.pop(0) if kind else "sound"
        else:
            kind = self._luck.choice(self._kinds) if self._luck.random() < self._share else "sound"
        self.answers += 1
        self.asked.append((self._loop.time(), unit))
        self.drawn[kind] += 1
        return kind

    def pdu(self, unit, function, address, count, kind):
        words = self.words(unit, address, count)
        self.held.setdefault((unit, address), deque(maxlen=self._remembered)).append((self._loop.time(), tuple(words)))
        data = struct.pack(f">{count}H", *words)
        if kind.startswith("exception"):
            number = int(kind[10:] or self._luck.choice((1, 2, 3, 4, 5, 6, 10, 11, 99)))
            return bytes((function | 0x80, number))
        if kind == "wrong-function":
            function = self._luck.choice([f for f in range(1, 25) if f != function])
        elif kind == "short-count":
            data = data[:-2]
        elif kind == "long-count":
            data += self._noise(2)
        elif kind == "odd-count":
            data += self._noise(1)
        elif kind == "zero-count":
            data = b""
        return bytes((function, len(data))) + data

    def _noise(self, most, least=1):
        return self._luck.randbytes(self._luck.randint(least, most)) if most > 2 else self._luck.randbytes(most)

    def _torn(self, cable, after_s, frame, most_s):
        """A frame in pieces, as a USB adapter or a network hands it over."""
        cuts = sorted(self._luck.sample(range(1, len(frame)), min(3, len(frame) - 1)))
        for begin, end in zip([0, *cuts], [*cuts, len(frame)], strict=True):
            cable.say(after_s, frame[begin:end])
            after_s += self._luck.uniform(0, most_s)


RTU_FAULTS = (
    "silent", "late", "bad-crc", "bit-flips", "wrong-function", "wrong-unit", "short-count", "long-count",
    "odd-count", "zero-count", "truncated", "torn", "torn-slow", "leading-zero", "leading-ff", "noise-before",
    "noise-after", "header-noise", "echo-joined", "echo-apart", "echo-only", "duplicate", "duplicate-later",
    "previous", "babble", "exception", "other-master", "unsolicited", "unplugged",
)  # fmt: skip


class RtuDevice(Device):
    """Units on one RS-485 line."""

    def __init__(self, loop, seed, *, kinds=RTU_FAULTS, **more):
        super().__init__(loop, seed, kinds, **more)

    def hear(self, question, cable):  # noqa: PLR0912  one branch per fault
        assert crc(question[:-2]) == question[-2:]
        unit, function, address, count = struct.unpack(">BBHH", question[:-2])
        self.functions[function] += 1
        kind, luck = self.draw(unit), self._luck
        if kind == "absent":
            return
        body = bytes((unit,)) + self.pdu(unit, function, address, count, kind)
        frame = body + crc(body)
        answer_s = luck.uniform(0.004, 0.06)
        before = self._before.get((unit, count), frame)
        self._before[unit, count] = frame
        if kind == "late":
            answer_s += luck.uniform(0.0, self._late_s)
        elif kind == "later":  # later than any timeout, sooner than the next question
            answer_s += 0.6
        elif kind == "garbled":  # what another baud rate makes of it
            frame = bytes(~b & 0xFE for b in frame[::2])
        elif kind in ("silent", "echo-only"):
            frame = b""
        elif kind == "bad-crc":
            frame = frame[:-1] + bytes((frame[-1] ^ luck.randint(1, 255),))
        elif kind == "bit-flips":
            flipped = bytearray(frame)
            for at in luck.sample(range(len(frame)), 2):
                flipped[at] ^= luck.randint(1, 255)
            frame = bytes(flipped) if crc(flipped[:-2]) != bytes(flipped[-2:]) else b""
        elif kind == "wrong-unit":
            other = bytes((unit % 3 + 1,)) + body[1:]
            frame = other + crc(other)
        elif kind == "truncated":
            frame = frame[: luck.randint(1, len(frame) - 1)]
        elif kind == "leading-zero":
            frame = b"\x00" * luck.randint(1, 3) + frame
        elif kind == "leading-ff":
            frame = b"\xff\xff" + frame
        elif kind == "noise-before":
            frame = self._noise(40) + frame
        elif kind == "noise-after":
            frame += self._noise(40)
        elif kind == "header-noise":
            frame = frame[:3] + self._noise(12) + frame
        elif kind == "echo-joined":
            frame = question + frame
        elif kind == "other-master":
            asked = struct.pack(">BBHH", unit % 3 + 1, function, address, count)
            cable.say(0.001, asked + crc(asked))
        elif kind == "babble":
            for n in range(luck.randint(20, 400)):
                cable.say(0.004 * n, self._noise(8))
        if kind.startswith("echo-") and kind != "echo-joined":
            cable.say(0.0005, question)
        if kind == "previous":  # stuck somewhere since the last question, and out just before the true answer
            cable.say(luck.uniform(0.0005, answer_s), before)
        elif kind == "duplicate":
            cable.say(answer_s + luck.uniform(0.0, 0.015), frame)
        elif kind == "duplicate-later":
            cable.say(answer_s + luck.uniform(0.0, 0.4), frame)
        elif kind == "unsolicited":
            # somebody else's conversation; one of the same length, while the true answer is lost, is the
            # one thing that no master on a line without transaction ids can tell from an answer
            size = luck.choice([n for n in range(1, 9) if n != count])
            other = bytes((luck.randint(1, 3), function, 2 * size)) + luck.randbytes(2 * size)
            cable.say(luck.uniform(0.0, 1.5), other + crc(other))
        elif kind == "unplugged":
            cable.break_off(luck.uniform(0.0, 0.2))
        if kind.startswith("torn"):
            self._torn(cable, answer_s, frame, 0.2 if kind == "torn-slow" else 0.01)
        else:
            cable.say(answer_s, frame)


TCP_FAULTS = (
    "silent", "late", "id-zero", "id-wrong", "wrong-function", "wrong-unit", "short-count", "long-count", "odd-count",
    "zero-count", "torn", "torn-slow", "duplicate", "previous", "protocol-wrong", "length-wrong", "garbage",
    "closed-midway", "closed", "exception", "truncated",
)  # fmt: skip


class TcpDevice(Device):
    """A gateway with several units behind it."""

    def __init__(self, loop, seed, *, kinds=TCP_FAULTS, **more):
        super().__init__(loop, seed, kinds, **more)

    def hear(self, question, cable):  # noqa: PLR0912  one branch per fault
        transaction, _, _, unit, function, address, count = struct.unpack(">HHHBBHH", question)
        self.functions[function] += 1
        kind, luck = self.draw(unit), self._luck
        pdu = self.pdu(unit, function, address, count, kind)
        answer_s = luck.uniform(0.001, 0.06)
        protocol, length, said = 0, len(pdu) + 1, transaction
        if kind == "id-zero":
            said = 0
        elif kind == "id-wrong":
            said = (transaction + luck.choice((-1, 1, 256))) & 0xFFFF
        elif kind == "protocol-wrong":
            protocol = luck.randint(1, 0xFFFF)
        elif kind == "length-wrong":
            length += luck.choice((-2, -1, 1, 2, 300))
        elif kind == "wrong-unit":
            unit = unit % 3 + 1
        elif kind == "late":
            answer_s += luck.uniform(0.0, self._late_s)
        frame = struct.pack(">HHHB", said, protocol, length & 0xFFFF, unit) + pdu
        before = self._before.get((unit, count), frame)
        self._before[unit, count] = frame
        if kind in ("silent", "closed"):
            frame = b""
        elif kind in ("truncated", "closed-midway"):
            frame = frame[: luck.randint(1, len(frame) - 1)]
        elif kind == "garbage":
            frame = self._noise(60)
        elif kind == "duplicate":
            frame *= 2
        elif kind == "previous":
            frame = before + frame
        if kind.startswith("torn"):
            self._torn(cable, answer_s, frame, 0.2 if kind == "torn-slow" else 0.01)
        else:
            cable.say(answer_s, frame)
        if kind.startswith("closed"):
            cable.break_off(answer_s + 0.001)
