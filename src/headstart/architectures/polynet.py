"""PolyNet: Inception-ResNet whose residual units are polynomials of a block or sums of several blocks.

Paper: Zhang, Li, Loy, Lin, "PolyNet: A Pursuit of Structural Diversity in Very Deep Networks",
https://arxiv.org/abs/1611.05725

This is the paper's Very Deep PolyNet as in its authors' Caffe release, whose weights this port carries: 2-way
units in the first stage, poly-3 and 2-way units in turn in the other two. The powers of a poly-3 unit's block
share its convolutions, but neither the normalisations nor the last convolution. What a unit adds is scaled by
a number that falls evenly from 1 in the first unit to 0.7 in the last. The final pooling is global, so any
input size of 75 pixels or more goes through.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class PolyNetConfig:
    """Shape of a PolyNet.

    Attributes:
        depths: number of residual units in each of the three stages.
        last_scale: what the last unit's additions are multiplied by.
    """

    depths: tuple[int, int, int] = (10, 20, 10)
    last_scale: float = 0.7


CONFIGS = {"polynet": PolyNetConfig()}

# Name of a convolution -> kernel, stride, padding.
KERNELS = {
    "1x1": ((1, 1), 1, (0, 0)),
    "3x3": ((3, 3), 1, (1, 1)),
    "1x3": ((1, 3), 1, (0, 1)),
    "3x1": ((3, 1), 1, (1, 0)),
    "1x7": ((1, 7), 1, (0, 3)),
    "7x1": ((7, 1), 1, (3, 0)),
    "3x3 valid": ((3, 3), 1, (0, 0)),
    "3x3 halving": ((3, 3), 2, (0, 0)),
}

# A block is its paths by name, a path its convolutions: (width, name). A reduction also has a max-pooling.
Path = tuple[tuple[int, str], ...]
Paths = Mapping[str, Path]

BLOCK_A: Paths = {
    "path0": ((32, "1x1"), (48, "3x3"), (64, "3x3")),
    "path1": ((32, "1x1"), (32, "3x3")),
    "path2": ((32, "1x1"),),
}
BLOCK_B: Paths = {"path0": ((128, "1x1"), (160, "1x7"), (192, "7x1")), "path1": ((192, "1x1"),)}
BLOCK_C: Paths = {"path0": ((192, "1x1"), (224, "1x3"), (256, "3x1")), "path1": ((192, "1x1"),)}
REDUCTION_A: Paths = {
    "path0": ((256, "1x1"), (256, "3x3"), (384, "3x3 halving")),
    "path1": ((384, "3x3 halving"),),
}
REDUCTION_B: Paths = {
    "path0": ((256, "1x1"), (256, "3x3"), (256, "3x3 halving")),
    "path1": ((256, "1x1"), (256, "3x3 halving")),
    "path2": ((256, "1x1"), (384, "3x3 halving")),
}


def convolution(in_channels: int, out_channels: int, name: str) -> nn.Conv2d:
    """Return a convolution of the table, without bias."""
    kernel, stride, padding = KERNELS[name]
    return nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=padding, bias=False)


class BasicConv2d(nn.Module):
    """Convolution, batch normalisation, ReLU (the last on demand)."""

    def __init__(self, in_channels: int, out_channels: int, name: str, *, last_relu: bool = True) -> None:
        super().__init__()
        self.conv = convolution(in_channels, out_channels, name)
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True) if last_relu else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H', W')."""
        out: torch.Tensor = self.relu(self.bn(self.conv(x)))
        return out


def chain(in_channels: int, path: Path) -> nn.Module:
    """Return the convolutions of a path in a row; one alone is not wrapped, as the tensors' names want it."""
    modules = []
    for width, name in path:
        modules.append(BasicConv2d(in_channels, width, name))
        in_channels = width
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


class Stem(nn.Module):
    """The stem of Inception-v4: (N, 3, H, W) to (N, 384, H / 8, W / 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = chain(3, ((32, "3x3 halving"), (32, "3x3 valid"), (64, "3x3")))
        self.conv1_branch = chain(64, ((96, "3x3 halving"),))
        self.conv2_short = chain(160, ((64, "1x1"), (96, "3x3 valid")))
        self.conv2_long = chain(160, ((64, "1x1"), (64, "7x1"), (64, "1x7"), (96, "3x3 valid")))
        self.conv2_branch = chain(192, ((192, "3x3 halving"),))
        self.max_pool = nn.MaxPool2d(3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to (N, 384, H / 8, W / 8)."""
        x = self.conv1(x)  # (N, 64, H/2, W/2)
        x = torch.cat((self.max_pool(x), self.conv1_branch(x)), dim=1)  # (N, 160, H/4, W/4)
        x = torch.cat((self.conv2_short(x), self.conv2_long(x)), dim=1)  # (N, 192, H/4, W/4)
        return torch.cat((self.max_pool(x), self.conv2_branch(x)), dim=1)  # (N, 384, H/8, W/8)


class Reduction(nn.Module):
    """Convolutional paths that halve the size and a max-pooling, side by side in the channels."""

    def __init__(self, in_channels: int, paths: Paths) -> None:
        super().__init__()
        for name, path in paths.items():
            self.add_module(name, chain(in_channels, path))
        self.add_module(f"path{len(paths)}", nn.MaxPool2d(3, stride=2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, H, W) to (N, widths of the paths and in_channels, H / 2, W / 2)."""
        return torch.cat([path(x) for path in self.children()], dim=1)


class Block(nn.Module):
    """An Inception-ResNet block: paths joined by a linear 1x1 convolution to the input's width."""

    def __init__(self, channels: int, paths: Paths) -> None:
        super().__init__()
        for name, path in paths.items():
            self.add_module(name, chain(channels, path))
        joined = sum(path[-1][0] for path in paths.values())
        self.conv2d = BasicConv2d(joined, channels, "1x1", last_relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to the same shape."""
        paths = [path for name, path in self.named_children() if name.startswith("path")]
        out: torch.Tensor = self.conv2d(torch.cat([path(x) for path in paths], dim=1))
        return out


class TwoWay(nn.Module):
    """A 2-way unit: ReLU of x + scale * (F(x) + G(x)), F and G blocks of one form."""

    def __init__(self, channels: int, paths: Paths, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.blocks = nn.ModuleList(Block(channels, paths) for _ in range(2))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to the same shape."""
        total = x
        for block in self.blocks:
            total = torch.add(total, block(x), alpha=self.scale)
        out: torch.Tensor = self.relu(total)
        return out


class PolyConv2d(nn.Module):
    """A convolution shared between the powers of a block, each of which normalises in its own way."""

    def __init__(self, in_channels: int, out_channels: int, name: str, order: int) -> None:
        super().__init__()
        self.conv = convolution(in_channels, out_channels, name)
        self.bn_blocks = nn.ModuleList(nn.BatchNorm2d(out_channels) for _ in range(order))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor, power: int) -> torch.Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W) in the block's given power, from 0."""
        out: torch.Tensor = self.relu(self.bn_blocks[power](self.conv(x)))
        return out


class Poly(nn.Module):
    """A poly-3 unit: ReLU of x + scale * (F(x) + F(F(x)) + F(F(F(x)))), a ReLU before each further F."""

    order = 3

    def __init__(self, channels: int, paths: Paths, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.paths: list[list[str]] = []  # names of the convolutions of each path
        for name, path in paths.items():
            self.paths.append([name] if len(path) == 1 else [f"{name}_{kernel}" for _, kernel in path])
            width = channels
            for label, (out_width, kernel) in zip(self.paths[-1], path, strict=True):
                self.add_module(label, PolyConv2d(width, out_width, kernel, self.order))
                width = out_width
        joined = sum(path[-1][0] for path in paths.values())
        self.conv2d_blocks = nn.ModuleList(
            BasicConv2d(joined, channels, "1x1", last_relu=False) for _ in range(self.order)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to the same shape."""
        total = x
        for power, join in enumerate(self.conv2d_blocks):
            x = join(torch.cat([self._path(x, labels, power) for labels in self.paths], dim=1))
            total = torch.add(total, x, alpha=self.scale)
            x = self.relu(x)
        out: torch.Tensor = self.relu(total)
        return out

    def _path(self, x: torch.Tensor, labels: list[str], power: int) -> torch.Tensor:
        for label in labels:
            x = self.get_submodule(label)(x, power)
        return x


class PolyNet(nn.Module):
    """A PolyNet with its classifier in `last_linear`."""

    def __init__(self, config: PolyNetConfig, *, num_classes: int = 1000) -> None:
        super().__init__()
        a, b, c = config.depths
        last = a + b + c - 1
        # Six digits are what the release has.
        scales = [round(1 - (1 - config.last_scale) * number / last, 6) for number in range(last + 1)]
        self.stem = Stem()
        self.stage_a = nn.Sequential(*(TwoWay(384, BLOCK_A, scale) for scale in scales[:a]))
        self.reduction_a = Reduction(384, REDUCTION_A)
        self.stage_b = self._mixed(1152, BLOCK_B, scales[a : a + b])
        self.reduction_b = Reduction(1152, REDUCTION_B)
        self.stage_c = self._mixed(2048, BLOCK_C, scales[a + b :])
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.last_linear = nn.Linear(2048, num_classes)

    @staticmethod
    def _mixed(channels: int, paths: Paths, scales: list[float]) -> nn.Sequential:
        units = (TwoWay if number % 2 else Poly for number in range(len(scales)))
        return nn.Sequential(
            *(unit(channels, paths, scale) for unit, scale in zip(units, scales, strict=True))
        )

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to the last feature map (N, 2048, H / 32, W / 32)."""
        x = self.stage_a(self.stem(x))  # (N, 384, H/8, W/8)
        x = self.stage_b(self.reduction_a(x))  # (N, 1152, H/16, W/16)
        features: torch.Tensor = self.stage_c(self.reduction_b(x))  # (N, 2048, H/32, W/32)
        return features

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to pooled features (N, 2048)."""
        pooled: torch.Tensor = self.avg_pool(features)
        return pooled.flatten(1)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        logits: torch.Tensor = self.last_linear(self.dropout(self.pool(features)))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


Network = PolyNet
