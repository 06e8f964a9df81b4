"""Letterbox geometry and decoders: recorded layouts, expected boxes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.errors import ConfigError
from edgeagent.vision.card import InputCard, read_card
from edgeagent.vision.decoders import blank, decode, fill, letterbox

CARD = {
    "model": {"name": "test", "sha256": "0" * 64},
    "input": {"width": 416, "height": 256},
    "output": {"decoder": "boxes-scores"},
    "classes": {"0": "car", "1": "bus", "5": "person"},
    "threshold": {"score": 0.4, "low": 0.1},
}


def card(decoder="boxes-scores", *, width=416, height=256, fit="letterbox-centre", **more):
    shape = {"width": width, "height": height, "fit": fit}
    return read_card(CARD | {"input": shape, "output": {"decoder": decoder}} | more, file="test.toml")


@pytest.mark.parametrize(
    ("picture", "fit", "expected"),
    [
        ((640, 360), "letterbox-centre", (0.65, 0, 11, 416, 234)),
        ((352, 288), "letterbox-centre", (256 / 288, 51, 0, 313, 256)),
        ((352, 288), "letterbox-topleft", (256 / 288, 0, 0, 313, 256)),
        ((416, 256), "letterbox-centre", (1.0, 0, 0, 416, 256)),
        ((4, 4000), "letterbox-centre", (0.064, 207, 0, 1, 256)),
    ],
)
def test_letterbox(picture, fit, expected):
    box = letterbox(*picture, InputCard(width=416, height=256, fit=fit))
    assert (pytest.approx(box.scale), box.left, box.top, box.width, box.height) == expected


@settings(max_examples=100, deadline=None)
@given(st.integers(16, 4000), st.integers(16, 4000), st.data())
def test_a_box_survives_the_way_to_the_input_and_back(width, height, data):
    box = letterbox(width, height, InputCard(width=416, height=256))
    assert box.left >= 0 and box.top >= 0 and box.left + box.width <= 416 and box.top + box.height <= 256
    x, y = data.draw(st.floats(0, width)), data.draw(st.floats(0, height))
    there = np.asarray([[x, y, x, y]], np.float32) * box.scale + [box.left, box.top, box.left, box.top]
    back = box.to_picture(there.astype(np.float32))
    np.testing.assert_allclose(back[0], [x, y, x, y], atol=0.01 * max(1 / box.scale, 1))


def test_fill_keeps_the_padding_and_the_channel_order():
    shape = InputCard(width=64, height=32, colour="rgb")
    box = letterbox(32, 32, shape)
    tensor = np.full((1, 3, 32, 64), 114, np.float32)
    blue = np.zeros((32, 32, 3), np.uint8)
    blue[..., 0] = 200
    fill(tensor, blue, box, shape)
    assert tensor[0, :, 5, 20].tolist() == [0, 0, 200], "BGR picture, RGB model: blue comes last"
    assert (tensor[0, :, :, :16] == 114).all() and (tensor[0, :, :, 48:] == 114).all()


def test_boxes_scores_leaves_out_persons_and_the_unsure():
    boxes = np.asarray([[[100, 50, 140, 90], [100, 50, 140, 91], [10, 10, 30, 30], [200, 20, 260, 60]]], np.float32)
    scores = np.zeros((1, 4, 6), np.float32)
    scores[0, 0, 0], scores[0, 1, 1], scores[0, 2, 5], scores[0, 3, 0] = 0.8, 0.7, 0.9, 0.05
    found = decode({"boxes": boxes, "scores": scores}, card(), letterbox(416, 256, card().input))
    assert found.class_id.tolist() == [0], "the bus is the same vehicle, the person none, the last a guess"
    np.testing.assert_allclose(found.xyxy, [[100, 50, 140, 90]])


def yolox_head(size, cell, xywh, scores):
    (width, height), (stride, column, line) = size, cell
    rows = [(height // s) * (width // s) for s in (8, 16, 32)]
    head = np.zeros((1, sum(rows), 5 + 8), np.float32)
    at = sum(rows[: (8, 16, 32).index(stride)]) + line * (width // stride) + column
    head[0, at, :4] = xywh
    head[0, at, 4] = 0.9
    for cls, score in scores.items():
        head[0, at, 5 + cls] = score
    return head


def test_yolox_row_order_and_units():
    shape = card("yolox", width=416, height=416, fit="letterbox-topleft")
    head = yolox_head((416, 416), (16, 3, 2), (0.5, 0.25, np.log(2), np.log(3)), {0: 0.8, 1: 0.2})
    found = decode({"output": head}, shape, letterbox(208, 208, shape.input))
    # centre (3.5, 2.25) * 16, size (2, 3) * 16, then half of it: the picture was doubled
    np.testing.assert_allclose(found.xyxy, [[20, 6, 36, 30]], atol=1e-3)
    np.testing.assert_allclose(found.score, [0.72], atol=1e-6)


def test_absurd_sizes_and_nan_do_no_harm():
    shape = card("yolox", width=416, height=416)
    head = yolox_head((416, 416), (8, 1, 1), (0, 0, 1e6, 1e6), {0: 0.9})
    head[0, 7, :] = np.nan
    found = decode({"output": head}, shape, letterbox(416, 416, shape.input))
    assert np.isfinite(found.xyxy).all() and found.xyxy.max() <= 416


@pytest.mark.parametrize(
    ("decoder", "outputs"),
    [
        ("yolox", {"output": np.zeros((1, 10, 13), np.float32)}),
        ("yolox", {"output": np.zeros((3549, 13), np.float32)}),
        ("boxes-scores", {"output": np.zeros((1, 3549, 13), np.float32)}),
        ("boxes-scores", {"boxes": np.zeros((1, 4, 4)), "scores": np.zeros((1, 5, 6))}),
        ("boxes-scores", {"boxes": np.zeros((1, 4, 5)), "scores": np.zeros((1, 4, 6))}),
        ("boxes-scores", {"boxes": np.zeros((1, 4, 4)), "scores": np.zeros((1, 4, 5))}),  # class 5 is named
    ],
)
def test_outputs_that_are_not_what_the_card_promises(decoder, outputs):
    shape = card(decoder, width=416, height=416)
    with pytest.raises(ConfigError) as caught:
        decode(outputs, shape, letterbox(416, 416, shape.input))
    assert caught.value.code == "camera.model-output"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"classes": {"0": "person"}}, "classes"),
        ({"classes": {"x": "car"}}, "Expected `int`"),
        ({"classes": {"-1": "car"}}, "from 0"),
        ({"input": {"width": 416}}, "height"),
        ({"input": {"width": 416, "height": 0}}, "1..4096"),
        ({"input": {"width": 416, "height": 256, "colour": "grey"}}, "grey"),
        ({"input": {"width": 416, "height": 250}, "output": {"decoder": "yolox"}}, "multiple of 32"),
        ({"output": {"decoder": "ssd"}}, "ssd"),
        ({"threshold": {"score": 0.3, "low": 0.5}}, "threshold"),
        ({"model": {"name": "x"}}, "sha256"),
    ],
)
def test_cards_that_cannot_be_used(change, why):
    with pytest.raises(ConfigError) as caught:
        card(**change)
    assert caught.value.code == "camera.card-wrong"
    assert why in caught.value.facts["why"]


def test_low_follows_from_score_unless_said():
    assert card(threshold={"score": 0.4}).low == pytest.approx(0.28)
    assert card(threshold={"score": 0.4, "low": 0.1}).low == 0.1
    assert card().vehicles == ("car", "bus")


# --- NanoDet, PicoDet and end-to-end detectors: encoded here the way their authors decode -----------------------

BOXES = np.asarray([[40, 60, 120, 110], [200, 30, 310, 190], [5, 5, 20, 25]], np.float32)


def family(decoder, **output):
    size = {"width": 320, "height": 256, "mean": [103.53, 116.28, 123.675], "scale": [57.375, 57.12, 58.395]}
    return card(decoder, input=size, output={"decoder": decoder, **output})


def gfl(boxes, classes, *, offset, strides=(8, 16, 32, 64), count=7):
    """Scores (N, C) and side distributions (N, 32), one cell per box: the level where no side is beyond 7 strides."""
    scores, sides = [], []
    todo = list(zip(boxes, classes, strict=True))
    for stride in strides:
        rows, columns = -(-256 // stride), -(-320 // stride)
        level, bins = np.zeros((rows * columns, count), np.float32), np.full((rows * columns, 4, 8), -30, np.float32)
        for box, cls in list(todo):
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            column, row = int(x // stride), int(y // stride)
            cx, cy = (column + offset) * stride, (row + offset) * stride
            distance = np.asarray([cx - box[0], cy - box[1], box[2] - cx, box[3] - cy]) / stride
            if distance.max() > 7 or distance.min() < 0:
                continue
            del todo[[b is box for b, _ in todo].index(True)]
            cell = row * columns + column
            level[cell, cls] = 0.9
            for side, d in enumerate(distance):  # between two bins, the mean is the distance
                low = min(int(d), 6)
                share = d - low
                bins[cell, side, low] = np.log(max(1 - share, 1e-9))
                bins[cell, side, low + 1] = np.log(max(share, 1e-9))
        scores.append(level)
        sides.append(bins.reshape(len(bins), 32))
    assert not todo
    return scores, sides


@pytest.mark.parametrize(("decoder", "offset"), [("nanodet", 0.0), ("picodet", 0.5)])
@pytest.mark.parametrize("parts", ["whole", "pair", "levels"])
def test_nanodet_and_picodet(decoder, offset, parts):
    scores, sides = gfl(BOXES, [0, 1, 0], offset=offset)
    if parts == "levels":
        outputs = {f"c{n}": one[None] for n, one in enumerate(scores)} | {f"b{n}": o[None] for n, o in enumerate(sides)}
    else:
        whole = [np.concatenate(scores)[None], np.concatenate(sides)[None]]
        outputs = dict(zip("cb", whole, strict=True)) if parts == "pair" else {"o": np.concatenate(whole, axis=2)}
    made = family(decoder)
    found = decode(outputs, made, letterbox(320, 256, made.input))
    order = np.argsort(found.xyxy[:, 0])
    assert found.xyxy[order] == pytest.approx(BOXES[[2, 0, 1]], abs=0.3)
    assert found.class_id[order].tolist() == [0, 0, 1]


def queries(*, form, logits):
    """300 queries, three of them sure; bus stands in the picture as class 1."""
    boxes = np.tile(np.asarray([[10, 10, 12, 12]], np.float32), (300, 1))
    boxes[:3] = BOXES
    scores = np.full((300, 80), 0.01, np.float32)
    scores[[0, 1, 2], [0, 1, 0]] = 0.9
    if form == "cxcywh":
        size = boxes[:, 2:] - boxes[:, :2]
        boxes = np.concatenate([boxes[:, :2] + size / 2, size], axis=1) / np.asarray([320, 256, 320, 256], np.float32)
    return boxes[None], (np.log(scores / (1 - scores)) if logits else scores)[None]


@pytest.mark.parametrize("form", ["cxcywh", "xyxy"])
@pytest.mark.parametrize("logits", [True, False])
def test_end_to_end_detectors(form, logits):
    boxes, scores = queries(form=form, logits=logits)
    made = family("detr", box_form=form, logits=logits)
    found = decode({"logits": scores, "pred_boxes": boxes}, made, letterbox(320, 256, made.input))
    order = np.argsort(found.xyxy[:, 0])
    assert found.xyxy[order] == pytest.approx(BOXES[[2, 0, 1]], abs=0.1)
    assert found.class_id[order].tolist() == [0, 0, 1]


def test_end_to_end_detectors_that_name_one_class_per_query():
    boxes, scores = queries(form="xyxy", logits=False)
    outputs = {"labels": scores.argmax(axis=2), "boxes": boxes, "scores": scores.max(axis=2)}
    made = family("detr", box_form="xyxy", logits=False)
    assert len(decode(outputs, made, letterbox(320, 256, made.input))) == 3


@pytest.mark.parametrize(
    ("decoder", "outputs"),
    [
        ("nanodet", {"o": np.zeros((1, 100, 39), np.float32)}),  # rows of another size of input
        ("nanodet", {"o": np.zeros((1, 1700, 20), np.float32)}),  # too few numbers
        ("picodet", {"c": np.zeros((1, 1700, 7), np.float32), "x": np.zeros((1,), np.float32)}),
        ("picodet", {"c": np.zeros((1, 1700, 3), np.float32), "b": np.zeros((1, 1700, 32), np.float32)}),  # no class 5
        ("detr", {"boxes": np.zeros((1, 300, 4), np.float32)}),
        ("detr", {"logits": np.zeros((1, 300, 80), np.float32)}),
        ("detr", {"boxes": np.zeros((1, 300, 4), np.float32), "logits": np.zeros((1, 200, 80), np.float32)}),
        ("detr", {"boxes": np.zeros((1, 300, 4), np.float32), "logits": np.zeros((1, 300, 3), np.float32)}),
    ],
)
def test_odd_shapes_are_refused_with_the_reason(decoder, outputs):
    made = family(decoder)
    with pytest.raises(ConfigError) as caught:
        decode(outputs, made, letterbox(320, 256, made.input))
    assert caught.value.code == "camera.model-output" and caught.value.facts["why"]


def test_a_stretched_picture_comes_back_to_its_shape():
    box = letterbox(640, 360, InputCard(width=320, height=320, fit="stretch"))
    assert (box.left, box.top, box.width, box.height) == (0, 0, 320, 320)
    assert box.to_picture(np.asarray([[0, 0, 320, 320]], np.float32)).tolist() == [[0, 0, 640, 360]]


def test_mean_and_scale_are_taken_off_also_from_the_padding():
    given = InputCard(width=8, height=8, mean=(100, 110, 120), scale=(50, 50, 10), pad=114)
    tensor, box = blank(given), letterbox(8, 4, given)
    fill(tensor, np.full((4, 8, 3), 130, np.uint8), box, given)
    assert tensor[0, :, 0, 0] == pytest.approx([14 / 50, 4 / 50, -6 / 10])
    assert tensor[0, :, 4, 0] == pytest.approx([30 / 50, 20 / 50, 10 / 10])
    fill(tensor, np.full((4, 8, 3), 130, np.uint8), box, given)
    assert tensor[0, :, 4, 0] == pytest.approx([30 / 50, 20 / 50, 10 / 10]), "a second picture is not scaled twice"


def test_a_person_before_a_car_is_not_a_second_box_of_the_car():
    made = card(classes={"0": "car", "5": "person"}, trust={"person": "good"})
    boxes = np.asarray([[[10, 10, 110, 90], [40, 20, 60, 80]]], np.float32)
    scores = np.zeros((1, 2, 6), np.float32)
    scores[0, 0, 0], scores[0, 1, 5] = 0.9, 0.8
    outputs = {"boxes": boxes, "scores": scores}
    assert decode(outputs, made, letterbox(416, 256, made.input)).class_id.tolist() == [0, 5]
    silent = card(classes={"0": "car", "5": "person"})
    assert decode(outputs, silent, letterbox(416, 256, silent.input)).class_id.tolist() == [0], "nobody vouched for it"


@pytest.mark.parametrize("smaller", [[[416, 256]], [[448, 192]], [[320, 192], [320, 224]], [[320, 0]]])
def test_smaller_sizes_go_down(smaller):
    with pytest.raises(ConfigError) as caught:
        read_card(CARD | {"input": CARD["input"] | {"smaller": smaller}}, file="test.toml")
    assert caught.value.code == "camera.card-wrong"


def test_a_card_at_a_smaller_size():
    made = read_card(CARD | {"input": CARD["input"] | {"smaller": [[320, 192], [224, 128]]}}, file="test.toml")
    assert made.at(0) is made
    assert [(made.at(step).input.width, made.at(step).input.height) for step in (1, 2)] == [(320, 192), (224, 128)]
    assert made.input.costs == pytest.approx((1.0, 320 * 192 / (416 * 256), 224 * 128 / (416 * 256)))
