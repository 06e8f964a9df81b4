"""Counting against truth: the scoring rule on tables, the whole chain on real clips."""

import json

import cv2
import msgspec
import pytest

from edgeagent.errors import ConfigError, SourceUnavailable
from edgeagent.sources.count_eval import Difference, Truth, _compare, evaluate, read_truth, truth_lines
from edgeagent.sources.count_sheet import contact_sheet
from edgeagent.vision.crossing import Crossing, Line
from tests.conftest import SHARED
from tests.sources.camera_rig import baseline_model


@pytest.fixture(scope="session")
def baseline(tmp_path_factory):
    assert SHARED.is_dir(), f"shared data not found at {SHARED} (set EDGEAGENT_SHARED)"
    return baseline_model(SHARED, tmp_path_factory.mktemp("models"))


def truth(positive, negative=None, edges=()):
    line = {"id": "road", "p1": [0, 10], "p2": [100, 10], "counts": {"positive": positive, "negative": negative or {}}}
    line["events"] = {"positive": [{"frame": 1, "cls": cls, "edge": True} for cls in edges], "negative": []}
    return msgspec.convert({"lines": [line]}, Truth)


def counted(**by_direction):
    return [
        Crossing("road", direction, class_id, 1.0, 1)
        for direction, classes in by_direction.items()
        for class_id in classes
    ]


CAR, BUS = 2, 5
CLASSES = {CAR: "car", BUS: "bus"}


@pytest.mark.parametrize(
    ("true", "crossings", "error"),
    [
        (truth({"car": 2}), counted(forward=[CAR, CAR]), 0),
        (truth({"car": 2}), counted(forward=[CAR]), 1),
        (truth({"car": 2}), counted(forward=[CAR, CAR, CAR]), 1),
        (truth({"car": 2}, edges=["car"]), counted(forward=[CAR]), 0),  # the edge event may be missed …
        (truth({"car": 2}, edges=["car"]), counted(forward=[CAR, CAR]), 0),  # … or counted
        (truth({"car": 2}, edges=["car"]), [], 1),
        (truth({"car": 1}, {"car": 1}), counted(forward=[CAR, CAR]), 2),  # one too many, one too few
        (truth({"car": 1}), counted(forward=[BUS]), 0),  # vehicles first, classes beside it
        (truth({}), counted(backward=[CAR]), 1),
    ],
)
def test_the_error_is_the_distance_to_what_may_be_counted(true, crossings, error):
    result = _compare(true, crossings, CLASSES)
    assert result.error == error
    assert result.counted == len(crossings)


def test_classes_are_scored_beside_the_total():
    result = _compare(truth({"car": 2, "truck": 1}), counted(forward=[CAR, BUS]), CLASSES)
    assert result.per_class["car"].error == 1
    assert result.per_class["truck"].error == 1
    assert result.per_class["bus"].error == 1
    assert result.error_pct == 33.3


def test_vehicle_by_vehicle_what_was_missed_doubled_or_made_up():
    events = [(25, "car", False), (75, "truck", False), (100, "car", True), (200, "car", False)]
    line = {"id": "road", "p1": [0, 10], "p2": [100, 10], "counts": {"positive": {"car": 3, "truck": 1}}}
    line["events"] = {"positive": [{"frame": f, "cls": c, "edge": e} for f, c, e in events]}
    true = msgspec.convert({"lines": [line]}, Truth)
    seen = [(1.1, CAR), (1.6, CAR), (5.5, BUS), (8.2, CAR)]
    result = _compare(true, [Crossing("road", "forward", c, at, n) for n, (at, c) in enumerate(seen)], CLASSES)
    assert [(d.kind, d.at_s, d.cls) for d in result.differences] == [
        ("double", 1.6, "car"),
        ("missed", 3.0, "truck"),  # the edge event of frame 100 may be missed
        ("false", 5.5, "bus"),
    ]
    assert result.error == 0, "two too many, one at the edge and one missed: the sum hides what the list tells"


@pytest.mark.shared
def test_the_contact_sheet_shows_each_disagreement(shared, tmp_path):
    true = read_truth(shared / "traffic" / "a13_day.json")
    two = (Difference("missed", 3.0, "road", "positive", "car"), Difference("false", 99.0, "road", "negative", "car"))
    sheet = tmp_path / "sheet.png"
    assert contact_sheet(shared / "traffic" / "a13_day.mp4", truth_lines(true), two, sheet) == 2
    picture = cv2.imread(str(sheet))
    assert picture.shape == (2 * 262, 3 * 320, 3) and picture.std() > 20
    assert contact_sheet(shared / "traffic" / "a13_day.mp4", truth_lines(true), (), tmp_path / "none.png") == 0
    assert not (tmp_path / "none.png").exists()
    with pytest.raises(ConfigError) as caught:
        contact_sheet(shared / "traffic" / "a13_day.mp4", truth_lines(true), two, tmp_path / "no" / "sheet.png")
    assert caught.value.code == "camera.no-sheet"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "camera.no-truth"),
        ("{", "camera.truth-wrong"),
        ('{"lines": [{"id": "road"}]}', "camera.truth-wrong"),
    ],
)
def test_bad_truth_files(tmp_path, content, code):
    file = tmp_path / "truth.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_truth(file)
    assert caught.value.code == code


def test_a_truth_line_without_points_needs_the_configs(tmp_path):
    file = tmp_path / "truth.json"
    file.write_text(json.dumps({"lines": [{"id": "road", "counts": {"positive": {"car": 1}}}]}))
    with pytest.raises(ConfigError) as caught:
        evaluate("clip.mp4", file, tmp_path / "none.onnx")
    assert caught.value.code == "camera.truth-line"
    with pytest.raises(ConfigError) as caught:  # now the line is known, and the model is missing
        evaluate("clip.mp4", file, tmp_path / "none.onnx", lines=[Line("road", (0, 0), (9, 0))])
    assert caught.value.code == "camera.no-model"


@pytest.mark.shared
@pytest.mark.parametrize(
    ("clip", "most"), [("blackfriars_queue", 0), pytest.param("a13_night", 2, marks=pytest.mark.slow)]
)
def test_real_clips_at_ten_looks_per_second(shared, baseline, clip, most):
    steps = []
    result = evaluate(
        shared / "traffic" / f"{clip}.mp4",
        shared / "traffic" / f"{clip}.json",
        baseline,
        fps=10,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert result.error <= most, result
    assert steps[-1][0] > 0.98 * steps[-1][1]
    if clip == "blackfriars_queue":
        assert result.per_direction["road:positive"].counted == 0, "a standing queue crosses nothing"


@pytest.mark.shared
def test_a_clip_that_is_missing_or_no_video(shared, baseline, tmp_path):
    true = shared / "traffic" / "a13_day.json"
    for name, content, code in (("none.mp4", None, "camera.no-file"), ("text.mp4", "words", "camera.not-video")):
        if content:
            (tmp_path / name).write_text(content)
        with pytest.raises(SourceUnavailable) as caught:
            evaluate(tmp_path / name, true, baseline)
        assert caught.value.code == code


@pytest.mark.shared
def test_control_c_leaves_nothing_open(shared, baseline):
    def interrupt(done, total):
        if done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(shared / "traffic" / "a13_day.mp4", shared / "traffic" / "a13_day.json", baseline, progress=interrupt)
