"""A network rewritten to compute the same in fewer passes over memory.

In eval mode a batch norm is an affine map of each channel: the convolution before it can do the same. An
activation can be done while a convolution's results are at hand. Uneven padding, TensorFlow's "same" at a
stride of 2, copies the whole input; a kernel with a row and a column of zeros more does with even padding. A
1x1 convolution of 1x1 inputs is a matrix product.

Source: torch.nn.utils.fusion, whose arithmetic is used; Jacob et al. 2018, https://arxiv.org/abs/1712.05877
"""

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

# Fusing only rounds differently; a network that it changes by more was not what it seemed.
_MAX_RELATIVE_DIFFERENCE = 1e-3

# So many convolutions are early ones: see `headstart.embed.rounding`.
_NUM_EARLY = 3

# What oneDNN does on the way: its name, scalars and algorithm.
_POINTWISE: dict[type[nn.Module], Callable[[Any], tuple[str, list[float], str]]] = {
    nn.ReLU: lambda _: ("relu", [], ""),
    nn.ReLU6: lambda _: ("hardtanh", [0.0, 6.0], ""),
    nn.Hardtanh: lambda act: ("hardtanh", [act.min_val, act.max_val], ""),
    nn.LeakyReLU: lambda act: ("leaky_relu", [act.negative_slope], ""),
    nn.SiLU: lambda _: ("swish", [], ""),
    nn.Hardswish: lambda _: ("hardswish", [], ""),
    nn.Sigmoid: lambda _: ("sigmoid", [], ""),
    nn.Tanh: lambda _: ("tanh", [], ""),
    nn.GELU: lambda act: ("gelu", [], act.approximate),
}

_NO_ACTIVATION: tuple[str, list[float], str] = ("none", [], "")

Paddings = tuple[tuple[int, int], ...]


class FusedConv(nn.Module):
    """A convolution with what was joined to it, for inputs of the size that it was seen with.

    Args:
        conv: gives stride, dilation and groups.
        weight: of shape (out, in / groups, height, width).
        bias: of shape (out,), or None; it may stay float32 where the weights are shorter.
        paddings: zeros before and after, for rows and for columns.
        activation: of the result, or None.
        is_product: whether both kernel and input are one pixel.
        is_early: whether it is among the first convolutions that a picture goes through.

    Inputs in another number format than the weights' are brought to it.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        *,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        paddings: Paddings,
        activation: nn.Module | None,
        is_product: bool,
        is_early: bool = False,
    ) -> None:
        super().__init__()
        self.is_early = is_early
        (top, bottom), (left, right) = paddings
        weight = functional.pad(weight, (right - left, 0, bottom - top, 0))
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        self.activation = activation
        self._geometry = ([bottom, right], list(conv.stride), list(conv.dilation), conv.groups)
        self._is_product = is_product
        self._pointwise = _pointwise(activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the results of `x`, both of shape (N, C, H, W)."""
        x = x.to(self.weight.dtype)
        if _is_for_onednn(x) and not self._is_product:
            y: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
                x, self.weight, self.bias, *self._geometry, *(self._pointwise or _NO_ACTIVATION)
            )
            return y if self._pointwise or self.activation is None else self.activation(y)
        padding, stride, dilation, groups = self._geometry
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if self._is_product:
            y = functional.linear(x.flatten(1), self.weight.flatten(1), bias)[:, :, None, None]
        else:
            y = functional.conv2d(x, self.weight, bias, stride, padding, dilation, groups)
        return y if self.activation is None else self.activation(y)


def _pointwise(activation: nn.Module | None) -> tuple[str, list[float], str] | None:
    """Return the name, scalars and algorithm by which oneDNN knows an activation, None where it does not."""
    return next((words(activation) for kind, words in _POINTWISE.items() if type(activation) is kind), None)


def _is_for_onednn(x: torch.Tensor) -> bool:
    """Return whether oneDNN's joint kernel is the way: Inductor, which compiles, has its own."""
    on_cpu = x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last)
    return on_cpu and _onednn_computes(x.dtype) and not torch.compiler.is_compiling()


@cache
def _onednn_computes(dtype: torch.dtype) -> bool:
    """Return whether oneDNN has kernels for a type on this processor; torch's own do without instructions."""
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if dtype == torch.float16:
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
    return dtype == torch.float32


@torch.no_grad()
def fuse(network: nn.Module, *, side: int) -> nn.Module:
    """Return a copy of a network in eval mode with what can be joined to convolutions, checked against it.

    What belongs together is seen on a random picture: a batch norm, then an activation, that get just what a
    convolution gave. The copy is checked on the same picture; where it differs or cannot be run, because the
    network looks into its modules, a plain copy is returned.

    Args:
        network: float32 on the CPU; maps (1, 3, side, side) to features.
        side: of the pictures, in pixels; the copy takes no others.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode(False):  # whose tensors do not say when they are written to
        example = torch.randn(1, 3, side, side, generator=generator)
        fused = copy.deepcopy(network)
        expected, chains = _observe(fused, example)
        for number, chain in enumerate(chains):
            _join(fused, chain, is_early=number < _NUM_EARLY)
        try:
            found = fused(example)
        except (AttributeError, TypeError, RuntimeError):
            return copy.deepcopy(network)
    close = bool((expected - found).abs().max() <= _MAX_RELATIVE_DIFFERENCE * expected.abs().max())
    return fused if close else copy.deepcopy(network)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NormBehind:
    """A batch norm that gets just what a convolution gave.

    Attributes:
        norm: its name.
        activation: that it brings along, or None.
        paddings: zeros that the convolution puts before and after, for rows and for columns.
    """

    norm: str
    activation: nn.Module | None
    paddings: Paddings


def find_norms(network: nn.Module, *, side: int) -> dict[str, NormBehind]:
    """Return the batch norms with statistics behind convolutions, by the convolution's name.

    Args:
        network: float32 on the CPU, in eval mode; maps (1, 3, side, side) to features.
        side: of the pictures, in pixels.
    """
    example = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        _, chains = _observe(network, example)
    norms = {chain.name: (chain, network.get_submodule(chain.norm)) for chain in chains if chain.norm}
    return {
        name: NormBehind(norm=chain.norm, activation=_own_activation(norm), paddings=chain.paddings)
        for name, (chain, norm) in norms.items()
        if norm.running_mean is not None and norm.running_var is not None
    }


@dataclass(slots=True, kw_only=True, eq=False)
class _Chain:
    """A convolution, and the names of what follows it."""

    name: str
    conv: nn.Conv2d
    paddings: Paddings
    input_shape: tuple[int, ...]
    norm: str = ""
    activation: str = ""

    @property
    def is_product(self) -> bool:
        """Whether the convolution multiplies single pixels by a matrix."""
        sizes = {self.input_shape[2:], self.conv.kernel_size}
        return sizes == {(1, 1)} and self.conv.groups == 1 and not any(map(any, self.paddings))

    @property
    def has_uneven_padding(self) -> bool:
        return any(before != behind for before, behind in self.paddings)


def _observe(network: nn.Module, example: torch.Tensor) -> tuple[torch.Tensor, list[_Chain]]:
    """Return the network's features of a picture, and its chains of modules that run once.

    A batch norm or activation belongs to the chain whose result it gets, unless that was written to since;
    none does that has hooks of its own.
    """
    names = {module: name for name, module in network.named_modules()}
    runs: Counter[str] = Counter()
    chains: list[_Chain] = []
    given: dict[int, tuple[_Chain, torch.Tensor, int]] = {}  # results stay alive: no identity comes twice

    def before(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        runs[names[module]] += 1
        chain, result, version = given.get(id(inputs[0]), (None, None, 0))
        if chain is None or result is None or result._version != version:
            return
        if not isinstance(module, nn.BatchNorm2d):
            chain.activation = chain.activation or names[module]
        elif not chain.norm and not chain.activation:
            chain.norm = names[module]

    def after(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            runs[names[module]] += 1
            paddings = _paddings_of(module, inputs[0], output)
            if paddings is None:
                return
            shape = tuple(inputs[0].shape)
            chain = _Chain(name=names[module], conv=module, paddings=paddings, input_shape=shape)
            chains.append(chain)
            given[id(output)] = chain, output, output._version
        elif id(inputs[0]) in given and _own_activation(module) is None:
            chain = given[id(inputs[0])][0]
            if chain.norm == names[module]:
                given[id(output)] = chain, output, output._version

    handles = []
    for module in network.modules():
        if module._forward_hooks or module._forward_pre_hooks:
            continue  # somebody wants to see what goes through it
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            handles.append(module.register_forward_hook(after))
        if isinstance(module, nn.BatchNorm2d) or type(module) in _POINTWISE:
            handles.append(module.register_forward_pre_hook(before))
    features = network(example)
    for handle in handles:
        handle.remove()
    for chain in chains:
        if runs[chain.norm] > 1:
            chain.norm = chain.activation = ""
        if runs[chain.activation] > 1:
            chain.activation = ""
    return features, [chain for chain in chains if runs[chain.name] == 1]


def _paddings_of(conv: nn.Conv2d, x: torch.Tensor, y: torch.Tensor) -> Paddings | None:
    """Return the zeros that a convolution put around `x` to get `y`; None where it did anything else."""
    if conv.padding_mode != "zeros":
        return None
    if type(conv) is nn.Conv2d and not isinstance(conv.padding, str):
        return tuple((each, each) for each in conv.padding)
    paddings = []
    for axis, kernel in enumerate(conv.kernel_size):
        reach = (y.shape[2 + axis] - 1) * conv.stride[axis] + (kernel - 1) * conv.dilation[axis] + 1
        missing = max(0, reach - x.shape[2 + axis])
        paddings.append((missing // 2, missing - missing // 2))
    if any(
        before != behind and step > 1 for (before, behind), step in zip(paddings, conv.dilation, strict=True)
    ):
        return None
    (top, bottom), (left, right) = paddings
    padded = functional.pad(x, (left, right, top, bottom))
    again = functional.conv2d(padded, conv.weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)
    return tuple(paddings) if again.shape == y.shape and torch.allclose(again, y, atol=1e-4) else None


def _own_activation(norm: nn.Module) -> nn.Module | None:
    """Return the activation that timm's batch norms bring, None for others and where it does nothing."""
    own = getattr(norm, "act", None)
    return None if own is None or isinstance(own, nn.Identity) else own


def _join(network: nn.Module, chain: _Chain, *, is_early: bool) -> None:
    """Put one module in the place of a chain; a convolution alone stays as it is."""
    if not (chain.norm or chain.activation or chain.is_product or chain.has_uneven_padding):
        return
    weight, bias, activation = chain.conv.weight.detach(), chain.conv.bias, None
    if chain.norm:
        norm: Any = network.get_submodule(chain.norm)
        if norm.running_mean is None or norm.running_var is None:
            return
        weight, bias = fuse_conv_bn_weights(
            weight, bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        activation = _own_activation(norm)
        network.set_submodule(chain.norm, nn.Identity())
    if chain.activation:
        activation = network.get_submodule(chain.activation)
        network.set_submodule(chain.activation, nn.Identity())
    joined = FusedConv(
        chain.conv,
        weight=weight,
        bias=bias,
        paddings=chain.paddings,
        activation=activation,
        is_product=chain.is_product,
        is_early=is_early,
    )
    network.set_submodule(chain.name, joined)
