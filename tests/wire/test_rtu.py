"""When an RTU answer may be believed: tables of frames, and rules that hold for every noise."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.wire.rtu import Answer, Line, Refusal, Request, crc16, encode, find, gap_s, verdict, wire_s

ASK = Request(1, 3, 100, 2)


def framed(body: bytes) -> bytes:
    return body + crc16(body).to_bytes(2, "little")


def answer(*words: int, unit=1, function=3) -> bytes:
    data = struct.pack(f">{len(words)}H", *words)
    return framed(bytes((unit, function, len(data))) + data)


GOOD = answer(100, 101)
REFUSAL = framed(bytes((1, 0x83, 2)))


def test_vectors_of_others():
    # printed in maker's manuals or recomputed with two independent programs
    assert encode(Request(1, 3, 2, 1)) == bytes.fromhex("010300020001 25ca")
    assert framed(bytes.fromhex("010302000 1".replace(" ", ""))) == bytes.fromhex("0103020001 7984")
    assert framed(bytes.fromhex("030479190001")) == bytes.fromhex("030479190001 f8b3")
    assert crc16(bytes.fromhex("0103020001 7984")) == 0


@pytest.mark.parametrize("bad", [Request(1, 6, 0, 1), Request(1, 16, 0, 1), Request(1, 3, 0, 0), Request(1, 3, 0, 126)])
def test_what_is_not_a_read_cannot_be_written_down(bad):
    with pytest.raises(ValueError, match="Request"):
        encode(bad)


READ = {
    "plain": GOOD,
    "leading zero": b"\x00" + GOOD,
    "idle ones": b"\xff\xff" + GOOD,
    "echo": encode(ASK) + GOOD,
    "noise with our header": bytes((1, 3, 4)) + GOOD,
    "noise with a refusal's header": bytes((1, 0x83)) + GOOD,
    "another gauge's chatter": b"R1234\r" + GOOD,
    "another unit's answer": answer(7, 8, unit=2) + GOOD,
    "noise behind": GOOD + b"\x00\xff",
}


@pytest.mark.parametrize("heard", READ.values(), ids=READ.keys())
def test_the_value_is_read(heard):
    found, end = find(ASK, heard)
    assert isinstance(found, Answer)
    assert found.registers == (100, 101) and found.raw == GOOD
    assert heard[:end].endswith(GOOD)


REFUSED = {
    "silence": (b"", "timeout"),
    "only zeros": (b"\x00\x00", "timeout"),
    "only the echo": (encode(ASK), "echo"),
    "half an answer": (GOOD[:-3], "crc"),
    "damaged": (GOOD[:-1] + b"\x00", "crc"),
    "wrong unit": (answer(1, 2, unit=2), "wrong-unit"),
    "wrong function": (answer(1, 2, function=4), "wrong-function"),
    "fewer": (answer(1), "wrong-count"),
    "more": (answer(1, 2, 3), "wrong-count"),
    "none": (answer(), "wrong-count"),
    "odd": (framed(bytes((1, 3, 3, 0, 1, 2))), "wrong-count"),
    "another's refusal": (framed(bytes((2, 0x83, 2))), "wrong-unit"),
    "babble": (b"\xa5\x5a" * 40, "noise"),
}


@pytest.mark.parametrize(("heard", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_no_value_and_the_reason(heard, why):
    assert find(ASK, heard)[0] is None
    assert verdict(ASK, heard) == why


def test_a_refusal_is_an_answer():
    assert find(ASK, b"\x00" + REFUSAL)[0] == Refusal(2)


def lookalikes():
    """Questions whose echo, cut after 7 bytes, is a whole answer with a correct CRC."""
    for unit in range(1, 248):
        for low in range(256):
            ask = Request(unit, 3, 0x0200 | low, 1)
            if crc16(encode(ask)[:7]) == 0:
                yield ask


def test_an_echo_that_passes_for_an_answer():
    found = list(lookalikes())
    assert found, "they exist"
    for ask in found:
        echo = encode(ask)
        for heard in (echo, echo[:7]):
            assert find(ask, heard)[0] is None
        assert find(ask, echo + answer(7, unit=ask.unit))[0].registers == (7,)


@given(st.binary(max_size=60), st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=20), st.integers(1, 247))
def test_any_noise_before_the_answer(noise, words, unit):
    ask = Request(unit, 3, 0, len(words))
    found, _ = find(ask, noise + answer(*words, unit=unit))
    assert isinstance(found, (Answer, Refusal))
    if find(ask, noise)[0] is None:
        assert found.registers == tuple(words)


@given(st.binary(max_size=300), st.integers(1, 247), st.integers(1, 125))
def test_nothing_is_believed_that_does_not_prove_itself(heard, unit, count):
    found, end = find(Request(unit, 3, 0, count), heard)
    if isinstance(found, Answer):
        assert crc16(found.raw) == 0 and found.raw in heard[:end]
        assert found.raw[:3] == bytes((unit, 3, 2 * count)) and len(found.registers) == count


@given(st.data())
def test_slicing_changes_nothing(data):
    heard = data.draw(st.binary(max_size=20)) + GOOD
    cuts = sorted(data.draw(st.lists(st.integers(0, len(heard)), max_size=6)))
    line = Line(gap_s=0.02, late_s=3)
    line.sent(ASK, 0.0)
    found = [line.received(heard[a:b], 1.0) for a, b in zip([0, *cuts], [*cuts, len(heard)], strict=True)]
    assert [f for f in found if f] == [find(ASK, heard)[0]]


class TestLine:
    def test_a_question_waits_for_silence(self):
        line = Line(gap_s=0.02, late_s=3)
        line.received(b"\x00", 5.0)
        assert line.ready_at(1) == pytest.approx(5.02)

    def test_a_unit_in_debt_rests_and_the_others_do_not(self):
        line = Line(gap_s=0.02, late_s=3)
        line.sent(ASK, 0.0)
        assert line.gave_up(10.0) == "timeout"
        assert line.ready_at(1) == pytest.approx(13.0)
        assert line.ready_at(2) == pytest.approx(10.1)

    def test_a_late_answer_meets_no_question(self):
        line = Line(gap_s=0.02, late_s=3)
        line.sent(ASK, 0.0)
        line.gave_up(10.0)
        assert line.received(GOOD, 11.5) is None
        assert line.dropped["late"] == 1
        assert line.ready_at(1) == pytest.approx(11.5 + 3), "the rest begins anew"
        line.sent(Request(1, 3, 200, 2), 14.9)
        assert line.received(answer(200, 201), 15.0).registers == (200, 201)

    def test_who_is_very_late_is_waited_for_longer(self):
        line = Line(gap_s=0.02, late_s=1)
        line.sent(ASK, 0.0)
        line.gave_up(10.0)
        line.received(GOOD, 14.0)
        assert line.latest_s == pytest.approx(4)
        line.sent(ASK, 0.0)
        line.gave_up(30.0)
        assert line.ready_at(1) == pytest.approx(38)

    def test_a_late_answer_inside_another_units_exchange(self):
        line = Line(gap_s=0.02, late_s=3)
        line.sent(ASK, 0.0)
        line.gave_up(10.0)
        line.sent(Request(2, 3, 100, 2), 10.4)
        assert line.received(GOOD + answer(7, 8, unit=2), 10.5).registers == (7, 8)
        assert line.dropped["late"] == 1

    def test_two_different_answers_are_none(self):
        line = Line(gap_s=0.02, late_s=3)
        line.sent(ASK, 0.0)
        assert line.received(GOOD, 1.0) is not None
        line.received(answer(200, 201), 1.01)
        assert line.contradicted
        assert line.gave_up(1.1) == "two-answers"

    def test_two_different_answers_in_one_breath(self):
        line = Line(gap_s=0.02, late_s=3)
        line.sent(ASK, 0.0)
        line.received(answer(200, 201) + GOOD, 1.0)
        assert line.contradicted

    def test_the_same_answer_twice_is_one(self):
        line = Line(gap_s=0.02, late_s=3)
        line.sent(ASK, 0.0)
        assert line.received(GOOD, 1.0).registers == (100, 101)
        assert line.received(GOOD, 1.01) is None
        assert not line.contradicted and line.dropped["duplicate"] == 1

    def test_an_answer_that_comes_too_soon_is_watched_for_longer(self):
        line = Line(gap_s=0.02, late_s=3)
        for at in (10.0, 20.0, 30.0):
            line.sent(ASK, at)
            line.received(GOOD, at + 0.08)
            assert line.quiet_at() == pytest.approx(at + 0.1), "as always: the gap is enough"
            line.agreed(1)
        line.sent(Request(1, 3, 200, 2), 40.0)
        line.received(answer(5, 6), 40.01)  # of an older question, from somewhere
        assert line.quiet_at() == pytest.approx(40.1)
        line.received(answer(200, 201), 40.08)
        assert line.contradicted

    def test_a_unit_with_slow_answers_is_watched_for_so_long(self):
        line = Line(gap_s=0.02, late_s=3)
        for at, answer_s in ((10.0, 0.4), (20.0, 0.05)):
            line.sent(ASK, at)
            line.received(GOOD, at + answer_s)
            assert line.quiet_at() == pytest.approx(at + 0.42)
            line.agreed(1)

    def test_an_answer_to_another_question_once_more_makes_room_for_the_true_one(self):
        line = Line(gap_s=0.02, late_s=3)
        line.sent(ASK, 10.0)
        line.received(GOOD, 10.02)
        line.agreed(1)
        line.sent(Request(1, 3, 200, 2), 10.1)
        assert line.received(GOOD, 10.11).registers == (100, 101)
        assert line.doubt == "repeat", "whoever asks must ask again"
        line.received(answer(200, 201), 10.12)
        assert line.answer.registers == (200, 201) and not line.doubt and not line.contradicted
        line.received(GOOD, 10.13)
        assert line.answer.registers == (200, 201) and not line.contradicted, "and behind it it is no second opinion"
        assert line.dropped["duplicate"] == 2

    @pytest.mark.parametrize(("address", "at"), [(100, 10.1), (200, 20.0)])
    def test_the_same_words_are_no_repeat(self, address, at):
        """For the same register they are news, and after some seconds nothing is on its way any more."""
        line = Line(gap_s=0.02, late_s=3)
        line.sent(ASK, 10.0)
        line.received(GOOD, 10.02)
        line.agreed(1)
        line.sent(Request(1, 3, address, 2), at)
        line.received(GOOD, at + 0.02)
        assert line.answer is not None and not line.doubt

    def test_step_is_earned_and_lost(self):
        line = Line(gap_s=0.02, late_s=3)
        line.opened(0.0)
        assert not line.in_step(1)
        line.agreed(1)
        assert line.in_step(1)
        line.sent(ASK, 0.0)
        line.gave_up(1.0)
        assert not line.in_step(1)
        line.agreed(1)
        line.opened(2.0)
        assert not line.in_step(1)

    def test_an_open_question_dies_with_the_port(self):
        line = Line(gap_s=0.02, late_s=3)
        line.sent(ASK, 0.0)
        line.opened(1.0)
        assert line.received(GOOD, 1.1) is None

    @settings(max_examples=20)
    @given(st.lists(st.binary(min_size=1, max_size=200), max_size=40))
    def test_memory_is_bounded_and_every_lost_byte_counted(self, chunks):
        line = Line(gap_s=0.02, late_s=3)
        for chunk in chunks:
            line.received(chunk, 1.0)
        total = sum(map(len, chunks))
        assert len(line._heard) == min(total, 1024)
        assert line.dropped["noise"] == max(total - 1024, 0)


def test_times_on_the_wire():
    assert gap_s(9600) == pytest.approx(0.02)
    assert gap_s(1200, "7E1") == pytest.approx(3.5 * 10 / 1200)
    assert wire_s(Request(1, 3, 0, 2), 9600) == pytest.approx(17 * 10 / 9600)
