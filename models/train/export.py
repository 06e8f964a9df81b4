"""Checkpoint -> ONNX in float and int8, both measured on val, the better one shipped with its card.

`python export.py CHECKPOINT DATA --into MODELS`: int8 ships where it costs at most one point of vehicle AP50
and finds what the float one finds.
Calibration sees train pictures only. Left in float: the output convolutions (their range spans box sizes and
logits), and the neck's sums.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from data import Picture, letterbox, load
from model import CLASSES, HEIGHT, SMALLER, STRIDES, WIDTH, RoadNet, boxes, cells
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from score import report
from torch import Tensor, nn

from edgeagent.sources.detector import Detector
from edgeagent.sources.model_check import agreement

_OPSET = 13
_CALIBRATION = 250
_MAY_COST = 0.01  # of vehicle AP50
_LEAST_AGREEMENT = 0.9  # F1 of int8's boxes against float's: AP on val can hide what a clumsy int8 loses
_GOOD_AP, _HINT_AP = 0.5, 0.1  # AP50 from which a class name is published, or published as doubtful …
_MANY, _FEW = 100, 50  # … and boxes in val that it takes to know


class Shipped(nn.Module):
    """The net with decoded ends: boxes (1, N, 4) in input pixels, scores (1, N, classes) 0..1.

    The cells are counted inside the graph, so that one file takes every size of 32 pixels' steps.
    """

    def __init__(self, net: RoadNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(1, 3, height, width), blue green red 0..255."""
        out = self.net(images)
        centres, strides = cells(images.shape[2], images.shape[3])
        return boxes(out[..., :4], centres, strides), out[..., 4:].sigmoid()


class _Calibration(CalibrationDataReader):
    """Every n-th train picture as the net sees it."""

    def __init__(self, pictures: list[Picture]) -> None:
        self._views = self._walk(pictures[:: max(1, len(pictures) // _CALIBRATION)])

    def get_next(self) -> dict[str, Any] | None:
        """The next input, or None at the end."""
        return next(self._views, None)

    @staticmethod
    def _walk(pictures: list[Picture]) -> Iterator[dict[str, Any]]:
        for picture in pictures:
            view, *_ = letterbox(picture.image)
            yield {"images": view.transpose(2, 0, 1)[None].astype(np.float32)}


def to_float(checkpoint: Path, into: Path) -> None:
    """The averaged weights as an ONNX file, batch norm folded."""
    net = RoadNet()
    net.load_state_dict(torch.load(checkpoint, weights_only=True)["average"])
    torch.onnx.export(
        Shipped(net).eval(),
        (torch.zeros(1, 3, HEIGHT, WIDTH),),
        str(into),
        input_names=["images"],
        output_names=["boxes", "scores"],
        dynamic_axes={"images": {2: "height", 3: "width"}, "boxes": {1: "cells"}, "scores": {1: "cells"}},
        opset_version=_OPSET,
        dynamo=False,
    )


def to_int8(source: Path, into: Path, pictures: list[Picture]) -> None:
    """Quantise weights per channel and activations, except where the module's docstring says."""
    ready = into.with_suffix(".ready.onnx")
    quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)  # it does not know the cells in the graph
    kept = [node.name for node in onnx.load(str(ready)).graph.node if not _may_be_int8(node)]
    quantize_static(
        str(ready),
        str(into),
        _Calibration(pictures),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        # 7-bit weights: on x86 without VNNI the 8-bit product sums saturate, which cost four points of AP there.
        reduce_range=True,
        calibrate_method=CalibrationMethod.MinMax,
        nodes_to_exclude=kept,
    )
    ready.unlink()


def _may_be_int8(node: onnx.NodeProto) -> bool:
    if "/outs." in node.name:
        return False
    if node.op_type in {"Add", "Concat"}:  # inside the backbone only
        return node.name.startswith("/net/level")
    return node.op_type in {"Conv", "Relu", "MaxPool", "Resize"}


def card(file: Path, scores: dict[str, Any], facts: dict[str, Any], about: dict[str, Any]) -> str:
    """The card as TOML text.

    Args:
        file: The model.
        scores: What `score.report` found about it.
        facts: Of the run: steps, minutes, pictures, batch, seed; and recipe (a commit) and kind (of weights).
        about: `about.toml`.
    """
    vehicle = {name: scores["classes"]["vehicle"][name] for name in ("n", "ap50")} | scores["at_threshold"]
    origin = about["before"] if facts.get("begin") else "from random weights"
    run = (
        f"models/train at {facts['recipe']}: {facts['steps']} steps of {facts['batch']} pictures {origin}, "
        f"{facts['minutes']:.0f} minutes on one busy CPU core, seed {facts['seed']}, {facts['pictures']} pictures"
    )
    cards = [
        "# What vehicles.onnx is, what it takes and gives, how good it is, and where it fails.",
        "",
        "[model]",
        *_pairs({"name": "vehicles", "version": about["version"], "sha256": _sha256(file), "licence": "Apache-2.0"}),
        *_pairs({"parameters": _parameters(), "weights": facts["kind"], "recipe": run}),
        *_listed("data", [f"{name}: {text}" for name, text in about["data"].items()]),
        "",
        "[input]",
        *_pairs(
            {"name": "images", "width": WIDTH, "height": HEIGHT, "colour": "bgr", "fit": "letterbox-centre", "pad": 114}
        ),
        "# what a worker over its share of the processor falls back to",
        *_pairs({"smaller": [list(size) for size in SMALLER]}),
        "",
        "[output]",
        *_pairs({"decoder": "boxes-scores", "boxes": sum(HEIGHT // one * (WIDTH // one) for one in STRIDES)}),
        "",
        "[classes]",
        *_pairs({str(number): name for number, name in enumerate(CLASSES)}),
        "",
        '# How far a name may be believed: "good" from an AP50 of 0.5 on a hundred or more, "hint" (published as',
        '# doubtful) from 0.1; "none" is not published, such a vehicle still counts as a vehicle.',
        "[trust]",
        *_pairs({name: _trust(scores["classes"].get(name)) for name in CLASSES}),
        "",
        "[threshold]",
        "# the lowest at which F1 of `vehicle` on val is as good as at its best",
        *_pairs({"score": scores["threshold"]}),
        "",
        "# Road cameras that training never saw; a find is right at IoU 0.5. `vehicle` is car, bus and truck together,",
        "# whatever the name, at the threshold above; a class where its own F1 is best. There are no bicycles in val.",
        "[scores.val]",
        f"vehicle = {_inline(vehicle)}",
    ]
    for name in CLASSES:
        if name in scores["classes"]:
            best = {key: value for key, value in scores["classes"][name].items() if key != "threshold"}
            cards.append(f"{name} = {_inline(best)}")
    for name, one in scores["vehicle_by_source"].items():
        cards.append(f"vehicle_{name} = {_inline({key: one[key] for key in ('n', 'ap50')})}")
    for size, one in scores["vehicle_smaller"].items():
        cards.append(f"vehicle_{size} = {_inline({key: one[key] for key in ('n', 'ap50')})}")
    cards += [
        "",
        "[speed]",
        "# median of one picture, one thread of a busy x86-64 server core; not measured on a Raspberry Pi",
        *_pairs({"ms": scores["ms"], "bytes": scores["bytes"]}),
        "",
        "[failures]",
        *_listed("known", about["failures"]),
    ]
    return "\n".join(cards) + "\n"


def _trust(one: dict[str, Any] | None) -> str:
    """What a class's score on val allows to say about its name."""
    if one is None or one["n"] < _FEW or one["ap50"] < _HINT_AP:
        return "none"
    return "good" if one["ap50"] >= _GOOD_AP and one["n"] >= _MANY else "hint"


def _pairs(values: dict[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def _listed(key: str, values: list[str]) -> list[str]:
    return [f"{key} = [", *(f"    {json.dumps(value, ensure_ascii=False)}," for value in values), "]"]


def _inline(values: dict[str, Any]) -> str:
    return "{ " + ", ".join(_pairs(values)) + " }"


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _parameters() -> int:
    return sum(weight.numel() for weight in RoadNet().parameters())


def _held(card_file: Path) -> float:
    """Vehicle AP50 on val of the model that ships now; 0 where there is none."""
    if not card_file.exists():
        return 0.0
    return float(tomllib.loads(card_file.read_text(encoding="utf-8"))["scores"]["val"]["vehicle"]["ap50"])


def ship(args: argparse.Namespace) -> None:
    """Export, measure, choose, and write model and card."""
    torch.set_num_threads(1)
    runs = args.checkpoint.parent
    plain, small = runs / "fp32.onnx", runs / "int8.onnx"
    to_float(args.checkpoint, plain)
    to_int8(plain, small, [picture for folder in args.data for picture in load(folder, "train")])
    val = [picture for folder in args.data for picture in load(folder, "val")]
    scores = {"float32": report(plain, val), "int8": report(small, val)}
    facts = json.loads(args.checkpoint.with_suffix(".json").read_text()) | {"recipe": args.recipe}
    about = tomllib.loads(Path(__file__).with_name("about.toml").read_text(encoding="utf-8"))
    for file, name in ((plain, "float32"), (small, "int8")):
        text = card(file, scores[name], facts | {"kind": name}, about)
        file.with_suffix(".toml").write_text(text, encoding="utf-8")
    agree = agreement(Detector(plain), Detector(small), [picture.image for picture in val])
    print(json.dumps(scores | {"agreement": round(agree, 3)}, indent=1))
    lost = scores["float32"]["classes"]["vehicle"]["ap50"] - scores["int8"]["classes"]["vehicle"]["ap50"]
    kind = "int8" if lost <= _MAY_COST and agree >= _LEAST_AGREEMENT else "float32"
    model = args.into / "vehicles.onnx"
    now, held = scores[kind]["classes"]["vehicle"]["ap50"], _held(model.with_suffix(".toml"))
    if now <= held:
        print(f"not shipped: vehicle AP50 {now} on val, the model there has {held}; see {runs} for the files")
        return
    chosen = small if kind == "int8" else plain
    model.write_bytes(chosen.read_bytes())
    model.with_suffix(".toml").write_bytes(chosen.with_suffix(".toml").read_bytes())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path, nargs="+", help="folders with manifest.csv and images/")
    parser.add_argument("--into", type=Path, required=True, help="folder of the shipped models")
    parser.add_argument("--recipe", default="an uncommitted state", help="the commit that trained the checkpoint")
    ship(parser.parse_args())
