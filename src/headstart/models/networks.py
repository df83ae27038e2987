"""Which adapter builds a network."""

import torch

from headstart.core.errors import ModelError
from headstart.models import ports, timm_models, torchvision_models
from headstart.models.parts import Parts
from headstart.models.port_names import rename_tensors


def build_network(
    network: str,
    *,
    num_classes: int,
    tensors: dict[str, torch.Tensor] | None,
    fixed_side: int | None,
) -> Parts:
    """Return a network, with these tensors or with random ones from torch's generator.

    Args:
        network: provider and architecture: "timm/resnet50".
        num_classes: K of the head in `tensors`, or of the random one.
        tensors: a state dict with the provider's names.
        fixed_side: side of the pictures in pixels, for a network that is built for one size only.

    Raises:
        ModelError: provider or architecture are unknown here, or the tensors do not fit.
    """
    provider, _, architecture = network.partition("/")
    if provider == "timm":
        return timm_models.build(
            architecture, num_classes=num_classes, tensors=tensors, fixed_side=fixed_side
        )
    if provider == "torchvision":
        return torchvision_models.build(
            architecture, num_classes=num_classes, tensors=tensors, fixed_side=fixed_side
        )
    if provider == "pretrainedmodels":
        return ports.build(architecture, num_classes=num_classes, tensors=tensors)
    raise ModelError(f"the network {network!r} has a provider that headstart does not know")


def own_names(network: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors under the names that the network has, whichever library's file they are from."""
    provider, _, architecture = network.partition("/")
    return rename_tensors(architecture, tensors) if provider == "pretrainedmodels" else tensors


def head_name(network: str, tensors: dict[str, torch.Tensor]) -> str:
    """Return the name of the classifier's layer in a state dict of a network, "" where it is not known."""
    provider, _, architecture = network.partition("/")
    if provider == "timm":
        return timm_models.head_name(architecture)
    return torchvision_models.head_name(tensors) if provider == "torchvision" else ports.HEAD
