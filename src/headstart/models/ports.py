"""Adapter for our own ports in `architectures`, which bear the names of `pretrainedmodels`."""

from collections.abc import Callable

import torch
from torch import nn

from headstart.architectures.senet import SENet, se_resnet50
from headstart.core.errors import ModelError
from headstart.models.parts import Parts, affine_head, load_tensors

_BUILDERS: dict[str, Callable[..., SENet]] = {"se_resnet50": se_resnet50}

HEAD = "last_linear"


class PooledFeatures(nn.Module):
    """A port without its classifier: pictures to pooled features."""

    def __init__(self, network: SENet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to features (N, D)."""
        return self.network.pool(self.network.features(x))


def build(architecture: str, *, num_classes: int, tensors: dict[str, torch.Tensor] | None) -> Parts:
    """Return one of our ports, with these tensors or with random ones from torch's generator.

    Raises:
        ModelError: there is no such port, or the tensors do not fit it.
    """
    if architecture not in _BUILDERS:
        raise ModelError(
            f"headstart has no port of {architecture!r} yet; it has {', '.join(sorted(_BUILDERS))}",
            hint="timm and torchvision have most of the others: headstart models",
        )
    name = f"pretrainedmodels/{architecture}"
    network = _BUILDERS[architecture](num_classes=num_classes)
    if tensors is not None:
        load_tensors(network, dict(tensors), network=name)
    head = affine_head(network.last_linear)
    del network.last_linear
    feature_dim = head.in_features if head is not None else 0
    return Parts(backbone=PooledFeatures(network), head=head, feature_dim=feature_dim, network=name)
