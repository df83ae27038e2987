"""Inception-ResNet-v2: Inception blocks whose joined branches are a small correction added to their input.

Paper: Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning", https://arxiv.org/abs/1602.07261

Differences from the paper, as in Google's TensorFlow release, whose weights this port carries: the stem is
Inception-v3's with one Inception block behind it; the three grids have 10, 20 and 10 residual blocks on 320,
1,088 and 2,080 channels (figure 15: 5, 10 and 5); the very last block adds its correction unscaled and has no
ReLU. The final pooling is global, so any input size of 75 pixels or more goes through.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class InceptionResNetV2Config:
    """Shape of an Inception-ResNet-v2.

    Attributes:
        depths: number of scaled residual blocks on each of the three grids; one unscaled block follows.
        scales: what the corrections on each grid are multiplied by (section 3.3 of the paper).
    """

    depths: tuple[int, int, int] = (10, 20, 9)
    scales: tuple[float, float, float] = (0.17, 0.1, 0.2)


CONFIGS = {"inceptionresnetv2": InceptionResNetV2Config()}

# Name of a convolution as in the paper's figures -> kernel, stride, padding.
KERNELS = {
    "1x1": ((1, 1), 1, (0, 0)),
    "3x3": ((3, 3), 1, (1, 1)),
    "5x5": ((5, 5), 1, (2, 2)),
    "1x3": ((1, 3), 1, (0, 1)),
    "3x1": ((3, 1), 1, (1, 0)),
    "1x7": ((1, 7), 1, (0, 3)),
    "7x1": ((7, 1), 1, (3, 0)),
    "3x3 valid": ((3, 3), 1, (0, 0)),
    "3x3 halving": ((3, 3), 2, (0, 0)),
}

# A block is its branches, a branch its steps; a step is (width, name of a convolution) or a pooling.
Step = tuple[int, str] | str
Branches = tuple[tuple[Step, ...], ...]

MIXED_5B: Branches = (
    ((96, "1x1"),),
    ((48, "1x1"), (64, "5x5")),
    ((64, "1x1"), (96, "3x3"), (96, "3x3")),
    ("average", (64, "1x1")),
)
BLOCK_35: Branches = (((32, "1x1"),), ((32, "1x1"), (32, "3x3")), ((32, "1x1"), (48, "3x3"), (64, "3x3")))
MIXED_6A: Branches = (
    ((384, "3x3 halving"),),
    ((256, "1x1"), (256, "3x3"), (384, "3x3 halving")),
    ("maximum",),
)
BLOCK_17: Branches = (((192, "1x1"),), ((128, "1x1"), (160, "1x7"), (192, "7x1")))
MIXED_7A: Branches = (
    ((256, "1x1"), (384, "3x3 halving")),
    ((256, "1x1"), (288, "3x3 halving")),
    ((256, "1x1"), (288, "3x3"), (320, "3x3 halving")),
    ("maximum",),
)
BLOCK_8: Branches = (((192, "1x1"),), ((192, "1x1"), (224, "1x3"), (256, "3x1")))


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


class Mixed(nn.Module):
    """A block of the table: every branch reads the input, the outputs stand side by side in the channels."""

    def __init__(self, in_channels: int, branches: Branches) -> None:
        super().__init__()
        self.joined_channels = 0
        for number, steps in enumerate(branches):
            width = in_channels
            modules: list[nn.Module] = []
            for step in steps:
                if isinstance(step, tuple):
                    modules.append(BasicConv2d(width, *step))
                    width = step[0]
                elif step == "average":
                    modules.append(nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False))
                else:
                    modules.append(nn.MaxPool2d(3, stride=2))
            self.add_module(f"branch{number}", modules[0] if len(modules) == 1 else nn.Sequential(*modules))
            self.joined_channels += width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, H, W) to (N, joined_channels, H', W')."""
        branches = [module for name, module in self.named_children() if name.startswith("branch")]
        return torch.cat([branch(x) for branch in branches], dim=1)


class ResidualMixed(Mixed):
    """Branches that a 1x1 convolution makes a correction of; scaled, it is added to the input."""

    def __init__(
        self, channels: int, branches: Branches, *, scale: float = 1.0, last_relu: bool = True
    ) -> None:
        super().__init__(channels, branches)
        self.scale = scale
        self.conv2d = nn.Conv2d(self.joined_channels, channels, 1)
        self.relu = nn.ReLU(inplace=True) if last_relu else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to the same shape."""
        correction: torch.Tensor = self.conv2d(super().forward(x))
        out: torch.Tensor = self.relu(torch.add(x, correction, alpha=self.scale))
        return out


class InceptionResNetV2(nn.Module):
    """An Inception-ResNet-v2 with its classifier in `last_linear`."""

    def __init__(self, config: InceptionResNetV2Config, *, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv2d_1a = BasicConv2d(3, 32, "3x3 halving")
        self.conv2d_2a = BasicConv2d(32, 32, "3x3 valid")
        self.conv2d_2b = BasicConv2d(32, 64, "3x3")
        self.maxpool_3a = nn.MaxPool2d(3, stride=2)
        self.conv2d_3b = BasicConv2d(64, 80, "1x1")
        self.conv2d_4a = BasicConv2d(80, 192, "3x3 valid")
        self.maxpool_5a = nn.MaxPool2d(3, stride=2)
        self.mixed_5b = Mixed(192, MIXED_5B)
        self.repeat = self._grid(320, BLOCK_35, config.depths[0], config.scales[0])
        self.mixed_6a = Mixed(320, MIXED_6A)
        self.repeat_1 = self._grid(1088, BLOCK_17, config.depths[1], config.scales[1])
        self.mixed_7a = Mixed(1088, MIXED_7A)
        self.repeat_2 = self._grid(2080, BLOCK_8, config.depths[2], config.scales[2])
        self.block8 = ResidualMixed(2080, BLOCK_8, last_relu=False)
        self.conv2d_7b = BasicConv2d(2080, 1536, "1x1")
        self.avgpool_1a = nn.AdaptiveAvgPool2d(1)
        self.last_linear = nn.Linear(1536, num_classes)

    @staticmethod
    def _grid(channels: int, branches: Branches, depth: int, scale: float) -> nn.Sequential:
        return nn.Sequential(*(ResidualMixed(channels, branches, scale=scale) for _ in range(depth)))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to the last feature map (N, 1536, H / 32, W / 32).

        The shapes in the comments are those of a picture of 299 x 299 pixels.
        """
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x)))  # (N, 64, 147, 147)
        x = self.conv2d_4a(self.conv2d_3b(self.maxpool_3a(x)))  # (N, 192, 71, 71)
        x = self.repeat(self.mixed_5b(self.maxpool_5a(x)))  # (N, 320, 35, 35)
        x = self.repeat_1(self.mixed_6a(x))  # (N, 1088, 17, 17)
        x = self.block8(self.repeat_2(self.mixed_7a(x)))  # (N, 2080, 8, 8)
        features: torch.Tensor = self.conv2d_7b(x)  # (N, 1536, 8, 8)
        return features

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to pooled features (N, 1536)."""
        pooled: torch.Tensor = self.avgpool_1a(features)
        return pooled.flatten(1)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        pooled = functional.dropout(self.pool(features), training=self.training)
        logits: torch.Tensor = self.last_linear(pooled)
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


Network = InceptionResNetV2
