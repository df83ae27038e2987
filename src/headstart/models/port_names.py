"""The tensors of torchvision's and timm's files under the names that `pretrainedmodels` gave them.

The living sources of the 45 weight sets are torchvision's and timm's files of the same tensors. A rule is a
regular expression and what takes its place; a family's rules are applied in their order to every name. Names
that are right already are left alone, for no rule fits them.
"""

import re
from collections.abc import Mapping

import torch

_TORCHVISION_DENSENET = (r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2")  # as the files of 2017 say it
_HEAD = (r"^(?:fc|classif|classifier)\.", "last_linear.")

_RULES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "alexnet": (
        (r"^features\.", "_features."),
        (r"^classifier\.1\.", "linear0."),
        (r"^classifier\.4\.", "linear1."),
        (r"^classifier\.6\.", "last_linear."),
    ),
    "vgg": (
        (r"^features\.", "_features."),
        (r"^classifier\.0\.", "linear0."),
        (r"^classifier\.3\.", "linear1."),
        (r"^classifier\.6\.", "last_linear."),
        (r"^pre_logits\.fc1\.", "linear0."),
        (r"^pre_logits\.fc2\.", "linear1."),
        (r"^head\.fc\.", "last_linear."),
    ),
    "densenet": (_TORCHVISION_DENSENET, _HEAD),
    "resnet": (_HEAD,),
    "inceptionv3": (_HEAD,),
    "dpn": (_HEAD,),
    "inceptionresnetv2": (_HEAD,),
    "xception": (_HEAD,),
    "squeezenet": ((r"^(?:classifier\.1|last_conv)\.", "last_linear."),),
}


def rename_tensors(architecture: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of one of the 45 networks under our names, in their order.

    Args:
        architecture: one of the 45 names.
        tensors: the original's state dict, torchvision's, or timm's of the same network.
    """
    rules = next((rules for family, rules in _RULES.items() if architecture.startswith(family)), ())
    return {_renamed(name, rules): tensor for name, tensor in tensors.items()}


def fit_shapes(
    tensors: Mapping[str, torch.Tensor], shapes: Mapping[str, torch.Size]
) -> dict[str, torch.Tensor]:
    """Return the tensors in the shapes that a network asks for, where they hold the same numbers.

    A linear layer and a convolution that sees all of its input hold the same numbers. A head of 1,001
    classes where 1,000 are asked for begins with TensorFlow's background class, which is left out.

    Args:
        tensors: by our names.
        shapes: by the same names, as the network has them.
    """
    fitted = dict(tensors)
    for name in shapes.keys() & tensors.keys():
        tensor, shape = tensors[name], shapes[name]
        if name.startswith("last_linear.") and (len(tensor), shape[0]) == (1001, 1000):
            tensor = tensor[1:]
        if tensor.shape != shape and tensor.numel() == shape.numel() and tensor.shape[:1] == shape[:1]:
            tensor = tensor.reshape(shape)
        fitted[name] = tensor
    return fitted


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
