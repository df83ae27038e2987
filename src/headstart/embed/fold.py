"""Batch norms folded into the convolutions before them: the same function in fewer passes over memory.

In eval mode a batch norm is an affine map of each channel; the convolution before it can do the same.
Source: torch.nn.utils.fusion, whose arithmetic is used; Jacob et al. 2018, https://arxiv.org/abs/1712.05877
"""

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

# Folding only rounds differently; a network that it changes by more was not what it seemed.
_MAX_RELATIVE_DIFFERENCE = 1e-3


@torch.no_grad()
def fold_batch_norms(network: nn.Module, *, side: int) -> nn.Module:
    """Return a copy of a network in eval mode with as many batch norms folded as can be, checked against it.

    A batch norm is folded where it was seen to get just what a convolution gave. The copy is checked on a
    random picture; where it differs, a copy without any folding is returned.

    Args:
        network: float32 on the CPU; maps (1, 3, side, side) to features.
        side: of the picture that it is tried on, in pixels.
    """
    generator = torch.Generator().manual_seed(0)
    example = torch.randn(1, 3, side, side, generator=generator)
    folded = copy.deepcopy(network)
    pairs = _find_pairs(folded, example)
    for norm_name, conv in pairs.items():
        norm = folded.get_submodule(norm_name)
        if (
            isinstance(norm, nn.BatchNorm2d)
            and norm.running_mean is not None
            and norm.running_var is not None
        ):
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            # timm's batch norms bring the activation that follows them.
            folded.set_submodule(norm_name, getattr(norm, "act", nn.Identity()))
    expected, found = network(example), folded(example)
    scale = expected.abs().max()
    close = bool((expected - found).abs().max() <= _MAX_RELATIVE_DIFFERENCE * scale)
    return folded if close else copy.deepcopy(network)


def _find_pairs(network: nn.Module, example: torch.Tensor) -> dict[str, nn.Conv2d]:
    """Return, by the name of each batch norm that gets a convolution's output, the convolution.

    A convolution or batch norm that runs more than once is left alone.
    """
    given_by: dict[int, nn.Conv2d] = {}
    outputs: list[torch.Tensor] = []  # kept alive, so that no identity is used twice
    pairs: dict[str, nn.Conv2d] = {}
    runs: dict[nn.Module, int] = {}
    names = {module: name for name, module in network.named_modules()}

    def after_conv(module: nn.Module, _: object, output: torch.Tensor) -> None:
        runs[module] = runs.get(module, 0) + 1
        outputs.append(output)
        if isinstance(module, nn.Conv2d):
            given_by[id(output)] = module

    def before_norm(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        runs[module] = runs.get(module, 0) + 1
        if id(inputs[0]) in given_by:
            pairs[names[module]] = given_by[id(inputs[0])]

    handles = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(after_conv))
        elif isinstance(module, nn.BatchNorm2d):
            handles.append(module.register_forward_pre_hook(before_norm))
    network(example)
    for handle in handles:
        handle.remove()
    once = {name: conv for name, conv in pairs.items() if runs[conv] == 1}
    return {name: conv for name, conv in once.items() if runs[network.get_submodule(name)] == 1}
