"""FBResNet: Facebook's Torch7 training of the residual network.

Paper: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", https://arxiv.org/abs/1512.03385

This port carries the weights of Facebook's fb.resnet.torch. As in torchvision's ResNet, and unlike the
paper, the stride of a stage sits in the 3x3 convolution; unlike both, every convolution has a bias. The
final pooling is global, so any input size of 32 pixels or more goes through; at 224 it equals the
original's window of 7.
"""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class FBResNetConfig:
    """Shape of an FBResNet.

    Attributes:
        depths: number of blocks in each of the four stages.
    """

    depths: tuple[int, int, int, int]


CONFIGS = {"fbresnet152": FBResNetConfig(depths=(3, 8, 36, 3))}


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1, sum."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, kernel_size=1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, 4 * width, H / stride, W / stride)."""
        residual = x if self.downsample is None else self.downsample(x)
        out: torch.Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += residual
        out = self.relu(out)
        return out


class FBResNet(nn.Module):
    """An FBResNet with its classifier in `last_linear`."""

    def __init__(self, config: FBResNetConfig, *, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._stage(64, 64, config.depths[0], stride=1)
        self.layer2 = self._stage(256, 128, config.depths[1], stride=2)
        self.layer3 = self._stage(512, 256, config.depths[2], stride=2)
        self.layer4 = self._stage(1024, 512, config.depths[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.last_linear = nn.Linear(2048, num_classes)

    @staticmethod
    def _stage(in_channels: int, width: int, depth: int, *, stride: int) -> nn.Sequential:
        first = Bottleneck(in_channels, width, stride)
        rest = [Bottleneck(width * Bottleneck.expansion, width, 1) for _ in range(depth - 1)]
        return nn.Sequential(first, *rest)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to the last feature map (N, 2048, H / 32, W / 32)."""
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 64, H/2, W/2)
        x = self.maxpool(x)  # (N, 64, H/4, W/4)
        x = self.layer1(x)  # (N, 256, H/4, W/4)
        x = self.layer2(x)  # (N, 512, H/8, W/8)
        x = self.layer3(x)  # (N, 1024, H/16, W/16)
        features: torch.Tensor = self.layer4(x)  # (N, 2048, H/32, W/32)
        return features

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to pooled features (N, 2048)."""
        pooled: torch.Tensor = self.avgpool(features)
        return pooled.flatten(1)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        logits: torch.Tensor = self.last_linear(self.pool(features))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


Network = FBResNet
