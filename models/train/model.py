"""The detector: sixteen plain 3x3 convolutions, three scales, no objectness; about 0.86 M parameters.

Dense convolutions instead of depthwise ones: on a CPU they train several times faster, and they survive int8.
Per anchor the net says how far the four sides are (in strides) and how sure it is of each class.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = ("car", "bus", "truck", "motorcycle", "bicycle", "person")
STRIDES = (8, 16, 32)
WIDTH, HEIGHT = 512, 288
SMALLER = ((416, 256), (320, 192))  # what a worker over its share falls back to
_RARE = 0.01  # what a class score starts at, so that the first steps are not drowned by background


class ConvUnit(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, come: int, go: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(come, go, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(go, eps=1e-3, momentum=0.03),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """x + conv(x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = ConvUnit(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return x + self.conv(x)


class WideView(nn.Module):
    """Pooling over 5, 9 and 13 cells side by side: the coarse level sees a whole bus."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = ConvUnit(width, width // 2, 1)
        self.join = ConvUnit(width * 2, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        views = [self.squeeze(x)]
        for _ in range(3):
            views.append(functional.max_pool2d(views[-1], 5, 1, 2))
        return self.join(torch.cat(views, 1))


class RoadNet(nn.Module):
    """Picture (B, 3, H, W), blue green red 0..255 -> (B, N, 4 + classes): side distances in strides, class logits.

    N counts the cells of strides 8, 16, 32, row by row.
    """

    def __init__(self, classes: int = len(CLASSES)) -> None:
        super().__init__()
        neck = 64
        self.level2 = nn.Sequential(ConvUnit(3, 16, stride=2), ConvUnit(16, 32, stride=2))
        self.level3 = nn.Sequential(ConvUnit(32, 64, stride=2), Residual(64))
        self.level4 = nn.Sequential(ConvUnit(64, 96, stride=2), Residual(96), Residual(96))
        self.level5 = nn.Sequential(ConvUnit(96, 128, stride=2), WideView(128), Residual(128))
        self.side3, self.side4, self.side5 = ConvUnit(64, neck, 1), ConvUnit(96, neck, 1), ConvUnit(128, neck, 1)
        self.down4, self.down3 = ConvUnit(neck, neck), ConvUnit(neck, neck)
        self.up4, self.up5 = ConvUnit(neck, neck, stride=2), ConvUnit(neck, neck, stride=2)
        self.heads = nn.ModuleList(ConvUnit(neck, neck) for _ in STRIDES)
        self.outs = nn.ModuleList(nn.Conv2d(neck, 4 + classes, 1) for _ in STRIDES)
        for out in self.outs:
            nn.init.normal_(out.weight, std=0.01)
            nn.init.constant_(out.bias[:4], 0.5)
            nn.init.constant_(out.bias[4:], -math.log(1 / _RARE - 1))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        three = self.level3(self.level2(x / 255.0 - 0.45))
        four = self.level4(three)
        coarse = self.side5(self.level5(four))
        middle = self.down4(self.side4(four) + functional.interpolate(coarse, scale_factor=2.0))
        fine = self.down3(self.side3(three) + functional.interpolate(middle, scale_factor=2.0))
        middle_again = middle + self.up4(fine)
        coarse_again = coarse + self.up5(middle_again)
        rows = []
        for level, head, out in zip((fine, middle_again, coarse_again), self.heads, self.outs, strict=True):
            raw = out(head(level))
            rows.append(torch.cat([raw[:, :4].clamp(-6, 5).exp(), raw[:, 4:]], 1).flatten(2))
        return torch.cat(rows, 2).transpose(1, 2)


def cells(height: int = HEIGHT, width: int = WIDTH) -> tuple[Tensor, Tensor]:
    """Centres (N, 2) and strides (N, 1) of all cells, in input pixels."""
    centres, strides = [], []
    for stride in STRIDES:
        y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        centres.append((torch.stack([x, y], -1).reshape(-1, 2).float() + 0.5) * stride)
        strides.append(torch.full_like(centres[-1][:, :1], float(stride)))
    return torch.cat(centres), torch.cat(strides)


def boxes(sides: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Side distances (..., N, 4) left, top, right, bottom in strides -> corners x1 y1 x2 y2 in pixels."""
    return torch.cat([centres - sides[..., :2] * strides, centres + sides[..., 2:4] * strides], -1)
