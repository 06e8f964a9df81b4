"""The comparison itself: it must see each kind of harm."""

import msgspec
import pytest

from tests.fakes import water
from tests.faults.verdict import Arrived, compare

ACCEPTED = [msgspec.structs.replace(water(n / 10, source="a"), sequence=n) for n in (1, 2, 3)]
THING = "WaterObserved:a"
WELL = [Arrived(THING, n, n / 10) for n in (1, 2, 3)]


def test_all_is_well():
    verdict = compare(ACCEPTED, [WELL[2], *WELL], {THING: 3})
    assert verdict.good and verdict.repeats == 1


@pytest.mark.parametrize(
    ("arrived", "current", "harm"),
    [
        (WELL[:1] + WELL[2:], 3, "missing"),
        ([*WELL, Arrived(THING, 3, 9.9)], 3, "wrong"),
        ([*WELL, Arrived(THING, 4, 0.4)], 3, "unknown"),
        (WELL, 2, "stale"),
    ],
)
def test_each_harm_is_seen(arrived, current, harm):
    verdict = compare(ACCEPTED, arrived, {THING: current})
    assert not verdict.good and getattr(verdict, harm)


def test_what_was_about_to_be_accepted_may_have_arrived_once():
    perhaps = [water(0.4, source="a")]
    four = [*WELL, Arrived(THING, 4, 0.4)]
    assert compare(ACCEPTED, WELL, {THING: 3}, perhaps).good
    assert compare(ACCEPTED, [*four, four[3]], {THING: 4}, perhaps).good, "sent twice under one number"
    assert not compare(ACCEPTED, four, {THING: 3}, perhaps).good, "then it is the newest"
    assert not compare(ACCEPTED, [*four, Arrived(THING, 5, 0.4)], {THING: 5}, perhaps).good, "two numbers"
    assert not compare(ACCEPTED, [*WELL, Arrived(THING, 4, 0.5)], {THING: 4}, perhaps).good


def test_a_number_given_twice_and_a_run_without_readings_are_no_success():
    assert not compare([ACCEPTED[0], ACCEPTED[0]], WELL[:1], {THING: 1}).good
    assert not compare([], [], {}).good
