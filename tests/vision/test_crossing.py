"""Lines: what counts, and above all what does not."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.errors import ConfigError
from edgeagent.vision.card import read_card
from edgeagent.vision.counting import LOOK_COVERS_S, Counter
from edgeagent.vision.crossing import Gate, Line
from edgeagent.vision.detections import Detections
from edgeagent.vision.tracking import Track

ACROSS = Line("road", (0, 200), (400, 200))


def track(number, x, bottom, at, looks, *, width=40, height=30, cls=0):
    box = np.asarray([x - width / 2, bottom - height, x + width / 2, bottom], np.float32)
    one = Track(number, box, at, at, np.zeros(2, np.float32), looks=looks)
    one.votes[cls] = 1.0
    return one


def drive(gate, path, *, number=1, height=30, begin=1):
    """Feed (second, x, bottom); returns (direction, track) of what was counted."""
    counted = []
    for looks, (at, x, bottom) in enumerate(path, begin):
        counted += [(c.direction, c.track) for c in gate.look([track(number, x, bottom, at, looks, height=height)], at)]
    return counted + [(c.direction, c.track) for c in gate.look([], path[-1][0] + 1.0)]


@pytest.mark.parametrize(
    ("start", "end", "forward", "point", "sign"),
    [
        ((0, 200), (400, 200), "down", (10, 300), 1),
        ((0, 200), (400, 200), "up", (10, 300), -1),
        ((400, 200), (0, 200), "down", (10, 300), 1),  # drawn from right to left: the same road
        ((100, 0), (100, 300), "right", (200, 10), 1),
        ((100, 300), (100, 0), "left", (200, 10), -1),
        ((0, 100), (200, 300), "down", (0, 300), 1),
    ],
)
def test_forward_is_what_the_installer_sees(start, end, forward, point, sign):
    assert math.copysign(1, Line.towards("a", start, end, forward).side_px(*point)) == sign


@pytest.mark.parametrize(
    ("start", "end", "forward", "code"),
    [((5, 5), (5, 6), "down", "camera.line-short"), ((0, 9), (300, 9), "left", "camera.line-forward")],
)
def test_lines_that_count_nothing(start, end, forward, code):
    with pytest.raises(ConfigError) as caught:
        Line.towards("a", start, end, forward)
    assert caught.value.code == code


@settings(max_examples=80, deadline=None)
@given(
    fps=st.sampled_from([5, 10, 25]),
    speed=st.floats(30, 400),
    x=st.floats(20, 380),
    down=st.booleans(),
    phase=st.floats(0, 1),
)
def test_whoever_drives_across_counts_once(fps, speed, x, down, phase):
    steps = [(i + phase) / fps for i in range(int(240 / speed * fps) + 4)]
    path = [(t, x, 80 + speed * t if down else 320 - speed * t) for t in steps]
    assert drive(Gate(ACROSS), path) == [("forward" if down else "backward", 1)]


@settings(max_examples=80, deadline=None)
@given(at=st.floats(-1.0, 1.0), tremble=st.lists(st.floats(-1.5, 1.5), min_size=30, max_size=60))
def test_whoever_stands_on_the_line_never_counts(at, tremble):
    path = [(i / 25, 100, 200 + at + t) for i, t in enumerate(tremble)]
    assert drive(Gate(ACROSS), path, height=60) == []


def test_a_near_vehicles_box_may_tremble_more():
    path = [(i / 25, 100, 200 + (6 if i % 2 else -6)) for i in range(50)]
    assert drive(Gate(ACROSS), path, height=200) == []


def test_whoever_stops_on_the_line_and_trembles_has_not_crossed():
    arriving = [(i / 25, 100, 100 + 4 * i) for i in range(25)]
    standing = [(1 + i / 25, 100, 196 + (8 if i // 10 % 2 else 0)) for i in range(50)]
    assert drive(Gate(ACROSS), arriving + standing, height=100) == []


def test_a_box_that_swallows_its_shadow_for_a_moment_has_not_crossed():
    arriving = [(i / 25, 100, 100 + 3 * i) for i in range(25)]
    jump = [(1 + i / 25, 100, 230 if 5 <= i < 8 else 175) for i in range(40)]
    assert drive(Gate(ACROSS), arriving + jump) == []


def test_a_box_born_on_the_line_that_shifts_a_little_has_not_crossed():
    path = [(i / 25, 100, 195 if i < 10 else 205) for i in range(40)]
    assert drive(Gate(ACROSS), path) == []


def test_coming_back_counts_the_other_way_and_only_once_each():
    there = [(i / 10, 100, 150 + 10 * i) for i in range(11)]
    back = [(1.1 + i / 10, 100, 250 - 10 * i) for i in range(11)]
    again = [(2.2 + i / 10, 100, 150 + 10 * i) for i in range(11)]
    assert drive(Gate(ACROSS), there + back + again) == [("forward", 1), ("backward", 1)]


def test_beside_the_line_is_not_across_it():
    path = [(i / 10, 450, 150 + 10 * i) for i in range(11)]
    assert drive(Gate(ACROSS), path) == []


def test_a_box_that_flickers_twice_counts_nothing():
    assert drive(Gate(ACROSS), [(0.0, 100, 180), (0.1, 100, 220)]) == []


def test_what_was_crossed_early_counts_as_soon_as_it_is_believed():
    gate = Gate(ACROSS)
    assert drive(gate, [(0.0, 100, 180), (0.2, 100, 220)]) == []
    assert drive(gate, [(0.4, 100, 260)], begin=3) == [("forward", 1)]


def test_a_second_box_on_the_same_vehicle_is_its_twin():
    gate, counted = Gate(ACROSS), []
    for i in range(11):
        pair = [track(1, 100, 150 + 10 * i, i / 10, i + 1), track(2, 104, 152 + 10 * i, i / 10, i + 1, cls=5)]
        counted += gate.look(pair, i / 10)
    assert [c.track for c in counted] == [1]


@pytest.mark.parametrize(("apart_s", "vehicles"), [(0.1, 1), (1.0, 2)])
def test_a_follower_is_no_twin(apart_s, vehicles):
    gate = Gate(ACROSS)
    path = [(i / 25, 100, 150 + 4 * i) for i in range(26)]
    later = [(t + apart_s, x, y) for t, x, y in path]
    both = sorted([(t, x, y, 1) for t, x, y in path] + [(t, x, y, 2) for t, x, y in later])
    counted = []
    for i, (t, x, y, number) in enumerate(both):
        counted += gate.look([track(number, x, y, t, i + 5)], t)
    assert len(counted) == vehicles


def test_the_next_lane_is_no_twin():
    gate, counted = Gate(ACROSS), []
    for i in range(11):
        counted += gate.look([track(n, 60 * n, 150 + 10 * i, i / 10, i + 1) for n in (1, 2, 3)], i / 10)
    assert len(counted) == 3


def test_a_box_that_jumps_back_onto_the_line_does_not_count_backward():
    # Seen on a real queue: a new track begins just below the line, shrinks above it, and grows again.
    path = [(0.0, 100, 203.0), (0.04, 100, 203.5), (0.08, 100, 204), (0.12, 100, 197.5), (0.16, 100, 203)]
    assert drive(Gate(ACROSS), path) == []


@pytest.mark.parametrize(
    ("box", "touches"),
    [
        ((100, 150, 140, 210), True),
        ((100, 100, 140, 190), False),  # above
        ((100, 190, 140, 290), False),  # only its roof is before the line
        ((450, 150, 490, 210), False),  # beside
    ],
)
def test_who_stands_on_the_line(box, touches):
    assert Gate(ACROSS).touched(np.asarray([box], np.float32)) is touches


def test_an_oblique_line_can_be_touched():
    gate = Gate(Line("a", (0, 0), (400, 400)))
    assert gate.touched(np.asarray([[180, 150, 220, 230]], np.float32))
    assert not gate.touched(np.asarray([[280, 50, 320, 130]], np.float32))


def card():
    return read_card(
        {
            "model": {"name": "t", "sha256": ""},
            "input": {"width": 416, "height": 256},
            "output": {"decoder": "boxes-scores"},
            "classes": {"0": "car", "1": "bus"},
            "threshold": {"score": 0.4},
        },
        file="t.toml",
    )


def one(x, bottom, cls=0):
    box = np.asarray([[x - 20, bottom - 30, x + 20, bottom]], np.float32)
    return Detections(box, np.asarray([0.9], np.float32), np.asarray([cls], np.intp))


def test_a_counter_keeps_totals_by_line_direction_and_class():
    second = Line("second", (0, 260), (400, 260), -1)
    counter = Counter(card(), [ACROSS, second])
    for i in range(16):
        counter.look(one(100, 150 + 10 * i, cls=1), i / 10)
    assert counter.totals["road"].counts == {"forward": {"car": 0, "bus": 1}, "backward": {"car": 0, "bus": 0}}
    assert counter.totals["second"].counts["backward"] == {"car": 0, "bus": 1}
    assert counter.totals["road"].touched == 2  # the lower half, 135 + 10i to 150 + 10i, meets 200
    assert counter.looks == 16
    assert counter.watched_s == pytest.approx(1.5)


def test_what_crosses_in_the_last_picture_of_a_film_counts():
    counter = Counter(card(), [ACROSS])
    seen = [counter.look(one(100, 150 + 12 * i), i / 10) for i in range(6)]
    assert not any(seen)
    assert [c.direction for c in counter.finish()] == ["forward"]
    assert counter.totals["road"].counts["forward"]["car"] == 1
    assert Counter(card(), [ACROSS]).finish() == []


@pytest.mark.parametrize(
    ("times", "watched"),
    [
        ([0, 0.2, 0.4], 0.4),
        ([0, 5, 10], 2 * LOOK_COVERS_S),  # a look does not vouch for the minutes before it
        ([0, 0.2, 0.1, 0.2], 0.3),  # a stamp that steps back is not time
        ([7], 0.0),
    ],
)
def test_only_time_between_looks_is_watched(times, watched):
    counter = Counter(card(), [ACROSS])
    for at in times:
        counter.look(Detections.none(), at)
    assert counter.watched_s == pytest.approx(watched)


def test_a_frozen_picture_is_not_watched():
    counter = Counter(card(), [ACROSS])
    for i in range(10):
        counter.look(Detections.none(), i / 10, believable=i < 5)
    assert counter.watched_s == pytest.approx(0.4)
