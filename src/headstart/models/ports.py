"""Adapter for the 45 networks of `pretrainedmodels`: our own ports, and torchvision's in its form."""

import importlib
from functools import cache
from typing import Any

import torch
from torch import nn

from headstart.catalog.entry import ModelEntry
from headstart.core.errors import ModelError
from headstart.core.progress import SILENT, Progress
from headstart.models import torchvision_ports
from headstart.models.parts import Parts, affine_head, load_tensors
from headstart.models.port_names import fit_shapes, rename_tensors
from headstart.weights import fetch, fetched_tensors

HEAD = "last_linear"

_FAMILIES = (
    "bninception",
    "cafferesnet",
    "dpn",
    "fbresnet",
    "inceptionresnetv2",
    "inceptionv4",
    "nasnet",
    "pnasnet",
    "polynet",
    "resnext",
    "senet",
    "xception",
)


class PooledFeatures(nn.Module):
    """A port without its classifier: pictures to pooled features."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to features (N, D)."""
        pooled: torch.Tensor = self.network.pool(self.network.features(x))
        return pooled


@cache
def own_ports() -> dict[str, tuple[Any, Any]]:
    """Return from name to (network class, configuration), for the networks that `architectures` holds."""
    modules = [importlib.import_module(f"headstart.architectures.{family}") for family in _FAMILIES]
    return {name: (module.Network, config) for module in modules for name, config in module.CONFIGS.items()}


def build_port(architecture: str, *, num_classes: int = 1000) -> nn.Module:
    """Return one of the 45 networks, in training mode, with random weights from torch's generator.

    It has `features(x)`, `pool(features)` of shape (N, D), `logits(features)` of shape (N, K), `last_linear`.

    Raises:
        ModelError: there is no such network.
    """
    if architecture in torchvision_ports.FORMS:
        return torchvision_ports.build(architecture, num_classes=num_classes)
    if architecture not in own_ports():
        names = sorted([*own_ports(), *torchvision_ports.FORMS])
        raise ModelError(
            f"pretrainedmodels has no network {architecture!r}; it has {', '.join(names)}",
            hint="timm and torchvision have many more: headstart models",
        )
    network, config = own_ports()[architecture]
    built: nn.Module = network(config, num_classes=num_classes)
    return built


def load_port(architecture: str, tensors: dict[str, torch.Tensor], *, num_classes: int = 1000) -> nn.Module:
    """Return one of the 45 networks with these tensors, in training mode.

    Args:
        architecture: one of the 45 names.
        tensors: a state dict of it under our names.
        num_classes: K of the head in `tensors`; a background class that comes before them is left out.

    Raises:
        ModelError: there is no such network, or the tensors do not fit it.
    """
    network = build_port(architecture, num_classes=num_classes)
    random = network.state_dict()
    fitted = fit_shapes(tensors, {name: tensor.shape for name, tensor in random.items()})
    # timm leaves out Inception's auxiliary classifier, which takes no part.
    unused = {name: tensor for name, tensor in random.items() if name.startswith("AuxLogits.")}
    load_tensors(network, unused | fitted, network=f"pretrainedmodels/{architecture}")
    return network


def pretrained_port(
    entry: ModelEntry, *, num_classes: int | None = None, progress: Progress = SILENT
) -> nn.Module:
    """Return one of the 45 networks with the weights of a row, in training mode.

    Args:
        entry: a row of the provider pretrainedmodels.
        num_classes: K of the head that the weights bring, one less to leave a background class out; None for
            the row's own.
        progress: told about a download.

    Raises:
        WeightsError: the weights cannot be had, or must not be trusted.
        ModelError: the weights do not fit the network.
    """
    tensors = fetched_tensors(fetch(entry, progress=progress), progress=progress)
    return load_port(
        entry.architecture,
        rename_tensors(entry.architecture, tensors),
        num_classes=num_classes or entry.weights.num_classes,
    )


def replace_head(network: Any, num_classes: int) -> None:
    """Put a random `last_linear` of K classes in the place of the one in `network`, of the same kind."""
    old = network.last_linear
    if isinstance(old, nn.Conv2d):
        network.last_linear = nn.Conv2d(old.in_channels, num_classes, kernel_size=1)
        network.last_linear.in_features, network.last_linear.out_features = old.in_channels, num_classes
    else:
        network.last_linear = nn.Linear(old.in_features, num_classes)


def build(architecture: str, *, num_classes: int, tensors: dict[str, torch.Tensor] | None) -> Parts:
    """Return one of the 45 networks, with these tensors or with random ones from torch's generator.

    Raises:
        ModelError: there is no such network, or the tensors do not fit it.
    """
    network: Any = (
        build_port(architecture, num_classes=num_classes)
        if tensors is None
        else load_port(architecture, tensors, num_classes=num_classes)
    )
    return take_apart(network, architecture)


def take_apart(network: Any, architecture: str) -> Parts:
    """Return the features and the head of one of the 45 networks, which is taken apart for it."""
    name = f"pretrainedmodels/{architecture}"
    if isinstance(network, torchvision_ports.SqueezeNet):  # it classifies before its pooling
        backbone = nn.Sequential(network.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return Parts(backbone=backbone, head=None, feature_dim=512, network=name, classify=network)
    head = affine_head(network.last_linear)
    if head is None:
        raise ModelError(f"{name} has no linear layer at its end")
    del network.last_linear
    return Parts(backbone=PooledFeatures(network), head=head, feature_dim=head.in_features, network=name)
