"""NASNet-A: two cells found by search, stacked; a normal cell keeps the size, a reduction cell halves it.

Paper: Zoph, Vasudevan, Shlens, Le, "Learning Transferable Architectures for Scalable Image Recognition",
https://arxiv.org/abs/1707.07012 (figure 4)

Differences from the paper, as in Google's TensorFlow release, whose weights this port carries: the auxiliary
head and the dropping of paths are left out. What TensorFlow pads ("same": at even sizes only at the far side)
is computed from the size of the map; the original had it fixed for 331 pixels (large) and 224 (mobile). The
final pooling is global, so any input size of 3 pixels or more goes through.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class NASNetConfig:
    """Shape of a NASNet-A.

    Attributes:
        stem_width: width of the first convolution.
        width: width of a branch in the first normal cells; it doubles with every reduction.
        depth: number of normal cells between the reductions.
        reductions_skipped: whether the cell after a reduction takes the reduction's older input as its own,
            in place of the reduction's newer input.
    """

    stem_width: int
    width: int
    depth: int
    reductions_skipped: bool


CONFIGS = {
    "nasnetamobile": NASNetConfig(stem_width=32, width=44, depth=4, reductions_skipped=False),
    "nasnetalarge": NASNetConfig(stem_width=96, width=168, depth=6, reductions_skipped=True),
}


def norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch normalisation as TensorFlow has it."""
    return nn.BatchNorm2d(channels, eps=0.001)


def pad_for_halving(x: torch.Tensor, kernel: int) -> torch.Tensor:
    """Return a copy of `x` padded as TensorFlow's "same" does before a convolution of stride 2."""
    height, width = x.shape[2:]
    near, far = kernel // 2 - 1, kernel // 2
    return functional.pad(x, (near + width % 2, far, near + height % 2, far))


def max_pool(x: torch.Tensor) -> torch.Tensor:
    """Halve (N, C, H, W), rounding up: the maximum of each 3x3 window as TensorFlow's "same" lays them."""
    padding = (x.shape[2] % 2, x.shape[3] % 2)
    return functional.max_pool2d(x, 3, stride=2, padding=padding, ceil_mode=True)


def avg_pool(x: torch.Tensor, stride: int) -> torch.Tensor:
    """Return the mean of each 3x3 window as TensorFlow's "same" lays them, over pixels of the map alone."""
    padding = (1, 1) if stride == 1 else (x.shape[2] % 2, x.shape[3] % 2)
    return functional.avg_pool2d(
        x, 3, stride=stride, padding=padding, ceil_mode=True, count_include_pad=False
    )


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

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
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


def squeeze(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return ReLU, 1x1 convolution, normalisation; the ReLU leaves its input, which other cells read."""
    conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    return nn.Sequential(OrderedDict(relu=nn.ReLU(), conv=conv, bn=norm(out_channels)))


def halve(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a 1x1 convolution of every other pixel in both directions."""
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(in_channels, out_channels, 1, stride=2, bias=False)))


class Cell(nn.Module):
    """What all cells begin with: the outputs of the last two cells brought to one width and size.

    How the older of them gets there depends on its size: "squeeze" by a 1x1 convolution where the sizes
    agree; "halve" where the newer is half as large; "keep" in the first cell, which has only one input.
    """

    def __init__(
        self, older: int, newer: int, width: int, adapt: Literal["squeeze", "halve", "keep"]
    ) -> None:
        super().__init__()
        self.adapt = adapt
        if adapt == "squeeze":
            self.conv_prev_1x1 = squeeze(older, width)
        self.conv_1x1 = squeeze(newer, width)
        if adapt == "halve":
            self.path_1 = halve(older, width // 2)
            self.path_2 = halve(older, width // 2)
            self.final_path_bn = norm(width)

    def states(self, newer: torch.Tensor, older: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both inputs as (N, width, H, W)."""
        if self.adapt == "squeeze":
            older = self.conv_prev_1x1(older)
        elif self.adapt == "halve":
            # One path takes the pixels at even places, the other those at odd places; both are half as large.
            older = functional.relu(older)
            paths = [self.path_1(older), self.path_2(functional.pad(older, (-1, 1, -1, 1)))]
            older = self.final_path_bn(torch.cat(paths, dim=1))
        return self.conv_1x1(newer), older


class NormalCell(Cell):
    """Keeps the size; its five sums stand in the output's channels after the older input."""

    def __init__(self, older: int, newer: int, width: int, adapt: Literal["squeeze", "halve"]) -> None:
        super().__init__(older, newer, width, adapt)
        self.out_channels = 6 * width
        self.comb_iter_0_left = BranchSeparables(width, width, 5)
        self.comb_iter_0_right = BranchSeparables(width, width, 3)
        self.comb_iter_1_left = BranchSeparables(width, width, 5)
        self.comb_iter_1_right = BranchSeparables(width, width, 3)
        self.comb_iter_4_left = BranchSeparables(width, width, 3)

    def forward(self, newer: torch.Tensor, older: torch.Tensor) -> torch.Tensor:
        """Return (N, 6 * width, H, W) from the outputs of the last two cells."""
        newer, older = self.states(newer, older)
        newer_relu, older_relu = functional.relu(newer), functional.relu(older)
        older_mean = avg_pool(older, stride=1)
        outputs = [
            older,
            self.comb_iter_0_left(newer_relu) + self.comb_iter_0_right(older_relu),
            self.comb_iter_1_left(older_relu) + self.comb_iter_1_right(older_relu),
            avg_pool(newer, stride=1) + older,
            older_mean + older_mean,  # the search found this pair
            self.comb_iter_4_left(newer_relu) + newer,
        ]
        return torch.cat(outputs, dim=1)


class ReductionCell(Cell):
    """Halves the size; four of its five sums stand in the output's channels, the first feeds two others."""

    def __init__(
        self, older: int, newer: int, width: int, adapt: Literal["squeeze", "halve", "keep"]
    ) -> None:
        super().__init__(older, newer, width, adapt)
        self.out_channels = 4 * width
        if adapt != "keep":
            older = width
        self.comb_iter_0_left = BranchSeparables(width, width, 5, 2)
        self.comb_iter_0_right = BranchSeparables(older, width, 7, 2)
        self.comb_iter_1_right = BranchSeparables(older, width, 7, 2)
        self.comb_iter_2_right = BranchSeparables(older, width, 5, 2)
        self.comb_iter_4_left = BranchSeparables(width, width, 3)

    def forward(self, newer: torch.Tensor, older: torch.Tensor | None = None) -> torch.Tensor:
        """Return (N, 4 * width, H / 2, W / 2) from the outputs of the last two cells.

        The first cell has only one input.
        """
        newer, older = self.states(newer, newer if older is None else older)
        older = functional.relu(older)
        newer_max = max_pool(newer)
        first = self.comb_iter_0_left(functional.relu(newer)) + self.comb_iter_0_right(older)
        second = newer_max + self.comb_iter_1_right(older)
        outputs = [
            second,
            avg_pool(newer, stride=2) + self.comb_iter_2_right(older),
            avg_pool(first, stride=1) + second,
            self.comb_iter_4_left(functional.relu(first)) + newer_max,
        ]
        return torch.cat(outputs, dim=1)


class SecondStemCell(ReductionCell):
    """The second cell, which alone is given its older input first."""

    # The original has it so, and programs that run the cells themselves pass the two by position.
    def forward(self, older: torch.Tensor, newer: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Return (N, 4 * width, H / 2, W / 2) from the outputs of the last two cells."""
        return super().forward(newer, older)


class NASNet(nn.Module):
    """A NASNet-A with its classifier in `last_linear`."""

    def __init__(self, config: NASNetConfig, *, num_classes: int = 1000) -> None:
        super().__init__()
        self.reductions_skipped = config.reductions_skipped
        stem, width = config.stem_width, config.width
        conv = nn.Conv2d(3, stem, 3, stride=2, bias=False)
        self.conv0 = nn.Sequential(OrderedDict(conv=conv, bn=norm(stem)))
        self.cell_stem_0 = ReductionCell(stem, stem, width // 4, "keep")
        self.cell_stem_1 = SecondStemCell(stem, width, width // 2, "halve")
        self.cells: list[str] = []
        older, newer = width, 2 * width
        for stage in range(3):
            for number in range(config.depth):
                cell = NormalCell(older, newer, width, "squeeze" if number else "halve")
                # The tensors' names leave room for six cells a stage in networks with fewer.
                self.cells.append(f"cell_{6 * stage + number}")
                self.add_module(self.cells[-1], cell)
                older, newer = newer, cell.out_channels
            if stage < 2:
                width *= 2
                reduction = ReductionCell(older, newer, width, "squeeze")
                self.cells.append(f"reduction_cell_{stage}")
                self.add_module(self.cells[-1], reduction)
                older, newer = newer, reduction.out_channels
        self.relu = nn.ReLU()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.5)
        self.penultimate_filters = newer
        self.last_linear = nn.Linear(newer, num_classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to the last feature map before its ReLU (N, C, H / 32, W / 32)."""
        x = self.conv0(x)  # (N, stem_width, H/2, W/2)
        older = self.cell_stem_0(x)  # (N, width, H/4, W/4)
        newer = self.cell_stem_1(x, older)  # (N, 2 * width, H/8, W/8)
        for name in self.cells:
            output = self.get_submodule(name)(newer, older)  # (N, 6 to 24 * width, H/8 to H/32, W/8 to W/32)
            if not (name.startswith("reduction_cell") and self.reductions_skipped):
                older = newer
            newer = output
        features: torch.Tensor = newer
        return features

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to pooled features (N, C), none below 0."""
        pooled: torch.Tensor = self.avg_pool(self.relu(features))
        return pooled.flatten(1)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        logits: torch.Tensor = self.last_linear(self.dropout(self.pool(features)))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


Network = NASNet
