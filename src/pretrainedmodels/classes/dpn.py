"""`DPN` by the original's arguments, and the function that pools its logits."""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from headstart.architectures import dpn


class DPN(dpn.DPN):
    """A DPN whose blocks pass both paths on as a pair, which programs that cut it into stages join.

    Args:
        small: a stem of 3x3 and a quarter of the residual path's channels, as in DPN-68.
        num_init_features: channels of the stem.
        k_r: channels of a block's 3x3 convolution in the first stage.
        groups: groups of that convolution.
        b: whether a block's last convolution is two, one a path.
        k_sec: number of blocks in each of the four stages.
        inc_sec: channels that a block of each stage appends to the dense path.
        num_classes: K.
        test_time_pool: without effect; evaluation pools as training does.
    """

    def __init__(
        self,
        small: bool = False,
        num_init_features: int = 64,
        k_r: int = 96,
        groups: int = 32,
        b: bool = False,
        k_sec: tuple[int, int, int, int] = (3, 4, 20, 3),
        inc_sec: tuple[int, int, int, int] = (16, 32, 24, 128),
        num_classes: int = 1000,
        test_time_pool: bool = False,
    ) -> None:
        config = dpn.DPNConfig(
            stem=num_init_features,
            stem_kernel=3 if small else 7,
            residual=64 if small else 256,
            width=k_r,
            groups=groups,
            depths=k_sec,
            growth=inc_sec,
            split_last=b,
        )
        super().__init__(config, num_classes=num_classes)
        for block in self.features[1:]:
            block.register_forward_pre_hook(_join)
        for block in self.features[1:-1]:
            block.register_forward_hook(_split)


def _join(block: nn.Module, inputs: tuple[torch.Tensor | tuple[torch.Tensor, ...]]) -> torch.Tensor:
    """Return the one tensor that a block of headstart's takes."""
    return inputs[0] if isinstance(inputs[0], torch.Tensor) else torch.cat(inputs[0], dim=1)


def _split(
    block: dpn.DualPathBlock, inputs: object, output: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the residual and the dense path."""
    return output[:, : block.residual], output[:, block.residual :]


def adaptive_avgmax_pool2d(
    x: torch.Tensor, pool_type: Literal["avg", "max", "avgmax", "avgmaxc"] = "avg"
) -> torch.Tensor:
    """Pool (N, C, H, W) to (N, C, 1, 1); "avgmax" is their mean, "avgmaxc" is both, (N, 2 * C, 1, 1)."""
    average, maximum = functional.adaptive_avg_pool2d(x, 1), functional.adaptive_max_pool2d(x, 1)
    pooled = {"avg": average, "max": maximum, "avgmax": (average + maximum) / 2}
    return torch.cat((average, maximum), dim=1) if pool_type == "avgmaxc" else pooled[pool_type]
