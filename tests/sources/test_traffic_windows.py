"""Windows add up whatever becomes of the workers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.reading import Kind, Quality, ReadingClass, Unit
from edgeagent.sources.camera_messages import Hello, LineTally, Tally
from edgeagent.sources.traffic_windows import Windows
from tests.fakes import FakeClock

HELLO = Hello(model="e8af074932d4", classes=("car", "bus"))


def tally(forward=0, backward=0, *, watched=0.0, looks=0, touched=0, bus=0, line="a", **flags):
    counts = {"forward": {"car": forward, "bus": bus}, "backward": {"car": backward, "bus": 0}}
    lines = {line: LineTally(counts=counts, touched=touched)}
    return Tally(looks=looks, watched_s=watched, lines=lines, flagged_s=flags)


@pytest.fixture
def clock():
    return FakeClock()


def windows(clock, lines=("a",), seconds=60):
    return Windows("cam", lines, seconds * 1000, clock.now())


def values(reading):
    return {name: q.value for name, q in reading.quantities.items()}


def test_a_window_is_what_was_counted_in_it(clock):
    made = windows(clock)
    made.greet(HELLO)
    made.take(tally(2, 1, watched=30, looks=300, touched=30))
    assert made.due(clock.now()) == []
    assert made.wait_s(clock.now()) == 60
    clock.advance(60.5)
    made.take(tally(5, 1, watched=60, looks=600, touched=60, bus=1))
    assert made.wait_s(clock.now()) == 0
    (first,) = made.due(clock.now())
    assert (first.source, first.entity, first.kind, first.cls) == ("cam", "cam", Kind.TRAFFIC, ReadingClass.LIVE)
    assert values(first) == {
        "count": 7,
        "count_forward": 6,
        "count_forward_car": 5,
        "count_forward_bus": 1,
        "count_backward": 1,
        "count_backward_car": 1,
        "count_backward_bus": 0,
        "count_forward_small": 5,
        "count_forward_large": 1,
        "count_backward_small": 1,
        "count_backward_large": 0,
        "occupancy": 0.1,
        "coverage": 1.0,
        "fps": 10.0,
        "dropped": 0.0,
    }
    assert first.quantities["fps"].unit is Unit.HERTZ
    assert all(q.quality is Quality.GOOD for q in first.quantities.values())
    assert first.facts == {"line": "a", "model": "e8af074932d4"}
    assert first.span_ms == 60_000
    assert first.at.wall_ms == FakeClock().wall_ms + 60_000, "the window's end, not the moment somebody looked"
    clock.advance(60)
    made.take(tally(6, 1, watched=120, looks=1200, touched=60, bus=1))
    (second,) = made.due(clock.now())
    assert values(second)["count"] == 1
    assert second.at.mono_ms - first.at.mono_ms == 60_000


def test_nobody_watched_is_missing_never_zero(clock):
    made = windows(clock)
    clock.advance(60)
    (reading,) = made.due(clock.now())
    assert values(reading)["coverage"] == 0
    assert all(q.value is None and q.quality is Quality.MISSING for n, q in reading.quantities.items() if "count" in n)
    made.greet(HELLO)
    clock.advance(60)
    (reading,) = made.due(clock.now())
    assert reading.quantities["count_forward_bus"].quality is Quality.MISSING, "the classes are known by now"


def test_watched_and_empty_is_zero(clock):
    made = windows(clock)
    made.greet(HELLO)
    made.take(tally(watched=59, looks=590))
    clock.advance(60)
    (reading,) = made.due(clock.now())
    assert values(reading)["count"] == 0 and reading.quantities["count"].quality is Quality.GOOD


def test_a_dead_worker_leaves_what_it_told(clock):
    made = windows(clock)
    made.greet(HELLO)
    made.take(tally(4, 2, watched=20, looks=200))
    made.greet(HELLO)  # the next worker begins at zero
    made.take(tally(1, 0, watched=20, looks=200))
    clock.advance(60)
    (reading,) = made.due(clock.now())
    assert values(reading)["count"] == 7
    assert values(reading)["coverage"] == pytest.approx(0.667, abs=1e-3)
    assert reading.quantities["count"].quality is Quality.SUSPECT, "a third of the minute is missing"


def test_a_doubtful_scene_is_told(clock):
    made = windows(clock)
    made.greet(HELLO)
    made.take(tally(3, watched=60, looks=600, dark=30.0, blurred=2.0))
    clock.advance(60)
    (reading,) = made.due(clock.now())
    assert reading.facts["scene"] == "dark"
    assert reading.quantities["count"].quality is Quality.SUSPECT


def test_a_long_silence_is_one_honest_window(clock):
    made = windows(clock)
    made.greet(HELLO)
    made.take(tally(3, watched=30, looks=300))
    clock.advance(601)
    (reading,) = made.due(clock.now())
    assert reading.span_ms == 600_000
    assert values(reading)["coverage"] == 0.05
    assert made.wait_s(clock.now()) == 59


def test_the_last_window_may_be_short(clock):
    made = windows(clock)
    assert made.rest(clock.now()) == []
    made.greet(HELLO)
    made.take(tally(1, watched=9, looks=90))
    clock.advance(10)
    (reading,) = made.rest(clock.now())
    assert reading.span_ms == 10_000 and values(reading)["count"] == 1 and values(reading)["coverage"] == 0.9
    assert made.rest(clock.now()) == []


def test_further_lines_are_things_of_their_own(clock):
    made = windows(clock, lines=("a", "b"))
    made.greet(HELLO)
    made.take(tally(2, watched=60, looks=10, line="b"))
    clock.advance(60)
    first, second = made.due(clock.now())
    assert (first.entity, second.entity) == ("cam", "cam:b")
    assert (values(first)["count"], values(second)["count"]) == (0, 2)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0.1, 70), st.booleans()), max_size=40))
def test_nothing_counted_is_ever_lost_or_doubled(steps):
    clock = FakeClock()
    made = windows(clock)
    made.greet(HELLO)
    counted = total = looks = 0
    readings = []
    for more, seconds, dies in steps:
        clock.advance(seconds)
        if dies:
            made.greet(HELLO)
            total = looks = 0
        total += more
        counted += more
        looks += 1
        made.take(tally(total, looks=looks, watched=float(looks)))
        readings += made.due(clock.now())
    readings += made.rest(clock.now())
    assert sum(values(r)["count"] or 0 for r in readings) == counted
    ends = [r.at.mono_ms for r in readings]
    assert [end - r.span_ms for end, r in zip(ends[1:], readings[1:], strict=True)] == ends[:-1], "no gap, no overlap"
