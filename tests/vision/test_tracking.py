"""Tracks: made of boxes that drive through the picture at known speeds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.vision.detections import Detections
from edgeagent.vision.tracking import Tracker


def looks(*vehicles):
    """Detections of vehicles given as (x, y, score[, class]) centres of 40 x 30 boxes."""
    rows = [(v[0] - 20, v[1] - 15, v[0] + 20, v[1] + 15) for v in vehicles]
    return Detections(
        np.asarray(rows, np.float32).reshape(-1, 4),
        np.asarray([v[2] for v in vehicles], np.float32),
        np.asarray([v[3] if len(v) > 3 else 0 for v in vehicles], np.intp),
    )


def drive(tracker, path, *, score=0.9):
    """Feed one vehicle's (second, x, y); returns the ids it got."""
    return [t.id for at, x, y in path for t in tracker.look(looks((x, y, score)), at)]


@settings(max_examples=60, deadline=None)
@given(
    fps=st.sampled_from([5, 8, 10, 25, 30]),
    speed=st.floats(0, 150),
    heading=st.floats(0, 6.28),
)
def test_one_vehicle_is_one_track_at_any_rate(fps, speed, heading):
    # At 5 looks/s 150 px/s is 30 px between looks, the height of the box: it does not meet itself.
    path = [
        (i / fps, 300 + speed * np.cos(heading) * i / fps, 300 + speed * np.sin(heading) * i / fps) for i in range(12)
    ]
    assert set(drive(Tracker(sure=0.4), path)) == {1}


def test_a_vehicle_hidden_for_half_a_second_is_found_again():
    path = [(i / 10, 100 + 10 * i, 100) for i in range(20) if not 8 <= i < 13]
    assert set(drive(Tracker(sure=0.4), path)) == {1}


def test_a_vehicle_hidden_for_longer_is_a_new_one():
    path = [(i / 10, 100 + 10 * i, 100) for i in range(30) if not 8 <= i < 20]
    assert set(drive(Tracker(sure=0.4), path)) == {1, 2}


def test_a_hint_continues_a_track_but_begins_none():
    tracker = Tracker(sure=0.4)
    assert tracker.look(looks((100, 100, 0.2)), 0.0) == []
    assert [t.looks for t in tracker.look(looks((100, 100, 0.5)), 0.1)] == [1]
    assert [t.looks for t in tracker.look(looks((101, 100, 0.15)), 0.2)] == [2]


def test_vehicles_that_meet_keep_their_names():
    tracker = Tracker(sure=0.4)
    ids = []
    for i in range(20):
        seen = tracker.look(looks((100 + 10 * i, 100, 0.9), (300 - 10 * i, 125, 0.9)), i / 10)
        ids.append({t.id: round(float(t.velocity[0])) for t in seen})
    assert set(ids[-1]) == {1, 2}
    assert ids[-1][1] == pytest.approx(100, abs=5) and ids[-1][2] == pytest.approx(-100, abs=5)


def test_a_newcomer_borrows_the_lanes_velocity():
    # 70 px between two looks of a 40 px box: hopeless for the first vehicle, known for the next.
    tracker = Tracker(sure=0.4)
    for lap in range(3):  # slower vehicles teach the lane
        drive(tracker, [(lap * 10 + i / 5, 100 + 40 * i, 100) for i in range(10)])
    stranger = drive(Tracker(sure=0.4), [(i / 5, 200 + 70 * i, 100) for i in range(4)])
    local = drive(tracker, [(50 + i / 5, 200 + 70 * i, 100) for i in range(4)])
    assert len(set(stranger)) > 1
    assert len(set(local)) == 1


def test_the_class_is_what_near_looks_say():
    tracker = Tracker(sure=0.4)
    for i in range(5):
        tracker.look(looks((100 + i, 100, 0.5, 7)), i / 10)
    big = Detections(np.asarray([[80, 80, 130, 125]], np.float32), np.asarray([0.9], np.float32), np.asarray([2]))
    tracker.look(big, 0.5)
    (track,) = tracker.look(big, 0.6)
    assert track.looks == 7 and track.class_id == 2


def test_a_picture_full_of_noise_stays_bounded():
    rng = np.random.default_rng(1)
    tracker = Tracker(sure=0.4)
    for i in range(10):
        spots = [(float(x), float(y), 0.9) for x, y in rng.uniform(0, 4000, (150, 2))]
        tracker.look(looks(*spots), i / 10)
    assert len(tracker.tracks) <= 200
