"""Convolutions that do the work of the frozen batch norms behind them, while both are trained.

A frozen batch norm is an affine map of each channel: its factor goes into the convolution's kernel, its
shift becomes a bias, in every step anew. Parameters, their names and their gradients stay as they are; what
is saved is two passes over the activations, forward and back.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from headstart.embed.fuse import Paddings, find_norms
from headstart.train.depthwise import convolve


class _Folded:
    """A convolution's forward pass with the batch norm behind it; no closure: copies belong together."""

    def __init__(self, conv: nn.Conv2d, norm: nn.Module, paddings: Paddings) -> None:
        self._conv = conv
        self._norm: Any = norm
        (self._top, self._bottom), (self._left, self._right) = paddings

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return what convolution and batch norm make of `x`, (N, C, H, W)."""
        conv, norm = self._conv, self._norm
        factor = (norm.running_var + norm.eps).rsqrt()
        if norm.weight is not None:
            factor = factor * norm.weight
        bias = -norm.running_mean * factor
        if norm.bias is not None:
            bias = bias + norm.bias
        if conv.bias is not None:
            bias = bias + conv.bias * factor
        kernel = conv.weight * factor[:, None, None, None]
        padding = (self._top, self._left)
        if (self._top, self._left) != (self._bottom, self._right):
            x, padding = functional.pad(x, (self._left, self._right, self._top, self._bottom)), (0, 0)
        return convolve(x, kernel, bias, conv, padding=padding)


class _Passing:
    """What is left of a batch norm whose work is done: the activation that timm's bring along."""

    def __init__(self, activation: nn.Module | None) -> None:
        self._activation = activation

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the activations of `x`."""
        if self._activation is None:
            return x
        activated: torch.Tensor = self._activation(x)
        return activated


def fold_frozen_norms(backbone: nn.Module, *, side: int) -> None:
    """Let convolutions do the work of the frozen batch norms behind them, in place.

    Args:
        backbone: float32 on the processor, in eval mode; maps (N, 3, side, side) to features. It takes no
            other size afterwards.
        side: of the pictures, in pixels.
    """
    for name, found in find_norms(backbone, side=side).items():
        conv, norm = backbone.get_submodule(name), backbone.get_submodule(found.norm)
        if isinstance(conv, nn.Conv2d):
            _run_instead(conv, _Folded(conv, norm, found.paddings))
            _run_instead(norm, _Passing(found.activation))


def _run_instead(module: nn.Module, forward: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Let a module compute something else; what it holds, and its name, stay."""
    module.__dict__["forward"] = forward
