"""Every shipped detector: its card tells the truth about the file, and it finds vehicles where there are some."""

import hashlib
import tomllib

import numpy as np
import onnxruntime
import pytest

from edgeagent import shipped
from edgeagent.simulate.road import DEMO_SEED, RoadScene
from edgeagent.sources.detector import Detector

MODELS = sorted(shipped.models().glob("*.onnx"))
SEEDS = (DEMO_SEED, 21, 22)  # places that training never saw: it renders seeds from 1000


def card_of(model):
    return tomllib.loads(model.with_suffix(".toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def roads():
    """Of each place: its picture without vehicles, and a few with what is in them."""
    places = []
    for seed in SEEDS:
        scene, frames = RoadScene(seed, fps=5), []
        for _ in range(5):
            frames.append(next(scene.frames(1)))
            scene.skip(3)
        places.append((scene._empty, frames))
    return places


def test_there_is_a_model_under_the_name_the_config_uses():
    assert "vehicles.onnx" in [model.name for model in MODELS]


@pytest.mark.parametrize("model", MODELS, ids=lambda one: one.name)
class TestModel:
    def test_card_belongs_to_the_file(self, model):
        card = card_of(model)
        assert card["model"]["name"] == model.stem
        assert card["model"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
        assert card["model"]["licence"] == "Apache-2.0"

    def test_card_names_its_data_scores_and_failures(self, model):
        card = card_of(model)
        told = " ".join(card["model"]["data"])
        for source in (
            "rf100_vehicles",
            "open_images",
            "Land Transport Authority",
            "Powered by TfL Open Data",
            "Farzad",
        ):
            assert source in told
        assert "GPL" not in told or "measure only" in told
        vehicle = card["scores"]["val"]["vehicle"]
        assert vehicle["n"] > 1000
        assert all(0 < vehicle[key] < 1 for key in ("ap50", "recall", "precision"))
        assert card["failures"]["known"]

    def test_trusts_no_name_its_scores_do_not_bear_out(self, model):
        card = card_of(model)
        assert set(card["trust"]) == set(card["classes"].values())
        for name, trust in card["trust"].items():
            ap50 = card["scores"]["val"].get(name, {"ap50": 0.0})["ap50"]
            assert {"good": ap50 >= 0.5, "hint": ap50 >= 0.1, "none": True}[trust], (name, ap50, trust)

    def test_is_small_enough_to_ship(self, model):
        assert model.stat().st_size <= 4_000_000

    def test_takes_and_gives_what_the_card_says(self, model):
        card = card_of(model)
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        (taken,) = session.get_inputs()
        assert (taken.name, taken.type) == (card["input"]["name"], "tensor(float)")
        assert card["output"]["decoder"] == "boxes-scores"
        assert {one.name: one.type for one in session.get_outputs()} == dict.fromkeys(
            ("boxes", "scores"), "tensor(float)"
        )
        largest = (card["input"]["width"], card["input"]["height"])
        for wide, high in (largest, *card["input"]["smaller"]):
            pixels = np.random.default_rng(0).uniform(0, 255, (1, 3, high, wide)).astype(np.float32)
            boxes, scores = session.run(["boxes", "scores"], {taken.name: pixels})
            rows = sum(wide // stride * (high // stride) for stride in (8, 16, 32))
            assert (boxes.shape, scores.shape) == ((1, rows, 4), (1, rows, len(card["classes"])))
            assert np.isfinite(boxes).all()
            assert 0 <= scores.min() <= scores.max() <= 1
            if (wide, high) == largest:
                assert rows == card["output"]["boxes"]

    def test_a_smaller_picture_shows_the_same_near_vehicles_in_the_same_place(self, model, roads):
        detector = Detector(model)
        for step in range(1, 1 + len(card_of(model)["input"]["smaller"])):
            near = both = 0
            for frame in (frame for _, frames in roads for frame in frames):
                whole = confident(detector, frame.image)
                smaller = detector.find(step).xyxy
                for box in whole[np.minimum(*(whole[:, 2:] - whole[:, :2]).T) >= 40]:
                    near += 1
                    both += best_iou(box, smaller) >= 0.5
            assert near >= 10 and both >= 0.8 * near, (step, both, near)

    def test_finds_the_vehicles_of_unseen_rendered_roads(self, model, roads):
        detector = Detector(model)
        found = wanted = 0
        for frame in (frame for _, frames in roads for frame in frames):
            boxes = confident(detector, frame.image)
            for sight in frame.sights:
                x1, y1, x2, y2 = sight.box
                if sight.visible < 0.6 or min(x2 - x1, y2 - y1) < 16 or y2 > 355:
                    continue  # hidden, far off, or cut by the picture's edge
                wanted += 1
                found += best_iou(sight.box, boxes) >= 0.5
        assert wanted >= 30
        assert found >= 0.8 * wanted, f"{found} of {wanted}"

    def test_sees_nothing_on_an_empty_road(self, model, roads):
        detector = Detector(model)
        seen = [len(confident(detector, empty)) for empty, _ in roads]
        assert sum(seen) <= 1, seen


def confident(detector, image):
    """Boxes (n, 4) that may begin a track."""
    seen = detector.look(image)
    return seen.xyxy[seen.score >= detector.card.threshold.score]


def best_iou(box, boxes):
    if not len(boxes):
        return 0.0
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2] - box[0]) * (box[3] - box[1])
    return float((common / (areas - common)).max())
