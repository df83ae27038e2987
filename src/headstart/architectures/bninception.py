"""BN-Inception: the Inception of 2015, with batch normalisation and two 3x3 convolutions for each 5x5.

Paper: Ioffe, Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
Shift", https://arxiv.org/abs/1502.03167 (the table of its appendix)

Differences from the paper, as in the Caffe model whose weights this port carries (it wants BGR pictures in 0
to 255): the first convolution is a plain one, and convolutions have a bias beside their normalisation. The
original refused sizes such as 299, at which the branches of a halving block come out unequal; here the
pooling among them is given one more row and column of zeros, which changes nothing at other sizes. The final
pooling is global, so any input size of 7 pixels or more goes through.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class InceptionConfig:
    """Widths of one Inception block: a row of the paper's table.

    Attributes:
        single: width of the branch of one 1x1 convolution; a block that halves the size has none (0).
        reduce: width of the 1x1 convolution before the 3x3.
        three: width of the 3x3 convolution.
        double_reduce: width of the 1x1 convolution before the two 3x3.
        double: width of each of the two 3x3 convolutions.
        pool: what the pooling branch takes of each 3x3 window.
        project: width of the 1x1 convolution after the pooling; a block that halves the size has none (0).
    """

    single: int = 0
    reduce: int
    three: int
    double_reduce: int
    double: int
    pool: Literal["average", "maximum"] = "average"
    project: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BNInceptionConfig:
    """Shape of a BN-Inception.

    Attributes:
        blocks: name of each Inception block -> its widths, in order.
    """

    blocks: Mapping[str, InceptionConfig]


BLOCKS = {
    "3a": InceptionConfig(single=64, reduce=64, three=64, double_reduce=64, double=96, project=32),
    "3b": InceptionConfig(single=64, reduce=64, three=96, double_reduce=64, double=96, project=64),
    "3c": InceptionConfig(reduce=128, three=160, double_reduce=64, double=96, pool="maximum"),
    "4a": InceptionConfig(single=224, reduce=64, three=96, double_reduce=96, double=128, project=128),
    "4b": InceptionConfig(single=192, reduce=96, three=128, double_reduce=96, double=128, project=128),
    "4c": InceptionConfig(single=160, reduce=128, three=160, double_reduce=128, double=160, project=128),
    "4d": InceptionConfig(single=96, reduce=128, three=192, double_reduce=160, double=192, project=128),
    "4e": InceptionConfig(reduce=128, three=192, double_reduce=192, double=256, pool="maximum"),
    "5a": InceptionConfig(single=352, reduce=192, three=320, double_reduce=160, double=224, project=128),
    "5b": InceptionConfig(
        single=352, reduce=192, three=320, double_reduce=192, double=224, pool="maximum", project=128
    ),
}

CONFIGS = {"bninception": BNInceptionConfig(blocks=BLOCKS)}


class BNInception(nn.Module):
    """A BN-Inception with its classifier in `last_linear`.

    The tensors' names have no levels (`inception_3a_1x1`): all convolutions are the network's own children.
    """

    def __init__(self, config: BNInceptionConfig, *, num_classes: int = 1000) -> None:
        super().__init__()
        self.blocks = dict(config.blocks)
        self._add("conv1_7x7_s2", 3, 64, 7, stride=2)
        self._add("conv2_3x3_reduce", 64, 64, 1)
        self._add("conv2_3x3", 64, 192, 3)
        width = 192
        for name, block in self.blocks.items():
            width = self._add_inception(f"inception_{name}", width, block)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.last_linear = nn.Linear(width, num_classes)

    def _add(self, name: str, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        """Add a convolution and its normalisation."""
        conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2)
        self.add_module(name, conv)
        self.add_module(f"{name}_bn", nn.BatchNorm2d(out_channels))

    def _add_inception(self, name: str, in_channels: int, block: InceptionConfig) -> int:
        """Add the convolutions of a block and return its width."""
        stride = 1 if block.project else 2
        if block.single:
            self._add(f"{name}_1x1", in_channels, block.single, 1)
        self._add(f"{name}_3x3_reduce", in_channels, block.reduce, 1)
        self._add(f"{name}_3x3", block.reduce, block.three, 3, stride)
        self._add(f"{name}_double_3x3_reduce", in_channels, block.double_reduce, 1)
        self._add(f"{name}_double_3x3_1", block.double_reduce, block.double, 3)
        self._add(f"{name}_double_3x3_2", block.double, block.double, 3, stride)
        if block.project:
            self._add(f"{name}_pool_proj", in_channels, block.project, 1)
        return block.single + block.three + block.double + (block.project or in_channels)

    def _convolve(self, x: torch.Tensor, *names: str) -> torch.Tensor:
        """Apply convolution, normalisation and ReLU of each of the names in turn."""
        for name in names:
            x = self.get_submodule(f"{name}_bn")(self.get_submodule(name)(x))
            x = functional.relu(x, inplace=True)
        return x

    def _inception(self, x: torch.Tensor, name: str, block: InceptionConfig) -> torch.Tensor:
        """Map (N, C, H, W) to (N, width of the block, H, W), or half of H and W, rounded up."""
        double = [f"{name}_double_3x3_{part}" for part in ("reduce", "1", "2")]
        branches = [self._convolve(x, f"{name}_1x1")] if block.single else []
        branches += [self._convolve(x, f"{name}_3x3_reduce", f"{name}_3x3"), self._convolve(x, *double)]
        if not block.project:
            # x comes from ReLUs, so that zeros at the end change no maximum; with them the pooling rounds up.
            pooled = functional.max_pool2d(functional.pad(x, (0, 1, 0, 1)), 3, stride=2, ceil_mode=True)
            branches.append(pooled)
        else:
            pool = functional.avg_pool2d if block.pool == "average" else functional.max_pool2d
            branches.append(self._convolve(pool(x, 3, stride=1, padding=1), f"{name}_pool_proj"))
        return torch.cat(branches, dim=1)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to the last feature map (N, 1024, H / 32, W / 32)."""
        x = self._convolve(x, "conv1_7x7_s2")  # (N, 64, H/2, W/2)
        x = functional.max_pool2d(x, 3, stride=2, ceil_mode=True)  # (N, 64, H/4, W/4)
        x = self._convolve(x, "conv2_3x3_reduce", "conv2_3x3")  # (N, 192, H/4, W/4)
        x = functional.max_pool2d(x, 3, stride=2, ceil_mode=True)  # (N, 192, H/8, W/8)
        for name, block in self.blocks.items():
            x = self._inception(x, f"inception_{name}", block)  # halved by 3c and 4e
        return x

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to pooled features (N, 1024)."""
        pooled: torch.Tensor = self.global_pool(features)
        return pooled.flatten(1)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        logits: torch.Tensor = self.last_linear(self.pool(features))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


Network = BNInception
