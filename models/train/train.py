"""Train the detector on a CPU: `python train.py DATA... --out runs/vehicles.pt`.

It begins with random weights, or with those of an exported file (`--begin ../vehicles.onnx`: the next version goes on
where the last one stopped; the recipe of the last one is on its card).

The schedule runs over `--steps` and ends early where `--minutes` are used up first; then the result depends on the
machine's speed. Batches depend on the seed and the step alone, a checkpoint is written every few minutes, and
`--resume` goes on from it.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from data import Picture, Pixels, Table, batches, load
from model import RoadNet, boxes, cells
from score import detect_all, score
from torch import Tensor
from torch.nn import functional
from warm import start_from

_FOUR_WHEELS = slice(0, 3)  # car, bus, truck
_RATE, _WARM_UP, _DECAY, _EMA = 2e-3, 150, 0.02, 0.998
_BOX_WEIGHT, _CLIP = 2.5, 10.0
_SAVE_S = 180
_GET_USED_TO = 12  # batches from which an exported net takes the statistics that export folded away
_TOP = 10  # at most so many cells answer for one vehicle


def pairwise_iou(some: Tensor, others: Tensor) -> Tensor:
    """IoU of boxes (n, 4) with boxes (m, 4) -> (n, m)."""
    low = torch.max(some[:, None, :2], others[None, :, :2])
    high = torch.min(some[:, None, 2:], others[None, :, 2:])
    common = (high - low).clamp(0).prod(2)
    areas = (some[:, 2:] - some[:, :2]).prod(1)[:, None] + (others[:, 2:] - others[:, :2]).prod(1)[None]
    return common / (areas - common + 1e-7)


def complete_iou(some: Tensor, others: Tensor) -> Tensor:
    """IoU less centre distance and aspect mismatch, row by row (Zheng et al., "Distance-IoU Loss", 2020)."""
    low, high = torch.max(some[:, :2], others[:, :2]), torch.min(some[:, 2:], others[:, 2:])
    common = (high - low).clamp(0).prod(1)
    size_a, size_b = some[:, 2:] - some[:, :2], others[:, 2:] - others[:, :2]
    iou = common / (size_a.prod(1) + size_b.prod(1) - common + 1e-7)
    hull = torch.max(some[:, 2:], others[:, 2:]) - torch.min(some[:, :2], others[:, :2])
    apart = (some[:, :2] + some[:, 2:] - others[:, :2] - others[:, 2:]).pow(2).sum(1) / 4
    slant = [(size[:, 0] / size[:, 1].clamp(1e-3)).atan() for size in (size_a, size_b)]
    aspect = 4 / math.pi**2 * (slant[1] - slant[0]).pow(2)
    trade = (aspect / (1 - iou + aspect + 1e-7)).detach()
    return iou - apart / (hull.pow(2).sum(1) + 1e-7) - trade * aspect


@torch.no_grad()
def assign(
    found: Tensor, sure: Tensor, wanted: Tensor, centres: Tensor, strides: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Task-aligned assignment for one picture (Feng et al., "TOOD", 2021): who classifies and places well, answers.

    Args:
        found: Predicted boxes (N, 4).
        sure: Predicted scores of each wanted box's class (n, N).
        wanted: True boxes (n, 4).
        centres: Cell centres (N, 2).
        strides: Cell strides (N, 1).

    Returns:
        Cells that answer, the box each answers for, and the score each should reach (best cell: its IoU).
    """
    inside = torch.min(centres[None] - wanted[:, None, :2], wanted[:, None, 2:] - centres[None]).min(2).values > 0
    middle = (wanted[:, :2] + wanted[:, 2:]) / 2
    # Within one stride of the middle: else a box smaller than a cell would have no cell at all.
    near = ((centres[None] - middle[:, None]).abs() / strides[None]).max(2).values < 1
    allowed = inside | near
    iou = pairwise_iou(wanted, found)
    merit = sure.clamp(1e-6).sqrt() * iou.pow(4) * allowed
    top = merit.topk(min(_TOP, merit.shape[1]), 1)
    chosen = torch.zeros_like(allowed).scatter_(1, top.indices, top.values > 1e-9) & allowed
    contested = chosen.sum(0) > 1
    if contested.any():
        winner = torch.where(chosen, iou, torch.full_like(iou, -1))[:, contested].argmax(0)
        chosen[:, contested] = False
        chosen[winner, contested.nonzero()[:, 0]] = True
    box, cell = chosen.nonzero(as_tuple=True)
    best_merit, best_iou = (merit * chosen).max(1).values, (iou * chosen).max(1).values
    return cell, box, merit[box, cell] / (best_merit[box] + 1e-9) * best_iou[box]


def losses(out: Tensor, targets: list[Table], centres: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """Class and box loss of a batch; don't-care cells take no part.

    Where nobody vouches for car, bus or truck, the cell learns "a four-wheeler" on the class it favours itself,
    and the other two stay untouched.
    """
    placed, logits = boxes(out[..., :4], centres, strides), out[..., 4:]
    scores = logits.detach().sigmoid()
    goal, counts = torch.zeros_like(logits), torch.ones_like(logits)
    box_loss, norm = out.sum() * 0, 0.0
    for one, table in enumerate(targets):
        rows = torch.from_numpy(np.ascontiguousarray(table, dtype=np.float32))
        ignored, rows = rows[rows[:, 0] < 0, 1:5], rows[rows[:, 0] >= 0]
        if len(ignored):
            inside = (
                torch.min(centres[None] - ignored[:, None, :2], ignored[:, None, 2:] - centres[None]).min(2).values > 0
            )
            counts[one, inside.any(0)] = 0
        if not len(rows):
            continue
        kinds, wanted, unsure = rows[:, 0].long(), rows[:, 1:5], rows[:, 5] > 0
        favourite = scores[one][:, _FOUR_WHEELS].max(1)
        sure = torch.where(unsure[:, None], favourite.values[None], scores[one][:, kinds].T)
        cell, box, quality = assign(placed[one].detach(), sure, wanted, centres, strides)
        if not len(cell):
            continue
        vague = unsure[box]
        counts[one, cell] = 1
        counts[one, cell[vague], _FOUR_WHEELS] = 0
        kind = torch.where(vague, favourite.indices[cell], kinds[box])
        counts[one, cell, kind] = 1
        goal[one, cell, kind] = quality
        norm += float(quality.sum())
        box_loss = box_loss + ((1 - complete_iou(placed[one, cell], wanted[box])) * quality).sum()
    # Far from its goal counts more (quality focal); a quarter of the goal keeps good cells learning.
    focus = (scores - goal).abs().pow(1.5) + goal * 0.25
    class_loss = (functional.binary_cross_entropy_with_logits(logits, goal, reduction="none") * focus * counts).sum()
    return class_loss / max(norm, 1.0), box_loss / max(norm, 1.0)


@torch.no_grad()
def follow(average: RoadNet, net: RoadNet, step: int) -> None:
    """Move the averaged weights a little towards the trained ones."""
    keep = min(_EMA, (step + 1) / (step + 20))
    for slow, fast in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if slow.dtype.is_floating_point:
            slow.mul_(keep).add_(fast, alpha=1 - keep)
        else:
            slow.copy_(fast)


def on_val(net: RoadNet, pictures: list[Picture]) -> str:
    """AP50 (recall at best F1) of the averaged net, in one line."""
    centres, strides = cells()

    @torch.no_grad()
    def detect(view: Pixels) -> tuple[Table, Table]:
        out = net(torch.from_numpy(view.transpose(2, 0, 1)[None].copy()).float())[0]
        return boxes(out[:, :4], centres, strides).numpy(), out[:, 4:].sigmoid().numpy()

    table = score(detect_all(detect, pictures), pictures)
    return " ".join(f"{name} {one['ap50']:.3f} ({one['recall']:.2f})" for name, one in table.items())


class Run:
    """A training under way: the net, its running average, the optimiser, and how far it has come."""

    def __init__(self, checkpoint: Path, rate: float) -> None:
        self._file, self._rate = checkpoint, rate
        self.net = RoadNet().to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.net).eval()
        shaped = [weight for weight in self.net.parameters() if weight.ndim > 1]
        plain = [weight for weight in self.net.parameters() if weight.ndim <= 1]
        groups = [{"params": shaped, "weight_decay": _DECAY}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=rate)
        self.step, self._begun = 0, time.monotonic()
        self._cells = cells()

    @property
    def minutes(self) -> float:
        """Training time so far, earlier sittings included."""
        return (time.monotonic() - self._begun) / 60

    def restore(self) -> None:
        """Go on from the checkpoint."""
        held = torch.load(self._file, weights_only=True)
        self.net.load_state_dict(held["net"])
        self.average.load_state_dict(held["average"])
        self.optimiser.load_state_dict(held["optimiser"])
        self.step, self._begun = held["step"], time.monotonic() - held["seconds"]

    def begin_with(self, file: Path, views: list[Pixels]) -> None:
        """Take over the weights of an exported file."""
        start_from(self.net, file, views)
        self.average.load_state_dict(self.net.state_dict())
        self._begun = time.monotonic()

    def save(self) -> None:
        """Replace the checkpoint."""
        state = {"net": self.net.state_dict(), "average": self.average.state_dict()}
        state |= {"optimiser": self.optimiser.state_dict(), "step": self.step, "seconds": self.minutes * 60}
        torch.save(state, self._file.with_suffix(".new"))
        self._file.with_suffix(".new").replace(self._file)

    def learn(self, views: Pixels, targets: list[Table], done: float) -> tuple[float, float]:
        """One step at `done` (0..1) of the schedule; returns class and box loss."""
        rate = self._rate * min(1, (self.step + 1) / _WARM_UP) * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.net.train()
        batch = torch.from_numpy(views.transpose(0, 3, 1, 2)).float().contiguous(memory_format=torch.channels_last)
        class_loss, box_loss = losses(self.net(batch), targets, *self._cells)
        self.optimiser.zero_grad(set_to_none=True)
        (class_loss + _BOX_WEIGHT * box_loss).backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), _CLIP)
        self.optimiser.step()
        self.step += 1
        follow(self.average, self.net, self.step)
        return class_loss.item(), box_loss.item()


def train(args: argparse.Namespace) -> None:
    """Run the schedule from where it stands to its end."""
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(0)
    torch.manual_seed(args.seed)
    pictures = [picture for folder in args.data for picture in load(folder, "train")]
    val = [picture for folder in args.data for picture in load(folder, "val")]
    run = Run(args.out, args.rate)
    if args.resume and args.out.exists():
        run.restore()
    elif args.begin is not None:
        used_to = batches(pictures, args.batch, args.seed + 1, 0)
        run.begin_with(args.begin, [next(used_to)[0] for _ in range(_GET_USED_TO)])
        print(f"begins with {args.begin}: {on_val(run.average, val)}", flush=True)
    weights = sum(weight.numel() for weight in run.net.parameters())
    print(f"train {len(pictures)} val {len(val)} parameters {weights} from step {run.step}", flush=True)
    supply = batches(pictures, args.batch, args.seed, run.step)
    saved, looked, sums = time.monotonic(), time.monotonic(), []
    while (done := max(run.step / args.steps, run.minutes / args.minutes)) < 1:
        sums.append(run.learn(*next(supply), done))
        if run.step % 100 == 0:
            means = np.mean(sums[-100:], axis=0)
            print(f"step {run.step} {run.minutes:.1f} min class {means[0]:.3f} box {means[1]:.3f}", flush=True)
        if time.monotonic() - saved > _SAVE_S:
            run.save()
            saved = time.monotonic()
        if time.monotonic() - looked > args.look_minutes * 60:
            print(f"val step {run.step} {run.minutes:.1f} min: {on_val(run.average, val)}", flush=True)
            looked = time.monotonic()
    run.save()
    record = {
        "steps": run.step,
        "minutes": round(run.minutes, 1),
        "pictures": len(pictures),
        "val": on_val(run.average, val),
    }
    record |= {"batch": args.batch, "seed": args.seed, "begin": args.begin.name if args.begin else ""}
    print(f"end {record}", flush=True)
    args.out.with_suffix(".json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="+", help="folders with manifest.csv and images/")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1, help="1 is the quicker on a shared machine")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=_RATE, help="highest learning rate")
    parser.add_argument("--begin", type=Path, help="an exported .onnx file whose weights to begin with")
    parser.add_argument("--look-minutes", type=float, default=10)
    parser.add_argument("--resume", action="store_true")
    train(parser.parse_args())
