"""The verdict must be able to say no."""

import pytest

from edgeagent.demo.verdict import Delivered, Held, judge, wrong_values

HELD = [Held("a", 10_000, 1.000), Held("a", 11_000, 1.100), Held("b", 10_000, 5.0)]


def got(level, *, ms=10_200, entity="a", sequence=1):
    return Delivered(f"urn:{entity}", entity, sequence, ms, level)


@pytest.mark.parametrize(
    ("delivered", "wrong"),
    [
        (got(1.0), 0),
        (got(1.0009), 0),
        (got(1.05, ms=11_100), 0),  # a median between two answers
        (got(1.2), 1),
        (got(5.0), 1),  # the other gauge's value
        (got(1.0, ms=20_000), 1),  # nobody held anything then
        (got(1.1, ms=10_200), 1),  # a value from the future
        (got(1.0, entity="c"), 1),  # no such gauge
    ],
)
def test_a_level_nobody_held_is_wrong(delivered, wrong):
    assert wrong_values([delivered], HELD, 0.001) == (wrong, 1)


def test_what_carries_no_level_is_not_checked():
    assert wrong_values([got(None)], HELD, 0.001) == (0, 0)


def verdict_of(delivered, *, accepted, waiting=0, regressions=0):
    return judge(
        accepted=accepted,
        waiting=waiting,
        delivered=delivered,
        held=HELD,
        tolerance_m=0.001,
        regressions=regressions,
        vehicles=(3, 4, 1),
        tags=True,
    )


def test_all_is_well():
    summary = verdict_of([got(1.0, sequence=1), got(1.0, sequence=2)], accepted=2)
    assert summary.ok and (summary.lost, summary.duplicates, summary.acknowledged) == (0, 0, 2)


def test_lost_waiting_duplicate_and_regression():
    two = [got(1.0, sequence=1), got(1.0, sequence=1)]
    summary = verdict_of(two, accepted=4, waiting=1)
    assert (summary.lost, summary.waiting, summary.duplicates, summary.acknowledged) == (2, 1, 1, 1)
    assert not summary.ok
    assert not verdict_of(two[:1], accepted=1, regressions=1).ok
    assert not verdict_of([got(9.9)], accepted=1).ok
    assert not verdict_of([], accepted=0).ok, "a run that checked nothing proves nothing"
