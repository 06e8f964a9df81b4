"""Codes as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import ConfigError
from edgeagent.fleet import claim_code

PIN = claim_code.pin_of(b"an authority")


def test_what_is_drawn_can_be_typed():
    for pin in ("", PIN):
        for server in ("", "https://enrol.city.example:8443"):
            code = claim_code.make(pin, server)
            text = str(code)
            assert claim_code.parse(text) == code
            assert claim_code.parse(f"  {text} ") == code
            if not server:
                assert len(text.replace("-", "")) == (28 if pin else 12)
                assert claim_code.parse(text.lower().replace("-", " ").replace("0", "o").replace("1", "l")) == code


def test_the_pin_is_of_the_whole_certificate():
    assert len(PIN) == 16
    assert claim_code.pin_of(b"another authority") != PIN


@given(st.randoms(use_true_random=False))
def test_a_slip_of_the_finger_is_found(random):
    """One sign wrong or two swapped: found in all but one of 32, as a check sign can."""
    found = 0
    for _ in range(64):
        text = str(claim_code.make(PIN)).replace("-", "")
        at = random.randrange(27)
        slip = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        if slip == text:
            slip = text[:at] + ("7" if text[at] != "7" else "8") + text[at + 1 :]
        try:
            claim_code.parse(slip)
        except ConfigError:
            found += 1
    assert found >= 48


@given(st.text(max_size=80))
def test_rubbish_is_refused_and_nothing_else(text):
    said = ""
    try:
        claim_code.parse(text)
    except ConfigError as error:
        said = error.code
    assert said in ("", "claim.mistyped")


@pytest.mark.parametrize("text", ["", "-", "K7QF", "#", "nowhere#{code}", "宮川橋", "U" * 12])
def test_what_is_no_code(text):
    with pytest.raises(ConfigError, match="mistyped"):
        claim_code.parse(text.format(code=claim_code.make()))


def test_codes_differ():
    assert len({claim_code.make().secret for _ in range(200)}) == 200
