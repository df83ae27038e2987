"""Adapter for torchvision's classification networks."""

import torch
import torchvision
from torch import nn

from headstart.core.errors import ModelError
from headstart.models.parts import Parts, affine_head, load_tensors

# These two were trained on pictures in -1..1 and bring their own conversion, which torchvision switches on
# only when it loads the weights itself. Source: torchvision/models/inception.py and googlenet.py.
_CONVERT_INPUT = ("googlenet", "inception_v3")
# Their classifier is convolution, ReLU and pooling, so no affine map of pooled features gives the logits.
_SQUEEZENETS = ("squeezenet1_0", "squeezenet1_1")


def head_name(tensors: dict[str, torch.Tensor]) -> str:
    """Return the name of the classifier's layer in a state dict, "" if it has no layers.

    It is the last linear one; SqueezeNet has none, and its last convolution classifies.
    """
    weights = [name for name in tensors if name.endswith(".weight")]
    matrices = [name for name in weights if tensors[name].ndim == 2]
    return (matrices or weights or [""])[-1].removesuffix(".weight")


def build(
    architecture: str,
    *,
    num_classes: int,
    tensors: dict[str, torch.Tensor] | None,
    fixed_side: int | None = None,
) -> Parts:
    """Return a torchvision network, with these tensors or with random ones from torch's generator.

    Args:
        architecture: torchvision's name.
        num_classes: K of the head in `tensors`, or of the random one.
        tensors: a state dict as torchvision publishes it.
        fixed_side: side of the pictures in pixels, for a network that is built for one size only.

    Raises:
        ModelError: torchvision has no such architecture, or the tensors do not fit it.
    """
    name = f"torchvision/{architecture}"
    network = create(architecture, num_classes, fixed_side)
    if tensors is not None:
        load_tensors(network, dict(tensors), network=name)
    if architecture in _SQUEEZENETS:
        backbone = nn.Sequential(network.get_submodule("features"), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return Parts(backbone=backbone, head=None, feature_dim=512, network=name, classify=network)
    path = _last_linear(network)
    head = affine_head(network.get_submodule(path))
    if head is None:
        raise ModelError(f"{name} has no linear layer at its end")
    network.set_submodule(path, nn.Identity())
    return Parts(backbone=network, head=head, feature_dim=head.in_features, network=name)


def class_names() -> tuple[str, ...]:
    """Return the 1,000 names of ImageNet-1k's classes, in the order of the labels."""
    weights = torchvision.models.get_model_weights("resnet50").DEFAULT
    return tuple(weights.meta["categories"])


def create(architecture: str, num_classes: int, fixed_side: int | None) -> nn.Module:
    """Return torchvision's own network, whole, with random tensors.

    Raises:
        ModelError: torchvision has no such architecture.
    """
    if architecture not in torchvision.models.list_models(module=torchvision.models):
        raise ModelError(
            f"torchvision {torchvision.__version__} has no classification network {architecture!r}",
            hint="headstart models 'torchvision/*' lists what there is",
        )
    network: nn.Module = torchvision.models.get_model(
        architecture, weights=None, num_classes=num_classes, **options_for(architecture, fixed_side)
    )
    return network


def options_for(architecture: str, fixed_side: int | None) -> dict[str, bool | int]:
    """Return what torchvision must be told to build a network as it was trained, beside the classes."""
    if fixed_side is not None and architecture.startswith("vit_"):
        return {"image_size": fixed_side}
    if architecture in _CONVERT_INPUT:
        return {"transform_input": True, "init_weights": True}
    return {}


def _last_linear(network: nn.Module) -> str:
    """Return the path of the last linear layer in the order of definition, which is the classifier."""
    paths = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    return paths[-1] if paths else ""
