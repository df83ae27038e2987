"""Depthwise convolutions in training: gradients in bf16 on a processor, by what oneDNN is fast at.

For two gradients it has no fast kernels there: that of the input where the stride is above 1, and that of a
kernel larger than 3x3. Of a step of EfficientNet-Lite0 with 32 pictures of 128 pixels they took 205 of 270
milliseconds, on two cores. The first is a convolution of stride 1 itself, of the slopes with zeros between
them and the kernel turned round; the second is put together from gradients of kernels of 3x3 that cover it.
In float32 both are fast as they are.
"""

from itertools import product
from typing import Any

import torch
from torch import nn
from torch.nn import functional

Pair = tuple[int, int]


def convolve(
    x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None, conv: nn.Conv2d, *, padding: Pair
) -> torch.Tensor:
    """Return the convolution of `x`, (N, C, H, W), as `conv` does it, but for what is given.

    Args:
        x: the input.
        kernel: in place of the weights.
        bias: of shape (out,), in place of its own.
        conv: gives stride, dilation and groups.
        padding: zeros at both ends of columns and rows.
    """
    is_inside = all(zeros < size for zeros, size in zip(padding, conv.kernel_size, strict=True))
    if is_inside and is_depthwise(conv) and x.device.type == "cpu":
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        if kind == torch.bfloat16:
            stride: Pair = (conv.stride[0], conv.stride[1])
            shorter = None if bias is None else bias.to(kind)
            y: torch.Tensor = _Depthwise.apply(x.to(kind), kernel.to(kind), shorter, stride, padding)
            return y
    return functional.conv2d(x, kernel, bias, conv.stride, padding, conv.dilation, conv.groups)


def is_depthwise(conv: nn.Conv2d) -> bool:
    """Say whether every channel has a kernel of its own, which is at least 3x3 and without gaps."""
    own = conv.groups == conv.in_channels == conv.out_channels
    return own and min(conv.kernel_size) >= 3 and conv.dilation == (1, 1)


def use_fast_gradients(network: nn.Module) -> None:
    """Let a network's depthwise convolutions compute their gradients as here; names and values stay."""
    for module in network.modules():
        # A kind of its own pads in its own way; where there is another forward pass, it is of frozen norms.
        if not isinstance(module, nn.Conv2d) or type(module) is not nn.Conv2d or "forward" in vars(module):
            continue
        if is_depthwise(module) and module.padding_mode == "zeros":
            module.__dict__["forward"] = _Convolution(module)


class _Convolution:
    """The forward pass of a convolution; no closure: copies belong together."""

    def __init__(self, conv: nn.Conv2d) -> None:
        self._conv = conv
        # Padding by a word is written out by torch, from the last axis to the first.
        self._padding: Pair = (
            conv._reversed_padding_repeated_twice[2],
            conv._reversed_padding_repeated_twice[0],
        )

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the convolution of `x`, (N, C, H, W)."""
        return convolve(x, self._conv.weight, self._conv.bias, self._conv, padding=self._padding)


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution, and its gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        kernel: torch.Tensor,
        bias: torch.Tensor | None,
        stride: Pair,
        padding: Pair,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(x, kernel, bias, stride, padding, groups=len(kernel))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        slope = slope.contiguous(memory_format=torch.channels_last)
        of_x = of_kernel = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = input_gradient(slope, kernel, x.shape, stride=ctx.stride, padding=ctx.padding)
        if ctx.needs_input_grad[1]:
            of_kernel = kernel_gradient(slope, x, kernel.shape, stride=ctx.stride, padding=ctx.padding)
        if ctx.needs_input_grad[2]:
            of_bias = slope.sum((0, 2, 3))
        return of_x, of_kernel, of_bias, None, None


def input_gradient(
    slope: torch.Tensor, kernel: torch.Tensor, shape: torch.Size, *, stride: Pair, padding: Pair
) -> torch.Tensor:
    """Return the gradient of a depthwise convolution's input.

    Args:
        slope: gradient of its result, (N, C, h, w), channels last.
        kernel: (C, 1, kh, kw).
        shape: of the input, (N, C, H, W).
        stride: rows and columns from one place to the next.
        padding: zeros at both ends of columns and rows.
    """
    size: Pair = (kernel.shape[2], kernel.shape[3])
    if stride != (1, 1):
        # As large as it must be for a result of the input's size.
        height, width = (shape[axis + 2] + 2 * padding[axis] - size[axis] + 1 for axis in range(2))
        full = (*shape[:2], height, width)
        spread = torch.empty(full, dtype=slope.dtype, memory_format=torch.channels_last).zero_()
        spread[:, :, :: stride[0], :: stride[1]][:, :, : slope.shape[2], : slope.shape[3]] = slope
        slope = spread
    around = (size[0] - 1 - padding[0], size[1] - 1 - padding[1])
    return functional.conv2d(slope, kernel.flip(2, 3), None, 1, around, groups=len(kernel))


def kernel_gradient(
    slope: torch.Tensor, x: torch.Tensor, shape: torch.Size, *, stride: Pair, padding: Pair
) -> torch.Tensor:
    """Return the gradient of a depthwise convolution's kernel.

    Args:
        slope: gradient of its result, (N, C, h, w), channels last.
        x: its input, (N, C, H, W).
        shape: of the kernel, (C, 1, kh, kw).
        stride: rows and columns from one place to the next.
        padding: zeros at both ends of columns and rows.
    """
    if max(shape[2:]) <= 3:
        return _kernel_gradient(slope, x, slope.new_empty(shape), stride, padding)
    padded = functional.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    reach = [(slope.shape[axis + 2] - 1) * stride[axis] + 3 for axis in range(2)]
    found, part = slope.new_empty(shape), slope.new_empty((shape[0], 1, 3, 3))
    for top, left in product(_covering(shape[2]), _covering(shape[3])):
        seen = padded[:, :, top : top + reach[0], left : left + reach[1]]
        seen = seen.contiguous(memory_format=torch.channels_last)
        found[:, :, top : top + 3, left : left + 3] = _kernel_gradient(slope, seen, part, stride, (0, 0))
    return found


def _kernel_gradient(
    slope: torch.Tensor, x: torch.Tensor, kernel: torch.Tensor, stride: Pair, padding: Pair
) -> torch.Tensor:
    """Return the gradient of a kernel by torch's own operation; of `kernel` the shape counts."""
    found: torch.Tensor = torch.ops.aten.convolution_backward(
        slope, x, kernel, None, stride, padding, (1, 1), False, (0, 0), len(kernel), (False, True, False)
    )[1]
    return found


def _covering(size: int) -> list[int]:
    """Return where parts of 3 begin that cover `size` places, at least 3."""
    return [*range(0, size - 3, 2), size - 3]
