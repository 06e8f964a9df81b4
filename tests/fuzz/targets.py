"""One target per parser: any bytes may come, nothing may be raised, and nothing believed that proves nothing."""

import math
import struct

from edgeagent import profiles
from edgeagent.wire.gauge_lines import Frames, Lines
from edgeagent.wire.mbap import Stream
from edgeagent.wire.registers import ORDERS, TYPES, Register, Scale, decode
from edgeagent.wire.rtu import Answer, Line, Refusal, Request, crc16, verdict
from edgeagent.wire.sdi12 import Done, Failed, Session

ASK = Request(1, 3, 100, 2)
SANE = Scale(0.001, 0.0, (0.0, 30.0), sentinels={65535: "no-target"})
FORMS = {name: profiles.load(name)[0] for name in ("maxbotix-hrxl-wr", "campbell-sr50a-serial", "dyp-a0x-uart")}
SDI12 = profiles.load("sdi12-generic")[0].sdi12
_LONGEST = 1024


def rtu(data: bytes) -> None:
    """Bytes on an RS-485 line, in pieces that the first bytes choose."""
    line = Line(gap_s=0.02, late_s=3)
    line.opened(0.0)
    line.sent(ASK, 1.0)
    now = 1.0
    for piece in _pieces(data):
        now += 0.001
        line.received(piece, now)
        assert len(line._heard) <= _LONGEST
    found = line.answer
    if isinstance(found, Answer):
        assert crc16(found.raw) == 0 and found.raw in data and found.raw[:3] == b"\x01\x03\x04"
        assert found.registers == struct.unpack_from(">2H", found.raw, 3)
    elif isinstance(found, Refusal):
        assert 0 <= found.code <= 255
    else:
        assert verdict(ASK, bytes(line._heard))
        line.gave_up(now)
        assert not line.in_step(1)


def mbap(data: bytes) -> None:
    """Bytes on a TCP connection."""
    stream = Stream()
    stream.opened()
    stream.sent(ASK, 7)
    for piece in _pieces(data):
        found = stream.received(piece)
        if isinstance(found, Answer):
            assert found.raw in data and found.raw[:2] == b"\x00\x07" and len(found.registers) == 2
            assert not stream.broken
        if stream.broken:
            break
    stream.gave_up()


def lines(data: bytes) -> None:
    """Bytes from gauges that talk by themselves."""
    for name in ("maxbotix-hrxl-wr", "campbell-sr50a-serial"):
        form = FORMS[name].lines
        cutter = form.cutter()
        assert isinstance(cutter, Lines)
        for piece in _pieces(data):
            for line in cutter.feed(piece):
                assert line in data
                _sane(form, form.read(line))
        assert len(cutter.pending) <= 256


def frames(data: bytes) -> None:
    """Bytes from a gauge with binary frames."""
    form = FORMS["dyp-a0x-uart"].lines
    cutter = form.cutter()
    assert isinstance(cutter, Frames)
    for piece in _pieces(data):
        for frame in cutter.feed(piece):
            assert frame in data and frame[0] == 0xFF and sum(frame[:3]) & 0xFF == frame[3]
            _sane(form, form.read(frame))
    assert len(cutter.pending) < 4


def sdi12(data: bytes) -> None:
    """A conversation of lines and silences."""
    session = Session("0", SDI12)
    step = session.begin()
    for line in [*data.split(b"\n"), *[b""] * 12]:
        if isinstance(step, Done | Failed):
            break
        step = session.line(line) if line else session.silence()
    if isinstance(step, Done):
        for name, value in SDI12.read(step.values).items():
            low, high = SDI12.fields[name].sane
            assert value.reason or low <= value.value <= high


def registers(data: bytes) -> None:
    """Any words under any type and order."""
    if len(data) < 5:
        return
    kind, order = sorted(TYPES)[data[0] % len(TYPES)], ORDERS[data[0] // 8 % 4]
    value = decode(Register("x", 3, 0, kind, order, SANE), struct.unpack(">2H", data[1:5]))
    assert (value.value is None) == bool(value.reason)
    if value.value is not None:
        assert math.isfinite(value.value) and 0.0 <= value.value <= 30.0


TARGETS = {"rtu": rtu, "mbap": mbap, "lines": lines, "frames": frames, "sdi12": sdi12, "registers": registers}


def _sane(form, said) -> None:
    if isinstance(said, str):
        return
    for name, (value, reason) in said.items():
        low, high = form.fields[name].sane
        assert (value is None and reason) or low <= value <= high


def _pieces(data: bytes):
    """The first byte says how many bytes come at once."""
    size = data[0] % 32 + 1 if data else 1
    return [data[i : i + size] for i in range(0, len(data), size)]
