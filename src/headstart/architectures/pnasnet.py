"""PNASNet-5: one cell found by a progressive search, stacked, with stride 1 or 2.

Paper: Liu et al., "Progressive Neural Architecture Search", https://arxiv.org/abs/1712.00559 (figure 1)

Differences from the paper, as in Google's TensorFlow release, whose weights this port carries: the auxiliary
head and the dropping of paths are left out. What TensorFlow pads ("same": at even sizes only at the far side)
is computed from the size of the map; the original had it fixed for 331 pixels. The final pooling is global,
so any input size of 3 pixels or more goes through.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class PNASNetConfig:
    """Shape of a PNASNet-5.

    Attributes:
        stem_width: width of the first convolution.
        width: width of a branch in the first cells after the stem; it doubles with every reduction.
        cells: number of cells after the stem.
        reductions: which of them halve the size, counted from 0.
    """

    stem_width: int = 96
    width: int = 216
    cells: int = 12
    reductions: tuple[int, ...] = (4, 8)


CONFIGS = {"pnasnet5large": PNASNetConfig()}


def norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch normalisation as TensorFlow has it."""
    return nn.BatchNorm2d(channels, eps=0.001)


def pad_for_halving(x: torch.Tensor, kernel: int) -> torch.Tensor:
    """Return a copy of `x` padded as TensorFlow's "same" does before a convolution of stride 2."""
    height, width = x.shape[2:]
    near, far = kernel // 2 - 1, kernel // 2
    return functional.pad(x, (near + width % 2, far, near + height % 2, far))


def max_pool(x: torch.Tensor, stride: int) -> torch.Tensor:
    """Return the maximum of each 3x3 window as TensorFlow's "same" lays them."""
    padding = (1, 1) if stride == 1 else (x.shape[2] % 2, x.shape[3] % 2)
    return functional.max_pool2d(x, 3, stride=stride, padding=padding, ceil_mode=True)


class SeparableConv2d(nn.Module):
    """A convolution of each channel by itself, then a 1x1 convolution over the channels."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.depthwise_conv2d = nn.Conv2d(
            in_channels, in_channels, kernel, stride=stride, padding=padding, groups=in_channels, bias=False
        )
        self.pointwise_conv2d = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride), sizes rounded up."""
        if self.depthwise_conv2d.stride != (1, 1):
            x = pad_for_halving(x, self.depthwise_conv2d.kernel_size[0])
        out: torch.Tensor = self.pointwise_conv2d(self.depthwise_conv2d(x))
        return out


class BranchSeparables(nn.Module):
    """Two separable convolutions, each normalised, a ReLU between them; the first ReLU is the cell's."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.separable_1 = SeparableConv2d(in_channels, out_channels, kernel, stride)
        self.bn_sep_1 = norm(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.separable_2 = SeparableConv2d(out_channels, out_channels, kernel, 1)
        self.bn_sep_2 = norm(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, H, W), none below 0, to (N, out_channels, H / stride, W / stride)."""
        x = self.relu(self.bn_sep_1(self.separable_1(x)))
        out: torch.Tensor = self.bn_sep_2(self.separable_2(x))
        return out


def squeeze(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Return ReLU, 1x1 convolution, normalisation; the ReLU leaves its input, which others read."""
    conv = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
    return nn.Sequential(OrderedDict(relu=nn.ReLU(), conv=conv, bn=norm(out_channels)))


class FactorizedReduction(nn.Module):
    """Halves the size by two 1x1 convolutions, of the pixels at even places and of those at odd places."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        conv_1 = nn.Conv2d(in_channels, out_channels // 2, 1, stride=2, bias=False)
        conv_2 = nn.Conv2d(in_channels, out_channels // 2, 1, stride=2, bias=False)
        self.path_1 = nn.Sequential(OrderedDict(conv=conv_1))
        self.path_2 = nn.Sequential(OrderedDict(conv=conv_2))
        self.final_path_bn = norm(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H / 2, W / 2), sizes rounded up."""
        x = functional.relu(x)
        paths = [self.path_1(x), self.path_2(functional.pad(x, (-1, 1, -1, 1)))]
        out: torch.Tensor = self.final_path_bn(torch.cat(paths, dim=1))
        return out


class Cell(nn.Module):
    """Five sums of two operations each on the outputs of the last two cells, one on another sum.

    Both outputs are first brought to one width and size. How the older gets there depends on its size:
    "squeeze" by a 1x1 convolution where the sizes agree; "halve" where the newer is half as large; "keep" in
    the first cell, which has only one input and fits its width later.
    """

    def __init__(
        self,
        older: int,
        newer: int,
        width: int,
        adapt: Literal["squeeze", "halve", "keep"],
        *,
        stride: int,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.out_channels = 5 * width
        self.conv_prev_1x1: nn.Module = nn.Identity()
        self.conv_1x1 = squeeze(newer, width)
        if adapt != "keep":
            self.conv_prev_1x1 = (
                squeeze(older, width) if adapt == "squeeze" else FactorizedReduction(older, width)
            )
            older = width
        self.comb_iter_0_left = BranchSeparables(older, width, 5, stride)
        self.comb_iter_0_right: nn.Module = nn.Identity()
        if adapt == "keep":
            conv = nn.Conv2d(older, width, 1, bias=False)
            self.comb_iter_0_right = nn.Sequential(OrderedDict(conv=conv, bn=norm(width)))
        self.comb_iter_1_left = BranchSeparables(width, width, 7, stride)
        self.comb_iter_2_left = BranchSeparables(width, width, 5, stride)
        self.comb_iter_2_right = BranchSeparables(width, width, 3, stride)
        self.comb_iter_3_left = BranchSeparables(width, width, 3, 1)
        self.comb_iter_4_left = BranchSeparables(older, width, 3, stride)
        self.comb_iter_4_right = nn.Identity() if stride == 1 else squeeze(width, width, stride)

    def forward(self, older: torch.Tensor, newer: torch.Tensor | None = None) -> torch.Tensor:
        """Return (N, 5 * width, H / stride, W / stride) from the outputs of the last two cells.

        The first cell has only one input.
        """
        newer = self.conv_1x1(older if newer is None else newer)
        older = self.conv_prev_1x1(older)
        newer_relu, older_relu = functional.relu(newer), functional.relu(older)
        newer_max, older_max = max_pool(newer, self.stride), max_pool(older, self.stride)
        third = self.comb_iter_2_left(newer_relu) + self.comb_iter_2_right(newer_relu)
        outputs = [
            self.comb_iter_0_left(older_relu) + self.comb_iter_0_right(older_max),
            self.comb_iter_1_left(newer_relu) + newer_max,
            third,
            self.comb_iter_3_left(functional.relu(third)) + newer_max,
            self.comb_iter_4_left(older_relu) + self.comb_iter_4_right(newer),
        ]
        return torch.cat(outputs, dim=1)


class PNASNet(nn.Module):
    """A PNASNet-5 with its classifier in `last_linear`."""

    def __init__(self, config: PNASNetConfig, *, num_classes: int = 1000) -> None:
        super().__init__()
        stem, width = config.stem_width, config.width
        conv = nn.Conv2d(3, stem, 3, stride=2, bias=False)
        self.conv_0 = nn.Sequential(OrderedDict(conv=conv, bn=norm(stem)))
        self.cell_stem_0 = Cell(stem, stem, width // 4, "keep", stride=2)
        self.cell_stem_1 = Cell(stem, self.cell_stem_0.out_channels, width // 2, "halve", stride=2)
        older, newer = self.cell_stem_0.out_channels, self.cell_stem_1.out_channels
        halved = True
        self.num_cells = config.cells
        for number in range(config.cells):
            reduces = number in config.reductions
            width *= 2 if reduces else 1
            cell = Cell(older, newer, width, "halve" if halved else "squeeze", stride=2 if reduces else 1)
            self.add_module(f"cell_{number}", cell)
            older, newer, halved = newer, cell.out_channels, reduces
        self.relu = nn.ReLU()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.5)
        self.last_linear = nn.Linear(newer, num_classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to the last feature map before its ReLU (N, 4320, H / 32, W / 32)."""
        x = self.conv_0(x)  # (N, 96, H/2, W/2)
        older = self.cell_stem_0(x)  # (N, 270, H/4, W/4)
        newer = self.cell_stem_1(x, older)  # (N, 540, H/8, W/8)
        for number in range(self.num_cells):
            cell = self.get_submodule(f"cell_{number}")
            older, newer = newer, cell(older, newer)  # (N, 1080 to 4320, H/8 to H/32, W/8 to W/32)
        features: torch.Tensor = newer
        return features

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to pooled features (N, 4320), none below 0."""
        pooled: torch.Tensor = self.avg_pool(self.relu(features))
        return pooled.flatten(1)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        logits: torch.Tensor = self.last_linear(self.dropout(self.pool(features)))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


Network = PNASNet
