"""SENet: residual networks whose blocks weigh their channels by what the whole picture shows.

Paper: Hu, Shen, Sun, "Squeeze-and-Excitation Networks", https://arxiv.org/abs/1709.01507

Differences from torchvision's ResNet and ResNeXt, as in the authors' Caffe release, whose weights this port
carries: every block ends in a squeeze-and-excitation gate before the sum; the max-pooling has no padding
and rounds its output size up; SE-ResNet has the stride of a stage in the first 1x1 convolution, not in the
3x3. SENet-154 has, besides, three 3x3 convolutions for a stem, half as many channels in a block's first
convolution as in its second, a 3x3 convolution on the shortcuts that halve the size, and dropout before the
classifier. The final pooling is global, so any input size of 32 pixels or more goes through; at 224 it
equals the original's window of 7.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import nn


class SEModule(nn.Module):
    """Squeeze to one number a channel, excite to one weight a channel, multiply (section 3 of the paper)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, channels // reduction, kernel_size=1)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(channels // reduction, channels, kernel_size=1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` of shape (N, C, H, W) with each channel weighted by a number in (0, 1)."""
        squeezed = self.avg_pool(x)  # (N, C, 1, 1)
        weights: torch.Tensor = self.sigmoid(self.fc2(self.relu(self.fc1(squeezed))))  # (N, C, 1, 1)
        return x * weights


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, gate, sum; the family's three kinds of block differ in their widths and strides."""

    expansion = 4
    stride_in_first = False

    def __init__(
        self,
        inplanes: int,
        planes: int,
        groups: int,
        reduction: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        first, second = self.widths(planes, groups)
        stride1, stride2 = (stride, 1) if self.stride_in_first else (1, stride)
        outplanes = planes * self.expansion
        self.conv1 = nn.Conv2d(inplanes, first, 1, stride=stride1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.conv2 = nn.Conv2d(first, second, 3, stride=stride2, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(second)
        self.conv3 = nn.Conv2d(second, outplanes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outplanes)
        self.relu = nn.ReLU(inplace=True)
        self.se_module = SEModule(outplanes, reduction)
        self.downsample = downsample

    def widths(self, planes: int, groups: int) -> tuple[int, int]:
        """Return the channels after the first and the second convolution."""
        return planes, planes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, 4 * planes, H / stride, W / stride)."""
        residual = x if self.downsample is None else self.downsample(x)
        out: torch.Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.se_module(self.bn3(self.conv3(out)))
        out += residual
        out = self.relu(out)
        return out


class SEBottleneck(Bottleneck):
    """SENet-154's block."""

    def widths(self, planes: int, groups: int) -> tuple[int, int]:
        """Return twice and four times the planes."""
        return planes * 2, planes * 4


class SEResNetBottleneck(Bottleneck):
    """SE-ResNet's block."""

    stride_in_first = True


class SEResNeXtBottleneck(Bottleneck):
    """SE-ResNeXt's block."""

    def widths(self, planes: int, groups: int) -> tuple[int, int]:
        """Return four channels a group where there are 64 planes."""
        return planes // 16 * groups, planes // 16 * groups


@dataclass(frozen=True, slots=True, kw_only=True)
class SENetConfig:
    """Shape of a network of the family.

    Attributes:
        block: the kind of block.
        depths: number of blocks in each of the four stages.
        groups: groups of a block's 3x3 convolution.
        reduction: channels of a block over the width of its gate's hidden layer.
        stem_width: channels of the stem's last convolution.
        deep_stem: three 3x3 convolutions for a stem, else one of 7x7.
        downsample_kernel: kernel size of the shortcuts that halve the size.
        dropout: share of the pooled features that training drops; None for no such layer.
    """

    block: type[Bottleneck]
    depths: tuple[int, int, int, int]
    groups: int = 1
    reduction: int = 16
    stem_width: int = 64
    deep_stem: bool = False
    downsample_kernel: int = 1
    dropout: float | None = None


CONFIGS = {
    "senet154": SENetConfig(
        block=SEBottleneck,
        depths=(3, 8, 36, 3),
        groups=64,
        stem_width=128,
        deep_stem=True,
        downsample_kernel=3,
        dropout=0.2,
    ),
    "se_resnet50": SENetConfig(block=SEResNetBottleneck, depths=(3, 4, 6, 3)),
    "se_resnet101": SENetConfig(block=SEResNetBottleneck, depths=(3, 4, 23, 3)),
    "se_resnet152": SENetConfig(block=SEResNetBottleneck, depths=(3, 8, 36, 3)),
    "se_resnext50_32x4d": SENetConfig(block=SEResNeXtBottleneck, depths=(3, 4, 6, 3), groups=32),
    "se_resnext101_32x4d": SENetConfig(block=SEResNeXtBottleneck, depths=(3, 4, 23, 3), groups=32),
}


class SENet(nn.Module):
    """A network of the family with its classifier in `last_linear`."""

    def __init__(self, config: SENetConfig, *, num_classes: int = 1000) -> None:
        super().__init__()
        expansion = config.block.expansion
        self.layer0 = self._stem(config.stem_width, deep=config.deep_stem)
        self.layer1 = self._stage(config, config.depths[0], config.stem_width, 64, stride=1)
        self.layer2 = self._stage(config, config.depths[1], 64 * expansion, 128, stride=2)
        self.layer3 = self._stage(config, config.depths[2], 128 * expansion, 256, stride=2)
        self.layer4 = self._stage(config, config.depths[3], 256 * expansion, 512, stride=2)
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = None if config.dropout is None else nn.Dropout(config.dropout)
        self.last_linear = nn.Linear(512 * expansion, num_classes)

    @staticmethod
    def _stem(out_channels: int, *, deep: bool) -> nn.Sequential:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        # (channels in, channels out, kernel size, stride) of each convolution
        shapes = [(3, out_channels, 7, 2)]
        if deep:
            shapes = [(3, 64, 3, 2), (64, 64, 3, 1), (64, out_channels, 3, 1)]
        for number, (inner, outer, kernel, stride) in enumerate(shapes, start=1):
            conv = nn.Conv2d(inner, outer, kernel, stride=stride, padding=kernel // 2, bias=False)
            layers[f"conv{number}"] = conv
            layers[f"bn{number}"] = nn.BatchNorm2d(outer)
            layers[f"relu{number}"] = nn.ReLU(inplace=True)
        layers["pool"] = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        return nn.Sequential(layers)

    @staticmethod
    def _stage(config: SENetConfig, depth: int, inplanes: int, planes: int, *, stride: int) -> nn.Sequential:
        outplanes = planes * config.block.expansion
        downsample = None
        if stride != 1 or inplanes != outplanes:
            kernel = config.downsample_kernel if stride != 1 else 1
            downsample = nn.Sequential(
                nn.Conv2d(inplanes, outplanes, kernel, stride=stride, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(outplanes),
            )
        shape = (planes, config.groups, config.reduction)
        blocks = [config.block(inplanes, *shape, stride, downsample)]
        blocks += [config.block(outplanes, *shape) for _ in range(depth - 1)]
        return nn.Sequential(*blocks)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to the last feature map (N, 2048, H / 32, W / 32)."""
        x = self.layer0(x)  # (N, 64 or 128, H/4, W/4)
        x = self.layer1(x)  # (N, 256, H/4, W/4)
        x = self.layer2(x)  # (N, 512, H/8, W/8)
        x = self.layer3(x)  # (N, 1024, H/16, W/16)
        features: torch.Tensor = self.layer4(x)  # (N, 2048, H/32, W/32)
        return features

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to pooled features (N, 2048)."""
        pooled: torch.Tensor = self.avg_pool(features)
        return pooled.flatten(1)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        pooled = self.pool(features)
        if self.dropout is not None:
            pooled = self.dropout(pooled)
        logits: torch.Tensor = self.last_linear(pooled)
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


Network = SENet
