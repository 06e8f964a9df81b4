"""SDI-12 conversations as the specification writes them, and as bad cables do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.wire.registers import Scale, Value
from edgeagent.wire.sdi12 import Ask, Done, Failed, Measurement, Session, Wait, crc

PLAIN = Measurement("M", False, {"level": 0, "temperature": 1}, {"level": Scale(), "temperature": Scale()})
CHECKED = Measurement("M", True, PLAIN.places, PLAIN.fields)


def talk(measurement, *lines, address="0"):
    """What is asked, and what comes of it; None among the lines is silence."""
    session = Session(address, measurement)
    return [session.begin(), *(session.silence() if line is None else session.line(line) for line in lines)]


def asked(steps):
    return [step.data for step in steps if isinstance(step, Ask)]


@pytest.mark.parametrize(("data", "check"), [(b"0+3.14", b"OqZ"), (b"0+3.14+2.718+1.414", b"Ipz")])
def test_crc_of_the_specification(data, check):
    assert crc(data) == check


def test_wait_for_the_service_request_then_ask():
    steps = talk(PLAIN, b"00232", b"0", b"0+1.234-11.5")
    assert asked(steps) == [b"0M!", b"0D0!"]
    assert isinstance(steps[1], Wait) and steps[1].seconds == pytest.approx(23.5)
    assert steps[-1] == Done([1.234, -11.5])


def test_a_lost_service_request_costs_only_the_time():
    assert talk(PLAIN, b"00022", None, b"0+1.234+11")[-1] == Done([1.234, 11.0])


def test_ready_at_once():
    assert asked(talk(PLAIN, b"00002", b"0+1+2")) == [b"0M!", b"0D0!"]


def test_values_over_several_answers():
    steps = talk(PLAIN, b"00003", b"0+1", b"0+2", b"0+.5")
    assert asked(steps) == [b"0M!", b"0D0!", b"0D1!", b"0D2!"] and steps[-1] == Done([1.0, 2.0, 0.5])


def test_a_bad_crc_is_asked_for_again_without_measuring_again():
    good = b"0+1.234+11"
    steps = talk(CHECKED, b"00002", good + b"AAA", good + crc(good))
    assert asked(steps) == [b"0MC!", b"0D0!", b"0D0!"] and steps[-1] == Done([1.234, 11.0])


def test_always_a_bad_crc_is_refused():
    assert talk(CHECKED, b"00002", b"0+1AAA", b"0+1AAA", b"0+1AAA")[-1] == Failed("crc")
    assert talk(CHECKED, b"00002", b"0", b"0", b"0")[-1] == Failed("crc"), "no CRC at all"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ((None, None, None), "silent"),
        ((b"10002",) * 3, "wrong-address"),
        ((b"0xyz",) * 3, "no-match"),
        ((b"00000",), "nothing"),
        ((b"00002", b"0"), "nothing"),
        ((b"00002", b"0+1", b"0"), "too-few"),
        ((b"00002", b"0+1+x", b"0+1+x", b"0+1+x"), "no-match"),
        ((b"00002", b"1+1+2", b"1+1+2", b"1+1+2"), "wrong-address"),
    ],
)
def test_no_values_and_why(lines, why):
    assert talk(PLAIN, *lines)[-1] == Failed(why)


def test_another_sensors_words_while_waiting_are_no_service_request():
    steps = talk(PLAIN, b"00102", b"0+9.9", b"0", b"0+1+2")
    assert isinstance(steps[2], Wait) and steps[-1] == Done([1.0, 2.0])


def test_what_the_values_are():
    assert PLAIN.read([1.5, 9.0]) == {"level": Value(1.5), "temperature": Value(9.0)}
    assert PLAIN.read([1.5])["temperature"] == Value(None, "empty")
    with_error = Measurement("M", False, {"level": 0}, {"level": Scale()}, error=2)
    assert with_error.read([1.5, 6.0, 0.0]) == {"level": Value(1.5)}
    assert with_error.read([1.5, 6.0, 13.0]) == {"level": Value(None, "error-13")}
    assert with_error.read([1.5]) == {"level": Value(None, "no-status")}


@given(st.lists(st.one_of(st.none(), st.binary(max_size=40)), max_size=60))
def test_it_always_comes_to_an_end(lines):
    session = Session("0", CHECKED)
    step = session.begin()
    for line in [*lines, *[None] * 12]:
        if isinstance(step, Done | Failed):
            break
        step = session.silence() if line is None else session.line(line)
    assert isinstance(step, Done | Failed)


@given(st.binary(max_size=60))
def test_what_does_not_prove_itself_is_no_value(noise):
    session = Session("0", CHECKED)
    session.begin()
    session.line(b"00001")
    step = session.line(b"0" + noise)
    if isinstance(step, Done):
        assert crc(b"0" + noise[:-3]) == noise[-3:]
