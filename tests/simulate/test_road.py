"""The rendered road: same seed same pictures, boxes that fit what is drawn, truth that follows from the boxes."""

import hashlib
import json

import cv2
import numpy as np
import pytest

from edgeagent.simulate import road
from edgeagent.simulate.road import DEMO_SEED, RoadScene, render_clip
from edgeagent.simulate.road_scene import draw_place
from edgeagent.simulate.road_traffic import lanes
from edgeagent.simulate.road_truth import Sight, count_crossings
from edgeagent.simulate.road_vehicles import CLASSES, build_body

SECONDS, FPS = 8, 10.0
SMALL = (320, 180)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Eight seconds of the demo's road, its truth as read from disk, and the sights it should follow from."""
    path = tmp_path_factory.mktemp("road") / "road.mp4"
    render_clip(path, SECONDS, fps=FPS)
    frames = list(RoadScene(DEMO_SEED, fps=FPS).frames(int(SECONDS * FPS)))
    return path, json.loads(path.with_suffix(".json").read_text()), frames


def test_equal_seeds_give_equal_pictures_and_others_another_place():
    first, again = (list(RoadScene(3, size=SMALL).frames(10)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert one.sights == other.sights
        assert np.array_equal(one.image, other.image)
    elsewhere = next(RoadScene(4, size=SMALL).frames(1))
    assert np.abs(first[0].image.astype(int) - elsewhere.image).mean() > 10


def test_pictures_move_and_keep_the_form(clip):
    _, _, frames = clip
    for frame in frames[::20]:
        assert frame.image.shape == (360, 640, 3)
        assert frame.image.dtype == np.uint8
    assert frames[0].sights != frames[20].sights


def test_boxes_lie_in_the_picture_and_name_known_classes(clip):
    _, _, frames = clip
    seen = [sight for frame in frames for sight in frame.sights]
    assert len(seen) > 200
    for sight in seen:
        x1, y1, x2, y2 = sight.box
        assert 0 <= x1 < x2 <= 640
        assert 0 <= y1 < y2 <= 360
        assert sight.cls in CLASSES
        assert 0 <= sight.visible <= 1


def test_what_was_drawn_lies_in_the_boxes():
    scene = RoadScene(DEMO_SEED)
    for frame in scene.frames(5):
        fresh = cv2.GaussianBlur(frame.image, (5, 5), 0).astype(int) - cv2.GaussianBlur(scene._empty, (5, 5), 0)
        bright = fresh.max(axis=2) > 30  # shadows only darken: what is brighter than the empty road is a vehicle
        boxed = np.zeros(bright.shape, dtype=bool)
        for sight in frame.sights:
            x1, y1, x2, y2 = (round(v) for v in sight.box)
            boxed[max(y1 - 2, 0) : y2 + 2, max(x1 - 2, 0) : x2 + 2] = True
            if sight.visible > 0.95 and (x2 - x1) > 20:
                changed = np.abs(fresh[y1:y2, x1:x2]).max(axis=2) > 15
                assert changed.mean() > 0.5
                assert changed.any(axis=0)[[1, -2]].all(), "the box is wider than the vehicle"
        assert bright.sum() > 100
        assert not (bright & ~boxed).any()


def test_truth_file_describes_the_clip(clip):
    path, truth, frames = clip
    assert truth["file"] == "road.mp4"
    assert (truth["width"], truth["height"], truth["fps"], truth["frames"]) == (640, 360, FPS, len(frames))
    assert truth["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    film = cv2.VideoCapture(str(path))
    read = 0
    while film.read()[0]:
        read += 1
    assert read == len(frames)
    assert film.get(cv2.CAP_PROP_FPS) == FPS
    film.release()


def test_truth_follows_from_the_boxes(clip):
    """Crossings found again from the sights alone, by another formula: height of the anchor over the line."""
    _, truth, frames = clip
    (line,) = truth["lines"]
    (x1, y1), (x2, y2) = line["p1"], line["p2"]
    assert x1 < x2
    found, last = [], {}
    for number, frame in enumerate(frames):
        for sight in frame.sights:
            x, y = (sight.box[0] + sight.box[2]) / 2, sight.box[3]
            below = y > y1 + (y2 - y1) * (x - x1) / (x2 - x1)
            if x1 <= x <= x2 and last.get(sight.vehicle, below) != below:
                found.append((number, sight.cls, "positive" if below else "negative"))
            last[sight.vehicle] = below
    assert found
    told = [(one["frame"], one["cls"], sign) for sign, events in line["events"].items() for one in events]
    assert sorted(told) == sorted(found)
    for sign, counts in line["counts"].items():
        assert sum(counts.values()) == len(line["events"][sign])
        for cls, count in counts.items():
            assert count == sum(one["cls"] == cls for one in line["events"][sign])
    assert line["edge_events"] == sum(one["edge"] for events in line["events"].values() for one in events)
    names = line["directions"]
    assert sorted(map(tuple, line["crossings"])) == sorted((f, c, names[s]) for f, c, s in found)


def test_traffic_keeps_left(clip):
    _, truth, frames = clip
    (line,) = truth["lines"]
    middle = (line["p1"][0] + line["p2"][0]) / 2
    for sign, side in (("positive", 1), ("negative", -1)):  # toward the camera on the right
        for event in line["events"][sign]:
            before, after = frames[event["frame"] - 1].sights, frames[event["frame"]].sights
            lows = [
                (s.box[0] + s.box[2]) / 2 for s in after if s.cls == event["cls"] and abs(s.box[3] - line["p1"][1]) < 25
            ]
            assert any((x - middle) * side > 0 for x in lows)
            assert {s.vehicle for s in before} & {s.vehicle for s in after}


@pytest.mark.shared
def test_truth_has_the_form_of_the_recorded_clips(clip, shared):
    _, truth, _ = clip
    recorded = json.loads((shared / "traffic" / "a13_day.json").read_text())
    assert set(recorded) - {"attribution", "notes"} == set(truth)
    assert set(recorded["lines"][0]) == set(truth["lines"][0])
    assert set(recorded["lines"][0]["events"]["positive"][0]) == {"frame", "cls", "edge"}
    assert truth["sign"] == recorded["sign"]
    assert truth["anchor"] == recorded["anchor"]


@pytest.mark.parametrize(
    ("path", "line", "expected"),
    [
        ([(50, 90), (50, 110)], ((0, 100), (100, 100)), {"positive": 1, "negative": 0}),
        ([(50, 110), (50, 90)], ((0, 100), (100, 100)), {"positive": 0, "negative": 1}),
        ([(50, 110), (50, 90)], ((100, 100), (0, 100)), {"positive": 1, "negative": 0}),
        ([(150, 90), (150, 110)], ((0, 100), (100, 100)), {"positive": 0, "negative": 0}),
        ([(50, 90), (50, 95)], ((0, 100), (100, 100)), {"positive": 0, "negative": 0}),
        ([(50, 90), (50, 110), (50, 90)], ((0, 100), (100, 100)), {"positive": 1, "negative": 1}),
    ],
    ids=["down", "up", "line drawn right to left", "past its end", "not yet", "there and back"],
)
def test_crossings_of_one_anchor(path, line, expected):
    track = [(40 + n, Sight(1, "car", (x - 10, y - 10, x + 10, y), 1.0)) for n, (x, y) in enumerate(path)]
    found = count_crossings({1: track}, line, 100)
    assert {sign: len(events) for sign, events in found.items()} == expected


@pytest.mark.parametrize(("frame", "edge"), [(9, True), (10, False), (89, False), (90, True)])
def test_crossings_at_the_ends_of_a_clip_are_marked(frame, edge):
    track = [(frame - 1, Sight(1, "bus", (40, 80, 60, 90), 1.0)), (frame, Sight(1, "bus", (40, 100, 60, 110), 1.0))]
    (event,) = count_crossings({1: track}, ((0, 100), (100, 100)), 100)["positive"]
    assert (event.frame, event.cls, event.edge) == (frame, "bus", edge)


def test_vehicles_of_one_lane_never_touch():
    place, _ = draw_place(np.random.default_rng(DEMO_SEED), SMALL)
    for seed in range(3):
        road_lanes = lanes(place, np.random.default_rng(seed))
        numbers = iter(range(10_000))
        for _ in range(900):
            for lane in road_lanes:
                lane.step(0.1, numbers)
                for ahead, behind in zip(lane.vehicles, lane.vehicles[1:], strict=False):
                    assert ahead.way_m - behind.way_m > (ahead.body.size[0] + behind.body.size[0]) / 2
        assert next(numbers) > 20


@pytest.mark.parametrize("cls", CLASSES)
def test_bodies_are_as_large_as_they_say(cls):
    for seed in range(20):
        body = build_body(cls, np.random.default_rng(seed))
        length, width, height = body.size
        spread = body.corners.max(axis=0) - body.corners.min(axis=0)
        assert spread == pytest.approx((width, length, height), abs=0.3)
        assert body.corners[:, 2].min() >= 0
        assert body.first[-1] == len(body.corners)
        assert len(body.colours) == len(body.normals) == len(body.first) - 1


def test_the_place_is_painted_once_per_clip(tmp_path, monkeypatch):
    """What makes rendering quick: a picture costs its vehicles, not its houses."""
    painted = []
    draw_place = road.draw_place
    monkeypatch.setattr(road, "draw_place", lambda *args: painted.append(1) or draw_place(*args))
    truth = render_clip(tmp_path / "short.mp4", 1, size=SMALL)
    assert painted == [1]
    assert (truth.width, truth.height, truth.frames) == (*SMALL, 10)


def test_an_unwritable_place_is_said(tmp_path):
    with pytest.raises(OSError, match=r"nowhere.*x\.mp4"):
        render_clip(tmp_path / "nowhere" / "x.mp4", 1, size=SMALL)
