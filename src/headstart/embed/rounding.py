"""A network's parameters in a shorter number format, rounded so that the errors cancel.

bf16 keeps 8 bits of a weight. Rounded one by one, the errors of a filter add up to some sum, and what the
filter gives is off by that sum times the mean of what comes in, for every picture alike and in every layer.
So each weight's error is carried on to the filter's next one: what is left is one error, or one for each
part of a long filter.

On a processor biases stay in float32, and so do the first convolutions with what they give: in a smooth area
of a picture the same rounding happens at every place and is not averaged out, and all that follows sees it.
It costs 3 to 8 % of the time.

Over 100 photographs the median of 1 - cosine to EfficientNet-Lite0's exact features fell from 5.9e-4 to
1.6e-4, the largest from 27e-4 to 3.2e-4; the check demands less than 20e-4. Of Lite2 the largest fell from
131e-4 to 2.8e-4.

Source: error diffusion, Floyd and Steinberg 1976; that rounded weights shift means, Nagel et al. 2019,
    https://arxiv.org/abs/1906.04721, who correct biases for it.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from headstart.embed.fuse import FusedConv

ROUNDING_VERSION = 2
"""Part of the key under which features of a shorter format are kept. 1 rounded every weight by itself."""

# Longer filters are rounded in parts of so many weights, all at a time: the loop over them is Python's.
_SEGMENT = 256


@torch.no_grad()
def to_precision(network: nn.Module, dtype: torch.dtype, *, device: str) -> nn.Module:
    """Bring a network to a number format and a device, in place, and return it.

    Args:
        network: float32 on the CPU.
        dtype: of the parameters from here on; float32 rounds nothing.
        device: torch's name of it.
    """
    if dtype == torch.float32:
        return network.to(device)
    joined = [each for each in network.modules() if isinstance(each, FusedConv)]
    whole: dict[nn.Module, dict[str, torch.Tensor]] = {}
    if device == "cpu":
        whole = {each: _kept_whole(each) for each in joined}
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | FusedConv) and "weight" not in whole.get(module, {}):
            module.weight.copy_(round_filters(module.weight, dtype))
    network = network.to(device, dtype)
    for each, parameters in whole.items():
        for name, value in parameters.items():
            setattr(each, name, nn.Parameter(value, requires_grad=False))
    if device == "cpu" and any(each.is_early for each in joined):
        for module in network.modules():
            if not isinstance(module, FusedConv) and any(True for _ in module.parameters(recurse=False)):
                module.register_forward_pre_hook(_in_own_format)
    return network


def _kept_whole(joined: FusedConv) -> dict[str, torch.Tensor]:
    """Return the parameters that stay in float32 on a processor, by name."""
    parameters = joined.named_parameters(recurse=False)
    return {name: each.detach() for name, each in parameters if joined.is_early or name == "bias"}


def _in_own_format(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return inputs in the number format of a module's parameters: those of an early layer may be longer."""
    dtype = next(module.parameters(recurse=False)).dtype
    is_number = [isinstance(each, torch.Tensor) and each.is_floating_point() for each in inputs]
    return tuple(each.to(dtype) if number else each for each, number in zip(inputs, is_number, strict=True))


def round_filters(weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return weights rounded to `dtype`, the error of each added to the next one of its filter.

    Args:
        weight: float32 of shape (filters, ...).
        dtype: a shorter number format.
    """
    filters = weight.detach().flatten(1)
    num_weights = filters.shape[1]
    length = min(num_weights, _SEGMENT)
    segments = functional.pad(filters, (0, -num_weights % length)).reshape(-1, length)
    columns = segments.t().contiguous()
    rounded = torch.empty_like(columns, dtype=dtype)
    error = torch.zeros(len(segments))
    for column, into in zip(columns, rounded, strict=True):
        wanted = column + error
        into.copy_(wanted)
        error = wanted - into
    return rounded.t().reshape(len(filters), -1)[:, :num_weights].reshape(weight.shape)
