"""SE-ResNet: a residual network whose blocks weigh their channels by what the whole picture shows.

Paper: Hu, Shen, Sun, "Squeeze-and-Excitation Networks", https://arxiv.org/abs/1709.01507

Differences from torchvision's ResNet, as in the authors' Caffe release, whose weights this port carries:
the stride of a stage sits in the first 1x1 convolution, not in the 3x3; the max-pooling rounds its output
size up; every block ends in a squeeze-and-excitation gate before the sum. The final pooling is global, so
any input size of 32 pixels or more goes through; at 224 it equals the original's window of 7.
"""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class SENetConfig:
    """Shape of an SE-ResNet.

    Attributes:
        depths: number of blocks in each of the four stages.
        reduction: width of a block over the width of its gate's hidden layer.
    """

    depths: tuple[int, int, int, int]
    reduction: int = 16


CONFIGS = {"se_resnet50": SENetConfig(depths=(3, 4, 6, 3))}


class SEModule(nn.Module):
    """Squeeze to one number a channel, excite to one weight a channel, multiply (section 3 of the paper)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, kernel_size=1)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(channels // reduction, channels, kernel_size=1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` of shape (N, C, H, W) with each channel weighted by a number in (0, 1)."""
        squeezed = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        weights: torch.Tensor = self.sigmoid(self.fc2(self.relu(self.fc1(squeezed))))  # (N, C, 1, 1)
        return x * weights


class SEResNetBottleneck(nn.Module):
    """1x1 (with the stride), 3x3, 1x1, gate, sum."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, reduction: int) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=1, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.se_module = SEModule(out_channels, reduction)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, 4 * width, H / stride, W / stride)."""
        residual = x if self.downsample is None else self.downsample(x)
        out: torch.Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out = self.relu(self.se_module(out) + residual)
        return out


class SENet(nn.Module):
    """An SE-ResNet with its classifier in `last_linear`."""

    def __init__(self, config: SENetConfig, *, num_classes: int = 1000) -> None:
        super().__init__()
        self.layer0 = nn.Sequential()
        self.layer0.add_module("conv1", nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False))
        self.layer0.add_module("bn1", nn.BatchNorm2d(64))
        self.layer0.add_module("relu1", nn.ReLU(inplace=True))
        self.layer0.add_module("pool", nn.MaxPool2d(3, stride=2, ceil_mode=True))
        self.layer1 = self._stage(64, 64, config.depths[0], stride=1, reduction=config.reduction)
        self.layer2 = self._stage(256, 128, config.depths[1], stride=2, reduction=config.reduction)
        self.layer3 = self._stage(512, 256, config.depths[2], stride=2, reduction=config.reduction)
        self.layer4 = self._stage(1024, 512, config.depths[3], stride=2, reduction=config.reduction)
        self.last_linear = nn.Linear(2048, num_classes)

    @staticmethod
    def _stage(in_channels: int, width: int, depth: int, *, stride: int, reduction: int) -> nn.Sequential:
        out_channels = width * SEResNetBottleneck.expansion
        first = SEResNetBottleneck(in_channels, width, stride, reduction)
        rest = [SEResNetBottleneck(out_channels, width, 1, reduction) for _ in range(depth - 1)]
        return nn.Sequential(first, *rest)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to the last feature map (N, 2048, H / 32, W / 32)."""
        x = self.layer0(x)  # (N, 64, H/4, W/4)
        x = self.layer1(x)  # (N, 256, H/4, W/4)
        x = self.layer2(x)  # (N, 512, H/8, W/8)
        x = self.layer3(x)  # (N, 1024, H/16, W/16)
        features: torch.Tensor = self.layer4(x)  # (N, 2048, H/32, W/32)
        return features

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to pooled features (N, 2048)."""
        return features.mean((2, 3))

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        logits: torch.Tensor = self.last_linear(self.pool(features))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


def se_resnet50(*, num_classes: int = 1000) -> SENet:
    """Return an SE-ResNet-50 with random weights."""
    return SENet(CONFIGS["se_resnet50"], num_classes=num_classes)
