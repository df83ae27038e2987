"""ResNeXt: residual networks whose blocks aggregate many narrow paths, computed as one grouped convolution.

Paper: Xie, Girshick, Dollár, Tu, He, "Aggregated Residual Transformations for Deep Neural Networks",
https://arxiv.org/abs/1611.05431

The layers are those of torchvision's ResNeXt (the stride of a stage in its first 3x3 convolution). What
differs is the names: this port carries the weights of the authors' Torch7 release, and its tensors bear the
numbers that the layers had there. `features.4.1.0.0.0.3` is, from left to right, the first stage, its
second block, the block's sum, the sum's residual branch, the branch's first part and the fourth layer in
it. The final pooling is global, so any input size of 32 pixels or more goes through; at 224 it equals the
original's window of 7.
"""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNeXtConfig:
    """Shape of a ResNeXt.

    Attributes:
        cardinality: number of paths in a block, that is groups of its 3x3 convolution.
        path_width: channels of a path in the first stage; they double with every stage.
        depths: number of blocks in each of the four stages.
    """

    cardinality: int
    path_width: int
    depths: tuple[int, int, int, int] = (3, 4, 23, 3)


CONFIGS = {
    "resnext101_32x4d": ResNeXtConfig(cardinality=32, path_width=4),
    "resnext101_64x4d": ResNeXtConfig(cardinality=64, path_width=4),
}


class SumOfBranches(nn.ModuleList):
    """The residual branch (0) and the shortcut (1) of a block, added."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the sum of what the two branches make of it."""
        out: torch.Tensor = self[0](x)
        out += self[1](x)
        return out


def _block(in_channels: int, width: int, out_channels: int, stride: int, groups: int) -> nn.Sequential:
    """Return a bottleneck: 1x1, grouped 3x3 (with the stride), 1x1, sum, ReLU (figure 3c of the paper)."""
    aggregated = nn.Sequential(
        nn.Conv2d(in_channels, width, kernel_size=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1, groups=groups, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
    expand = nn.Conv2d(width, out_channels, kernel_size=1, bias=False)
    residual = nn.Sequential(aggregated, expand, nn.BatchNorm2d(out_channels))
    shortcut: nn.Module = nn.Identity()
    if stride != 1 or in_channels != out_channels:
        shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False),
            nn.BatchNorm2d(out_channels),
        )
    return nn.Sequential(SumOfBranches([residual, shortcut]), nn.ReLU(inplace=True))


class ResNeXt(nn.Module):
    """A ResNeXt with its classifier in `last_linear`.

    `features` is a module: it maps pictures (N, 3, H, W) to the last feature map (N, 2048, H / 32, W / 32).
    """

    def __init__(self, config: ResNeXtConfig, *, num_classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False),  # (N, 64, H/2, W/2)
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),  # (N, 64, H/4, W/4)
            self._stage(config, 0, in_channels=64, stride=1),  # (N, 256, H/4, W/4)
            self._stage(config, 1, in_channels=256, stride=2),  # (N, 512, H/8, W/8)
            self._stage(config, 2, in_channels=512, stride=2),  # (N, 1024, H/16, W/16)
            self._stage(config, 3, in_channels=1024, stride=2),  # (N, 2048, H/32, W/32)
        )
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.last_linear = nn.Linear(2048, num_classes)

    @staticmethod
    def _stage(config: ResNeXtConfig, index: int, *, in_channels: int, stride: int) -> nn.Sequential:
        groups = config.cardinality
        width = groups * config.path_width * 2**index
        out_channels = 256 * 2**index
        first = _block(in_channels, width, out_channels, stride, groups)
        rest = [_block(out_channels, width, out_channels, 1, groups) for _ in range(config.depths[index] - 1)]
        return nn.Sequential(first, *rest)

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to pooled features (N, 2048)."""
        pooled: torch.Tensor = self.avg_pool(features)
        return pooled.flatten(1)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        logits: torch.Tensor = self.last_linear(self.pool(features))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


Network = ResNeXt
