"""The shipped ONNX file -> a net to go on training with: its weights, and batch norms that say the same.

Export folds the batch norms into the convolutions. Training needs them back, with the means and spreads that the
activations really have, or the first batch would undo what was learned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from data import Pixels
from model import ConvUnit, RoadNet
from onnx import numpy_helper
from torch import Tensor, nn

_LEAST_SPREAD = 1e-4  # a channel that never moves


def start_from(net: RoadNet, file: Path, views: list[Pixels]) -> None:
    """Give `net` the weights of an exported file.

    Args:
        net: changed in place.
        file: what `export.py` wrote, float or int8.
        views: input pictures (B, H, W, 3); the batch norms take their statistics from them.
    """
    graph = onnx.load(str(file)).graph
    values = _values(graph)
    units = {f"{name}.0": unit for name, unit in net.named_modules() if isinstance(unit, ConvUnit)}
    modules = dict(net.named_modules())
    sums: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for node in graph.node:
            if node.op_type != "Conv":
                continue
            name = _module_name(node.name)
            weight, bias = (torch.from_numpy(values[one].copy()).float() for one in node.input[1:3])
            conv = modules[name]
            assert isinstance(conv, nn.Conv2d)
            conv.weight.copy_(weight)
            if name not in units:
                assert conv.bias is not None
                conv.bias.copy_(bias)
                continue
            norm = units[name][1]
            assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)
            norm.weight.fill_(1.0)
            norm.bias.copy_(bias)
        hooks = [
            unit[0].register_forward_hook(lambda _, __, out, name=name: sums.setdefault(name, []).append(_moments(out)))
            for name, unit in units.items()
        ]
        net.eval()
        for batch in views:
            net(torch.from_numpy(batch.transpose(0, 3, 1, 2)).float().contiguous(memory_format=torch.channels_last))
        for hook in hooks:
            hook.remove()
        for name, unit in units.items():
            mean, square = torch.stack(sums[name]).mean(0)
            spread = (square - mean**2).clamp(_LEAST_SPREAD)
            norm = unit[1]
            assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(spread)
            norm.weight.copy_((spread + norm.eps).sqrt())
            norm.bias.add_(mean)


def _moments(out: Tensor) -> Tensor:
    """Mean and mean square per channel: (2, C)."""
    return torch.stack([out.mean((0, 2, 3)), (out**2).mean((0, 2, 3))])


def _values(graph: onnx.GraphProto) -> dict[str, Any]:
    """Constants by name; a dequantised one stands under its float name."""
    held = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in held:
            continue
        stored, scale = held[node.input[0]].astype(np.float32), held[node.input[1]]
        zero = held[node.input[2]].astype(np.float32) if len(node.input) > 2 else np.float32(0)
        along = (-1,) + (1,) * (stored.ndim - 1) if scale.ndim else ()
        held[node.output[0]] = (stored - zero.reshape(along)) * scale.reshape(along)
    return held


def _module_name(node: str) -> str:
    """`/net/level3/level3.1/conv/conv.0/Conv` -> `level3.1.conv.0`."""
    path: list[str] = []
    for part in node.strip("/").split("/")[1:-1]:
        if path and part.startswith(path[-1] + "."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path)
