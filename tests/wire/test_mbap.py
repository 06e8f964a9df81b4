"""When a Modbus TCP answer may be believed."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.wire.mbap import Stream
from edgeagent.wire.rtu import Refusal, Request

ASK = Request(1, 3, 100, 2)


def frame(pdu: bytes, *, tid=7, unit=1, protocol=0) -> bytes:
    return struct.pack(">HHHB", tid, protocol, len(pdu) + 1, unit) + pdu


def pdu(*words: int, function=3) -> bytes:
    return bytes((function, 2 * len(words))) + struct.pack(f">{len(words)}H", *words)


GOOD = frame(pdu(100, 101))


def asked() -> Stream:
    stream = Stream()
    stream.opened()
    stream.sent(ASK, 7)
    return stream


@pytest.mark.parametrize("heard", [GOOD, frame(pdu(1, 2), tid=6) + GOOD, frame(pdu(1, 2), tid=0) + GOOD])
def test_the_value_is_read(heard):
    assert asked().received(heard).registers == (100, 101)


@given(st.lists(st.integers(0, 40), max_size=6))
def test_slicing_changes_nothing(cuts):
    heard = frame(pdu(9, 9), tid=3) + GOOD
    cuts = sorted(min(c, len(heard)) for c in cuts)
    stream = asked()
    found = [stream.received(heard[a:b]) for a, b in zip([0, *cuts], [*cuts, len(heard)], strict=True)]
    assert [f.registers for f in found if f] == [(100, 101)]


REFUSED = {
    "nothing": (b"", "timeout"),
    "transaction 0": (frame(pdu(1, 2), tid=0), "timeout"),
    "an older transaction": (frame(pdu(1, 2), tid=6), "timeout"),
    "another unit": (frame(pdu(1, 2), unit=2), "wrong-unit"),
    "another function": (frame(pdu(1, 2, function=4)), "wrong-function"),
    "fewer": (frame(pdu(1)), "wrong-count"),
    "more": (frame(pdu(1, 2, 3)), "wrong-count"),
    "a byte count that lies": (frame(b"\x03\x02" + bytes(4)), "wrong-count"),
    "no data": (frame(b"\x03\x00"), "wrong-count"),
}


@pytest.mark.parametrize(("heard", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_no_value_and_the_reason(heard, why):
    stream = asked()
    assert stream.received(heard) is None
    assert stream.gave_up() == why
    assert not stream.broken


def test_a_refusal_is_an_answer():
    assert asked().received(frame(b"\x83\x02")) == Refusal(2)


@pytest.mark.parametrize("heard", [frame(pdu(1, 2), protocol=1), b"HTTP/1.1 400 Bad Request\r\n", bytes(8)])
def test_a_stream_out_of_step_is_closed(heard):
    stream = asked()
    assert stream.received(heard) is None
    assert stream.broken


def test_an_id_that_was_not_used_yet_would_fit_a_question_to_come():
    stream = asked()
    assert stream.received(frame(pdu(1, 2), tid=8)) is None
    assert stream.broken


@pytest.mark.parametrize("behind", [frame(pdu(1, 2), tid=6), frame(pdu(5, 6), tid=7)[:3]])
def test_a_lost_byte_is_not_made_up_by_the_next_frame(behind):
    """The last byte of the answer is missing; what follows begins with a zero that would fit."""
    stream = asked()
    assert stream.received(GOOD[:-1] + behind) is None
    stream.gave_up()
    assert stream.broken


def test_a_new_connection_uses_other_ids():
    stream = asked()
    stream.opened()
    assert abs(stream.transaction - 7) > 1000


def test_half_a_frame_left_behind_is_not_continued():
    stream = asked()
    stream.received(GOOD[:-1])
    stream.gave_up()
    assert stream.broken


def test_nothing_is_believed_twice_or_unasked():
    stream = asked()
    assert stream.received(GOOD)
    assert stream.received(GOOD) is None
    assert stream.dropped["late"] == 1


@given(st.binary(max_size=300))
def test_nothing_is_believed_that_does_not_prove_itself(heard):
    found = asked().received(heard)
    if found is not None and not isinstance(found, Refusal):
        assert found.raw[:2] == b"\x00\x07" and len(found.registers) == 2
