"""Whose turn it is on a shared bus, told the time."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.sources.bus_schedule import Schedule


def played(gauges, seconds, *, cost_s=0.5, answer_s=0.05):
    """Play a bus: gauges are (every_s, alive); returns per gauge the moments of its polls."""
    schedule = Schedule(0.0)
    for every_s, _ in gauges:
        schedule.add(every_s, cost_s)
    polls = [[] for _ in gauges]
    now = 0.0
    while now < seconds:
        chosen, when = schedule.choose(now)
        if chosen is None:
            assert when > now, "the bus would spin"
            now = when
            continue
        polls[chosen].append(now)
        alive = gauges[chosen][1](now)
        now += answer_s if alive else cost_s
        if alive:
            schedule.answered(chosen, now)
        else:
            schedule.failed(chosen, now, 3.0)
    return polls


def always(_):
    return True


def never(_):
    return False


def test_every_gauge_keeps_its_own_period():
    slow, fast = played([(10, always), (2, always)], 100)
    assert len(slow) == 10 and len(fast) == 50
    assert fast[:3] == pytest.approx([0.05, 2.0, 4.0], abs=0.11)


def test_a_dead_gauge_costs_the_others_nothing_but_its_first_poll():
    dead, one, two = played([(10, never), (10, always), (10, always)], 600)
    assert len(one) == len(two) == 60
    assert max(t % 10 for t in one[1:]) < 0.2, "no healthy poll waits for a probe"
    assert len(dead) < 20


def test_probes_fit_into_the_pauses():
    dead, healthy = played([(1.3, never), (1.0, always)], 300)
    assert max(t % 1.0 for t in healthy[5:]) < 0.2, "a probe of 0.5 s never stands in the way"
    assert len(dead) > 20


def test_a_dead_gauge_is_asked_even_when_there_is_no_pause():
    dead, busy = played([(5, never), (0.3, always)], 300)
    assert len(dead) >= 5
    assert max(b - a for a, b in itertools.pairwise(busy)) < 1.0


def test_who_comes_back_is_found_and_keeps_its_period_again():
    back, _ = played([(2, lambda t: t > 100), (2, always)], 200)
    later = [t for t in back if t > 120]
    assert len(later) >= 39


def test_one_failure_is_repeated_soon():
    schedule = Schedule(0.0)
    schedule.add(60.0, 0.5)
    schedule.choose(0.0)
    assert schedule.failed(0, 0.5, 3.0) == 1
    assert schedule.choose(1.0) == (None, 3.5)
    assert schedule.choose(3.5) == (0, 3.5)
    schedule.failed(0, 4.0, 3.0)
    assert schedule.choose(5.0) == (None, 64.0)


def test_an_opened_port_gives_everybody_a_new_chance():
    schedule = Schedule(0.0)
    schedule.add(10.0, 0.5)
    schedule.add(10.0, 0.5)
    for at in (1.0, 20.0, 40.0):
        schedule.failed(0, at, 3.0)
    schedule.answered(1, 41.0)
    schedule.reopened(42.0)
    assert [turn.due for turn in schedule.turns] == [42.0, 50.0]
    assert schedule.choose(42.0) == (0, 42.0)


def test_missed_polls_are_skipped_not_made_up_for():
    schedule = Schedule(0.0)
    schedule.add(1.0, 0.5)
    schedule.answered(0, 7.3)
    assert schedule.choose(7.3) == (None, 8.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.2, 30), st.integers(0, 3)), min_size=1, max_size=6))
def test_nobody_starves(gauges):
    kinds = [always, never, lambda t: int(t) % 7 < 4, lambda t: t > 60]
    polls = played([(every, kinds[kind]) for every, kind in gauges], 200)
    assert all(polls), "everybody is asked"
    for (every, kind), mine in zip(gauges, polls, strict=True):
        if kind != 0:
            assert len(mine) >= 2 or every > 20
