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


def test_a_number_given_twice_and_a_run_without_readings_are_no_success():
    assert not compare([ACCEPTED[0], ACCEPTED[0]], WELL[:1], {THING: 1}).good
    assert not compare([], [], {}).good
