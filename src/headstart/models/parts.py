"""A network taken apart: what makes features, and what makes logits of them."""

import copy
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from headstart.core.errors import ModelError

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """What a provider's adapter hands over.

    Attributes:
        backbone: maps float pictures (N, 3, H, W) to pooled features (N, D).
        head: maps features (N, D) to logits (N, K); the identity where the features are the logits; None
            where the logits are no affine map of the pooled features, or there are none.
        feature_dim: D.
        network: the code that computes it, as provider and architecture: "timm/tf_efficientnet_lite0"; of
            networks side by side with "+" between.
        classify: the whole network, pictures (N, 3, H, W) to logits (N, K), for one that classifies without
            such a head: SqueezeNet does so before its pooling, distilled transformers with two heads. It
            shares its tensors with the backbone. None where there is a head, or no classifier.
    """

    backbone: nn.Module
    head: nn.Linear | nn.Identity | None
    feature_dim: int
    network: str
    classify: nn.Module | None = None

    @property
    def has_classifier(self) -> bool:
        """Whether the network gives logits, in whichever way."""
        return self.head is not None or self.classify is not None


def affine_head(layer: object) -> nn.Linear | None:
    """Return a network's last layer as a linear one; None where it is not one affine map.

    A 1x1 convolution on pooled features is the same map with two more axes.
    """
    if isinstance(layer, nn.Linear):
        return layer
    if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1:
        linear = nn.Linear(layer.in_channels, layer.out_channels, bias=layer.bias is not None)
        linear.weight.data = layer.weight.data.flatten(1)
        if layer.bias is not None:
            linear.bias.data = layer.bias.data
        return linear
    return None


def sharing_copy(network: Network) -> Network:
    """Return a copy of a network's modules on the very same tensors: it may be taken apart, or get hooks."""
    tensors = (*network.parameters(), *network.buffers())
    return copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})


def load_tensors(module: nn.Module, tensors: "dict[str, object]", *, network: str) -> None:
    """Load a state dict, all of it and nothing else.

    Raises:
        ModelError: names or shapes do not fit this network.
    """
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise misfit(network, error) from error


def misfit(network: str, error: Exception) -> ModelError:
    """Return the error for tensors that do not fit a network, with the first few differences."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ModelError(
        f"the weights do not fit the network {network}: {' '.join(lines[1:3])[:300]}",
        hint="check that the file was made from this architecture: headstart models 'PATTERN' lists them",
    )
