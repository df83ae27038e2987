"""From a name to a `Classifier`."""

from pathlib import Path
from typing import Literal

import torch
from torch import nn

from headstart.catalog.entry import ModelEntry
from headstart.catalog.side_by_side import SIGN
from headstart.core.errors import InputError
from headstart.core.progress import SILENT, Progress
from headstart.models import timm_models
from headstart.models.classifier import Classifier
from headstart.models.folder import fixed_side, load_folder
from headstart.models.imagenet import class_names
from headstart.models.networks import build_network, head_name, own_names
from headstart.models.parts import Parts
from headstart.models.resolving import resolve
from headstart.models.side_by_side import SideBySide
from headstart.weights import fetch, fetched_tensors


def load(
    model: str | ModelEntry,
    *,
    weights: Literal["pretrained"] | None = "pretrained",
    num_classes: int | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Classifier:
    """Return a classifier, in eval mode, float32, on the CPU.

    Args:
        model: a name as `headstart models` lists it, "timm/resnet50@my.safetensors", several with "+" between
            for networks side by side, a saved model folder, or a row of the catalogue.
        weights: "pretrained" fetches the row's weights; None builds with random ones.
        num_classes: K of a fresh head in place of the one that came with the weights; None keeps that one.
        seed: of everything that is random: the whole network without weights, a fresh head with them.
        progress: told about a download.

    Raises:
        UnknownModelError: nothing has this name.
        WeightsError: the weights cannot be had, or must not be trusted.
        ModelError: the network cannot be built, or the weights do not fit it.

    Example:
        >>> import headstart as hs
        >>> classifier = hs.load("efficientnet_lite0", weights=None, num_classes=10)
        >>> classifier.feature_dim, len(classifier.class_names)
        (1280, 10)
    """
    if num_classes is not None and num_classes < 1:
        raise InputError(f"num_classes is {num_classes}; it must be 1 or more")
    entry = resolve(model) if isinstance(model, str) else model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if entry.provider == "folder":
            classifier = load_folder(Path(entry.weights.sources[0].location))
        else:
            classifier = _assemble(entry, pretrained=weights is not None, progress=progress)
        if num_classes is None:
            return classifier
        torch.manual_seed(seed)
        head = nn.Linear(classifier.feature_dim, num_classes)
    return classifier.with_head(head, class_names(num_classes))


def _assemble(entry: ModelEntry, *, pretrained: bool, progress: Progress) -> Classifier:
    if entry.members:
        return _assemble_members(entry, pretrained=pretrained, progress=progress)
    tensors = fetched_tensors(fetch(entry, progress=progress), progress=progress) if pretrained else None
    network = network_of(entry)
    if tensors is not None and _is_starter(entry):
        tensors = timm_models.rename_starter_tensors(tensors, network)
    elif tensors is not None:
        tensors = own_names(network, tensors)
    num_classes = entry.weights.num_classes
    if tensors is not None and entry.provider == "checkpoint":
        num_classes = _count_classes(network, tensors)
    parts = build_network(network, num_classes=num_classes, tensors=tensors, fixed_side=fixed_side(entry))
    names = class_names(num_classes) if parts.has_classifier else ()
    return Classifier(parts, entry=entry, preprocessing=entry.weights.preprocessing, class_names=names)


def _assemble_members(entry: ModelEntry, *, pretrained: bool, progress: Progress) -> Classifier:
    """Return networks side by side, without a head: each one's own sees its features only."""
    members = [_assemble(each, pretrained=pretrained, progress=progress) for each in entry.members]
    parts = Parts(
        backbone=SideBySide([each.backbone for each in members], [each.preprocessing for each in members]),
        head=None,
        feature_dim=sum(each.feature_dim for each in members),
        network=SIGN.join(each.network for each in members),
    )
    return Classifier(parts, entry=entry, preprocessing=entry.weights.preprocessing, class_names=())


def network_of(entry: ModelEntry) -> str:
    """Return the code that computes a row: "timm/resnet50".

    A checkpoint names another row's architecture; a starter package's network is timm's.
    """
    network = (
        entry.architecture if entry.provider == "checkpoint" else f"{entry.provider}/{entry.architecture}"
    )
    return network.replace("starter/", "timm/tf_", 1) if _is_starter(entry) else network


def _is_starter(entry: ModelEntry) -> bool:
    return entry.provider == "starter" or entry.architecture.startswith("starter/")


def _count_classes(network: str, tensors: dict[str, torch.Tensor]) -> int:
    """Return K of the head in somebody's own checkpoint, which need not be the published one's."""
    weight = tensors.get(f"{head_name(network, tensors)}.weight")
    if weight is not None:
        return int(weight.shape[0])
    return (
        0 if network.startswith("timm/") else 1000
    )  # timm builds without a head; else loading names what lacks
