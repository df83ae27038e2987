"""Xception: an Inception taken to its extreme, where every convolution sees space and channels apart.

Paper: Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", https://arxiv.org/abs/1610.02357

This port carries the weights of the author's Keras release as they were brought to PyTorch: the layers are
the paper's; padding is the same at both sides, where TensorFlow pads even sizes at one side only. The last
ReLU belongs to the pooling: `features` gives the map before it, and `pool` leaves that map as it is (the
original wrote its ReLU into it). The final pooling is global, so any input size of 7 pixels or more goes
through.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class XceptionConfig:
    """Shape of an Xception.

    Attributes:
        entry: widths of the entry flow's three blocks; the last is the width of the middle flow.
        middle_depth: number of blocks in the middle flow.
        exit: widths of the exit flow's block and of its two separable convolutions.
    """

    entry: tuple[int, int, int] = (128, 256, 728)
    middle_depth: int = 8
    exit: tuple[int, int, int] = (1024, 1536, 2048)


CONFIGS = {"xception": XceptionConfig()}


class SeparableConv2d(nn.Module):
    """A 3x3 convolution of each channel by itself, then a 1x1 convolution over the channels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        out: torch.Tensor = self.pointwise(self.conv1(x))
        return out


class Block(nn.Module):
    """Separable convolutions of the given widths, each after a ReLU, beside a shortcut (figure 5).

    With stride 2 a max-pooling ends the block. The network's first block has no ReLU before its first
    convolution: its input has passed one.
    """

    def __init__(
        self, in_channels: int, widths: tuple[int, ...], stride: int, *, first_relu: bool = True
    ) -> None:
        super().__init__()
        self.skip: nn.Module | None = None
        if stride != 1 or widths[-1] != in_channels:
            self.skip = nn.Conv2d(in_channels, widths[-1], 1, stride=stride, bias=False)
            self.skipbn = nn.BatchNorm2d(widths[-1])
        layers: list[nn.Module] = []
        for previous, width in zip((in_channels, *widths), widths, strict=False):
            # The first ReLU reads the block's input, as the shortcut does: it must not write in place.
            layers += [nn.ReLU(inplace=bool(layers)), SeparableConv2d(previous, width), nn.BatchNorm2d(width)]
        if stride != 1:
            layers.append(nn.MaxPool2d(3, stride=stride, padding=1))
        self.rep = nn.Sequential(*layers[0 if first_relu else 1 :])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, H, W) to (N, widths[-1], H / stride, W / stride), sizes rounded up."""
        out: torch.Tensor = self.rep(x)
        out += x if self.skip is None else self.skipbn(self.skip(x))
        return out


class Xception(nn.Module):
    """An Xception with its classifier in `last_linear`."""

    def __init__(self, config: XceptionConfig, *, num_classes: int = 1000) -> None:
        super().__init__()
        small, medium, width = config.entry
        self.conv1 = nn.Conv2d(3, 32, 3, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(32, 64, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        blocks = [
            Block(64, (small, small), 2, first_relu=False),
            Block(small, (medium, medium), 2),
            Block(medium, (width, width), 2),
            *(Block(width, (width, width, width), 1) for _ in range(config.middle_depth)),
            Block(width, (width, config.exit[0]), 2),
        ]
        self.num_blocks = len(blocks)
        for number, block in enumerate(blocks, start=1):
            self.add_module(f"block{number}", block)
        self.conv3 = SeparableConv2d(config.exit[0], config.exit[1])
        self.bn3 = nn.BatchNorm2d(config.exit[1])
        self.conv4 = SeparableConv2d(config.exit[1], config.exit[2])
        self.bn4 = nn.BatchNorm2d(config.exit[2])
        self.last_linear = nn.Linear(config.exit[2], num_classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to the last feature map before its ReLU (N, 2048, H / 32, W / 32)."""
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 32, H/2, W/2)
        x = self.relu(self.bn2(self.conv2(x)))  # (N, 64, H/2, W/2)
        for number in range(1, self.num_blocks + 1):
            x = self.get_submodule(f"block{number}")(x)  # (N, 128 to 1024, H/4 to H/32, W/4 to W/32)
        x = self.relu(self.bn3(self.conv3(x)))  # (N, 1536, H/32, W/32)
        features: torch.Tensor = self.bn4(self.conv4(x))  # (N, 2048, H/32, W/32)
        return features

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to pooled features (N, 2048), none below 0."""
        return functional.relu(features).mean((2, 3))

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        logits: torch.Tensor = self.last_linear(self.pool(features))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


Network = Xception
