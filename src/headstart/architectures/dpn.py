"""DPN: blocks that add to one part of their channels, as ResNet, and append to the other, as DenseNet.

Paper: Chen, Li, Xiao, Jin, Yan, Feng, "Dual Path Networks", https://arxiv.org/abs/1707.01629

This port carries the weights of the authors' MXNet release. Both paths are one tensor: its first channels
are the residual path, the others the dense path. `last_linear` is a 1x1 convolution, as the tensors' shapes
say, but has the attributes `in_features` and `out_features`, and any module that takes pooled features (N,
D), such as `nn.Linear`, may be put in its place. Pooling is global in training and evaluation alike. The
original took, in evaluation, the logits of every window of 7 and mixed their mean and their maximum; at its
size of 224 there is one window, and that is the same. Any input size of 32 pixels or more goes through.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class DPNConfig:
    """Shape of a DPN (table 1 of the paper).

    Attributes:
        stem: channels of the stem's convolution.
        stem_kernel: kernel size of the stem's convolution.
        residual: channels of the residual path in the first stage; they double with every stage.
        width: channels of a block's 3x3 convolution in the first stage; they double with every stage.
        groups: groups of the 3x3 convolution.
        depths: number of blocks in each of the four stages.
        growth: channels that a block of each stage appends to the dense path.
        split_last: whether a block's last convolution is two, one a path (the variants "b").
    """

    stem: int
    stem_kernel: int = 7
    residual: int = 256
    width: int
    groups: int
    depths: tuple[int, int, int, int]
    growth: tuple[int, int, int, int]
    split_last: bool = False


def _dpn68(*, split_last: bool) -> DPNConfig:
    return DPNConfig(
        stem=10,
        stem_kernel=3,
        residual=64,
        width=128,
        groups=32,
        depths=(3, 4, 12, 3),
        growth=(16, 32, 32, 64),
        split_last=split_last,
    )


CONFIGS = {
    "dpn68": _dpn68(split_last=False),
    "dpn68b": _dpn68(split_last=True),
    "dpn92": DPNConfig(stem=64, width=96, groups=32, depths=(3, 4, 20, 3), growth=(16, 32, 24, 128)),
    "dpn98": DPNConfig(stem=96, width=160, groups=40, depths=(3, 6, 20, 3), growth=(16, 32, 32, 128)),
    "dpn131": DPNConfig(stem=128, width=160, groups=40, depths=(4, 8, 28, 3), growth=(16, 32, 32, 128)),
    "dpn107": DPNConfig(stem=128, width=200, groups=50, depths=(4, 8, 20, 3), growth=(20, 64, 64, 128)),
}


class InputBlock(nn.Module):
    """The stem: convolution, normalisation, ReLU, max-pooling."""

    def __init__(self, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, out_channels, kernel, stride=2, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to (N, C, H / 4, W / 4)."""
        out: torch.Tensor = self.pool(self.act(self.bn(self.conv(x))))
        return out


class BnAct(nn.Module):
    """Normalisation and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, eps=0.001)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: torch.Tensor = self.act(self.bn(x))
        return out


class BnActConv(nn.Module):
    """Normalisation, ReLU, convolution."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 1, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_channels, eps=0.001)
        self.act = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, C', H / stride, W / stride)."""
        out: torch.Tensor = self.conv(self.act(self.bn(x)))
        return out


class DualPathBlock(nn.Module):
    """1x1, grouped 3x3 (with the stride), 1x1; a part of the result is added, the rest appended."""

    def __init__(self, in_channels: int, stage: int, config: DPNConfig, *, first: bool) -> None:
        super().__init__()
        self.residual = residual = config.residual * 2**stage
        growth = config.growth[stage]
        width = config.width * 2**stage
        stride = 2 if first and stage > 0 else 1
        # The first block of a stage projects its input; the attribute's name tells the stride.
        self.c1x1_w_s1: nn.Module | None = None
        self.c1x1_w_s2: nn.Module | None = None
        if first and stride == 1:
            self.c1x1_w_s1 = BnActConv(in_channels, residual + 2 * growth)
        elif first:
            self.c1x1_w_s2 = BnActConv(in_channels, residual + 2 * growth, stride=stride)
        self.c1x1_a = BnActConv(in_channels, width)
        self.c3x3_b = BnActConv(width, width, 3, stride=stride, groups=config.groups)
        self.c1x1_c: nn.Module
        self.c1x1_c1: nn.Module | None = None
        self.c1x1_c2: nn.Module | None = None
        if config.split_last:
            self.c1x1_c = BnAct(width)
            self.c1x1_c1 = nn.Conv2d(width, residual, kernel_size=1, bias=False)
            self.c1x1_c2 = nn.Conv2d(width, growth, kernel_size=1, bias=False)
        else:
            self.c1x1_c = BnActConv(width, residual + growth)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, C + growth, H, W); the first block of a stage to its own width and size."""
        shortcut = x
        if self.c1x1_w_s1 is not None:
            shortcut = self.c1x1_w_s1(x)
        elif self.c1x1_w_s2 is not None:
            shortcut = self.c1x1_w_s2(x)
        out = self.c1x1_c(self.c3x3_b(self.c1x1_a(x)))
        if self.c1x1_c1 is not None and self.c1x1_c2 is not None:
            added, appended = self.c1x1_c1(out), self.c1x1_c2(out)
        else:
            added, appended = out[:, : self.residual], out[:, self.residual :]
        total = shortcut[:, : self.residual] + added
        return torch.cat((total, shortcut[:, self.residual :], appended), dim=1)


class DPN(nn.Module):
    """A DPN with its classifier in `last_linear`.

    `features` is a module: it maps pictures (N, 3, H, W) to the last feature map (N, D, H / 32, W / 32).
    """

    def __init__(self, config: DPNConfig, *, num_classes: int = 1000) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv1_1"] = InputBlock(config.stem, config.stem_kernel)  # (N, stem, H/4, W/4)
        channels = config.stem
        for stage, (depth, growth) in enumerate(zip(config.depths, config.growth, strict=True)):
            for block in range(depth):
                layers[f"conv{stage + 2}_{block + 1}"] = DualPathBlock(
                    channels, stage, config, first=block == 0
                )
                if block == 0:
                    channels = config.residual * 2**stage + 2 * growth
                channels += growth
            # (N, channels, H/4, W/4) after the first stage, and half the size after each other
        layers["conv5_bn_ac"] = BnAct(channels)
        self.features = nn.Sequential(layers)
        self.last_linear: nn.Module = nn.Conv2d(channels, num_classes, kernel_size=1)
        # For code that puts `nn.Linear(network.last_linear.in_features, ...)` in its place.
        vars(self.last_linear).update(in_features=channels, out_features=num_classes)

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to pooled features (N, D)."""
        return features.mean((2, 3))

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        pooled = self.pool(features)
        if isinstance(self.last_linear, nn.Conv2d):
            pooled = pooled[:, :, None, None]  # (N, D, 1, 1)
        logits: torch.Tensor = self.last_linear(pooled)
        return logits.flatten(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


Network = DPN
