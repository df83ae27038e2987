"""Inception-v4: the Inception blocks of Google's third version made uniform, behind a branching stem.

Paper: Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning", https://arxiv.org/abs/1602.07261

As in Google's TensorFlow release, whose weights this port carries: a tall and a wide convolution in a row
stand in the release's order where the paper's figures have the other, and averages within a block leave the
padding out. The final pooling is global, so any input size of 75 pixels or more goes through.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class InceptionV4Config:
    """Shape of an Inception-v4.

    Attributes:
        depths: number of Inception-A, Inception-B and Inception-C blocks.
    """

    depths: tuple[int, int, int] = (4, 7, 3)


CONFIGS = {"inceptionv4": InceptionV4Config()}

# Name of a convolution as in the paper's figures -> kernel, stride, padding.
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

# A block is its branches by name, a branch its steps; a step is (width, name of a convolution) or a pooling.
Step = tuple[int, str] | str
Branches = Mapping[str, tuple[Step, ...]]

STEM_3A: Branches = {"maxpool": ("maximum",), "conv": ((96, "3x3 halving"),)}
STEM_4A: Branches = {
    "branch0": ((64, "1x1"), (96, "3x3 valid")),
    "branch1": ((64, "1x1"), (64, "1x7"), (64, "7x1"), (96, "3x3 valid")),
}
STEM_5A: Branches = {"conv": ((192, "3x3 halving"),), "maxpool": ("maximum",)}
INCEPTION_A: Branches = {
    "branch0": ((96, "1x1"),),
    "branch1": ((64, "1x1"), (96, "3x3")),
    "branch2": ((64, "1x1"), (96, "3x3"), (96, "3x3")),
    "branch3": ("average", (96, "1x1")),
}
REDUCTION_A: Branches = {
    "branch0": ((384, "3x3 halving"),),
    "branch1": ((192, "1x1"), (224, "3x3"), (256, "3x3 halving")),
    "branch2": ("maximum",),
}
INCEPTION_B: Branches = {
    "branch0": ((384, "1x1"),),
    "branch1": ((192, "1x1"), (224, "1x7"), (256, "7x1")),
    "branch2": ((192, "1x1"), (192, "7x1"), (224, "1x7"), (224, "7x1"), (256, "1x7")),
    "branch3": ("average", (128, "1x1")),
}
REDUCTION_B: Branches = {
    "branch0": ((192, "1x1"), (192, "3x3 halving")),
    "branch1": ((256, "1x1"), (256, "1x7"), (320, "7x1"), (320, "3x3 halving")),
    "branch2": ("maximum",),
}


class BasicConv2d(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, name: str) -> None:
        super().__init__()
        kernel, stride, padding = KERNELS[name]
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H', W')."""
        out: torch.Tensor = self.relu(self.bn(self.conv(x)))
        return out


def average_pool() -> nn.AvgPool2d:
    """Return the 3x3 average of a block, taken over pixels of the map alone, which keeps the size."""
    return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)


class Mixed(nn.Module):
    """A block of the table: every branch reads the input, the outputs stand side by side in the channels."""

    def __init__(self, in_channels: int, branches: Branches) -> None:
        super().__init__()
        self.out_channels = 0
        for name, steps in branches.items():
            width = in_channels
            modules: list[nn.Module] = []
            for step in steps:
                if isinstance(step, tuple):
                    modules.append(BasicConv2d(width, *step))
                    width = step[0]
                else:
                    modules.append(average_pool() if step == "average" else nn.MaxPool2d(3, stride=2))
            self.add_module(name, modules[0] if len(modules) == 1 else nn.Sequential(*modules))
            self.out_channels += width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H', W')."""
        return torch.cat([branch(x) for branch in self.children()], dim=1)


class InceptionC(nn.Module):
    """The block of the last grid, two of whose branches end in a 1x3 and a 3x1 convolution side by side."""

    out_channels = 1536

    def __init__(self) -> None:
        super().__init__()
        self.branch0 = BasicConv2d(1536, 256, "1x1")
        self.branch1_0 = BasicConv2d(1536, 384, "1x1")
        self.branch1_1a = BasicConv2d(384, 256, "1x3")
        self.branch1_1b = BasicConv2d(384, 256, "3x1")
        self.branch2_0 = BasicConv2d(1536, 384, "1x1")
        self.branch2_1 = BasicConv2d(384, 448, "3x1")
        self.branch2_2 = BasicConv2d(448, 512, "1x3")
        self.branch2_3a = BasicConv2d(512, 256, "1x3")
        self.branch2_3b = BasicConv2d(512, 256, "3x1")
        self.branch3 = nn.Sequential(average_pool(), BasicConv2d(1536, 256, "1x1"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 1536, H, W) to the same shape."""
        short = self.branch1_0(x)  # (N, 384, H, W)
        long = self.branch2_2(self.branch2_1(self.branch2_0(x)))  # (N, 512, H, W)
        outputs = [
            self.branch0(x),
            self.branch1_1a(short),
            self.branch1_1b(short),
            self.branch2_3a(long),
            self.branch2_3b(long),
            self.branch3(x),
        ]  # six of (N, 256, H, W)
        return torch.cat(outputs, dim=1)


class InceptionV4(nn.Module):
    """An Inception-v4 with its classifier in `last_linear`.

    `features` is a module: it maps pictures (N, 3, H, W) to the last feature map (N, 1536, H / 32, W / 32), 8
    pixels wide for 299.
    """

    def __init__(self, config: InceptionV4Config, *, num_classes: int = 1000) -> None:
        super().__init__()
        depth_a, depth_b, depth_c = config.depths
        layers: list[nn.Module] = [
            BasicConv2d(3, 32, "3x3 halving"),  # (N, 32, 149, 149) of (N, 3, 299, 299)
            BasicConv2d(32, 32, "3x3 valid"),  # (N, 32, 147, 147)
            BasicConv2d(32, 64, "3x3"),  # (N, 64, 147, 147)
        ]
        width = 64
        tables = [STEM_3A, STEM_4A, STEM_5A]  # (N, 384, 35, 35)
        tables += [INCEPTION_A] * depth_a + [REDUCTION_A]  # (N, 1024, 17, 17)
        tables += [INCEPTION_B] * depth_b + [REDUCTION_B]  # (N, 1536, 8, 8)
        for table in tables:
            block = Mixed(width, table)
            layers.append(block)
            width = block.out_channels
        layers += [InceptionC() for _ in range(depth_c)]
        self.features = nn.Sequential(*layers)
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.last_linear = nn.Linear(InceptionC.out_channels, num_classes)

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to pooled features (N, 1536)."""
        pooled: torch.Tensor = self.avg_pool(features)
        return pooled.flatten(1)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        logits: torch.Tensor = self.last_linear(self.pool(features))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


Network = InceptionV4
