"""Boxes: overlap and one box per vehicle."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.vision.detections import Detections, grown, iou, one_box_per_vehicle


def detections(*rows):
    """Rows of (x1, y1, x2, y2, score, class)."""
    table = np.asarray(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.intp))


number = st.floats(0, 400, width=32)
box = st.tuples(number, number, st.floats(2, 100, width=32), st.floats(2, 100, width=32)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
row = st.tuples(box, st.floats(0, 1, width=32), st.integers(0, 5)).map(lambda r: (*r[0], r[1], r[2]))


def test_iou_of_known_boxes():
    a = np.asarray([[0, 0, 10, 10]], np.float32)
    b = np.asarray([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(iou(a, b)[0], [1, 1 / 3, 0, 0], atol=1e-6)


def test_grown_boxes_keep_their_centre():
    boxes = np.asarray([[10, 10, 30, 20]], np.float32)
    np.testing.assert_allclose(grown(boxes, 2), [[0, 5, 40, 25]])


def test_one_van_with_two_names_is_one_vehicle():
    both = detections((0, 0, 40, 30, 0.6, 2), (1, 0, 41, 31, 0.7, 7))
    kept = one_box_per_vehicle(both)
    assert kept.class_id.tolist() == [7]


def test_a_cab_inside_its_lorry_is_dropped_but_a_car_before_it_is_not():
    lorry, cab, car = (0, 0, 100, 60, 0.9, 7), (70, 20, 100, 60, 0.5, 2), (80, 40, 140, 80, 0.8, 2)
    kept = one_box_per_vehicle(detections(lorry, cab, car))
    assert kept.xyxy[:, 0].tolist() == [0, 80]


@settings(max_examples=100, deadline=None)
@given(st.lists(row, max_size=25))
def test_what_is_kept_is_ordered_and_apart(rows):
    kept = one_box_per_vehicle(detections(*rows), most=10)
    assert len(kept) <= 10
    assert list(kept.score) == sorted(kept.score, reverse=True)
    overlap = iou(kept.xyxy, kept.xyxy) - np.eye(len(kept), dtype=np.float32)
    assert (overlap <= 0.45 + 1e-6).all()
    if rows:
        assert kept.score[0] == max(np.float32(r[4]) for r in rows)


@settings(max_examples=50, deadline=None)
@given(st.lists(row, min_size=1, max_size=15))
def test_doing_it_twice_changes_nothing(rows):
    once = one_box_per_vehicle(detections(*rows))
    twice = one_box_per_vehicle(once)
    np.testing.assert_array_equal(once.xyxy, twice.xyxy)
