"""Adapter for timm, and for the packages whose tensors are timm's under other names."""

import re
from typing import Any

import timm
import torch

from headstart.core.errors import ModelError
from headstart.models.parts import Parts, affine_head, misfit, sharing_copy


def head_name(architecture: str) -> str:
    """Return the name of the classifier's layer in timm's state dict, of several the first's, "" of none."""
    classifier = (timm.get_pretrained_cfg(architecture) or timm.models.PretrainedCfg()).classifier
    first = classifier[0] if isinstance(classifier, (list, tuple)) and classifier else classifier
    return first if isinstance(first, str) else ""


def build(
    architecture: str,
    *,
    num_classes: int,
    tensors: dict[str, torch.Tensor] | None,
    fixed_side: int | None = None,
) -> Parts:
    """Return a timm network, with these tensors or with random ones from torch's generator.

    Args:
        architecture: timm's name, without tag.
        num_classes: K of the head in `tensors`, or of the random one; 0 for none.
        tensors: a state dict as timm publishes it; it goes through timm's own filter for the architecture.
        fixed_side: side of the pictures in pixels, for a network that is built for one size only.

    Raises:
        ModelError: timm has no such architecture, or the tensors do not fit it.
    """
    if not timm.is_model(architecture):
        raise ModelError(
            f"timm {timm.__version__} has no architecture {architecture!r}",
            hint="headstart models 'timm/*' lists what there is; a newer timm may have it",
        )
    overlay = None if tensors is None else {"state_dict": dict(tensors), "num_classes": num_classes}
    try:
        network: Any = timm.create_model(
            architecture,
            pretrained=tensors is not None,
            pretrained_cfg_overlay=overlay,
            num_classes=num_classes,
            **size_option(architecture, fixed_side),
        )
    except RuntimeError as error:
        raise misfit(f"timm/{architecture}", error) from error
    head = affine_head(network.get_classifier())
    whole = sharing_copy(network) if head is None and num_classes else None
    network.reset_classifier(0)
    feature_dim = head.in_features if head is not None else int(network.head_hidden_size)
    return Parts(
        backbone=network,
        head=head,
        feature_dim=feature_dim,
        network=f"timm/{architecture}",
        classify=whole,
    )


def create(architecture: str, *, num_classes: int, **options: Any) -> torch.nn.Module:
    """Return timm's own network, whole, with random tensors."""
    network: torch.nn.Module = timm.create_model(architecture, num_classes=num_classes, **options)
    return network


def size_option(architecture: str, fixed_side: int | None) -> dict[str, Any]:
    """Return what makes timm build for one picture size, {} where it is the architecture's own anyway."""
    native = timm.get_pretrained_cfg(architecture)
    if fixed_side is None or native is None or native.input_size[-1] == fixed_side:
        return {}
    return {"img_size": fixed_side}


def rename_starter_tensors(tensors: dict[str, torch.Tensor], network: str) -> dict[str, torch.Tensor]:
    """Give the tensors of lukemelas/EfficientNet-PyTorch the names of timm's same network.

    Both list the same tensors in the same order; the order is checked by shape and by the last part of the
    name, so that a file of another network is refused.

    Raises:
        ModelError: the two lists differ.
    """
    ours = timm.create_model(network.removeprefix("timm/")).state_dict()
    pairs = list(zip(tensors.items(), ours.items(), strict=False))
    fits = len(tensors) == len(ours) and all(
        source.shape == target.shape and _kind(source_name) == _kind(target_name)
        for (source_name, source), (target_name, target) in pairs
    )
    if not fits:
        raise ModelError(f"the weights do not fit the network {network}")
    return {target_name: source for (_, source), (target_name, _) in pairs}


def _kind(name: str) -> str:
    """Return the last part of a tensor's name: "weight", "running_mean"."""
    return re.split(r"\.", name)[-1]
