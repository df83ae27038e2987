"""A classifier as a self-contained folder without pickles.

::

    model.safetensors   backbone and head, every tensor
    headstart.json      format number, entry, network, classes, preprocessing, calibration, digests, licence;
                        feature point and the modules it is at, where it is not the network's end
    README.md           the model's card, for people
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headstart.catalog.entry import ModelEntry, Preprocessing, WeightsSource
from headstart.core.digest import digest_file
from headstart.core.errors import CorruptWeightsError, ModelError, StorageError
from headstart.core.files import write_bytes, write_text
from headstart.core.formats import MODEL_FOLDER_FORMAT, check_format
from headstart.core.records import dumps, from_json, read_json, to_json
from headstart.models.card import write_card
from headstart.models.classifier import Classifier
from headstart.models.feature_points import FEATURE_POINTS, FeatureMap, PointFeatures
from headstart.models.networks import build_network
from headstart.models.parts import Parts, load_tensors
from headstart.weights import read_tensors

TENSORS_FILE = "model.safetensors"
RECORD_FILE = "headstart.json"
CARD_FILE = "README.md"


def is_model_folder(path: Path) -> bool:
    """Say whether `path` is a folder that `save_folder` wrote."""
    return (path / RECORD_FILE).is_file()


def save_folder(classifier: Classifier, path: Path, *, summary: str = "") -> None:
    """Write a classifier as a model folder; the record comes last, so a folder with one is complete.

    Args:
        classifier: must have a head.
        path: the folder; made when missing, its three files replaced when there.
        summary: what the card says about how good it is, as Markdown.

    Raises:
        ModelError: the classifier has no head.
        StorageError: the folder cannot be written.
    """
    if classifier.head is None:
        raise ModelError(f"{classifier.name} has no classifier of its own; there is nothing to save")
    from safetensors.torch import save

    tensors = {name: tensor.contiguous() for name, tensor in _own_tensors(classifier).items()}
    # safetensors' own writing hides that a disk is full.
    write_bytes(path / TENSORS_FILE, save(tensors, metadata={"format": "pt"}))
    record = {
        "format": MODEL_FOLDER_FORMAT,
        "entry": to_json(classifier.entry),
        "network": classifier.network,
        "feature_dim": classifier.feature_dim,
        "class_names": list(classifier.class_names),
        "preprocessing": to_json(classifier.preprocessing),
        "calibration": {"temperature": classifier.temperature},
        "digests": {
            TENSORS_FILE: digest_file(path / TENSORS_FILE),
            "backbone": classifier.backbone_digest(),
        },
        "license": classifier.license,
        **_point_record(classifier.backbone),
    }
    write_text(path / CARD_FILE, write_card(classifier, summary=summary))
    write_text(path / RECORD_FILE, dumps(record))


def load_folder(path: Path) -> Classifier:
    """Return the classifier in a model folder.

    Raises:
        StorageError: the folder's record cannot be read, or was written in another format.
        CorruptWeightsError: the tensors are missing, or not those that were saved.
        ModelError: the network cannot be built here.
    """
    record = _read_record(path)
    file = path / TENSORS_FILE
    if not file.is_file():
        raise CorruptWeightsError(
            f"{path} has no {TENSORS_FILE}", hint="copy the whole folder, not only a part of it"
        )
    if digest_file(file) != record["digests"][TENSORS_FILE]:
        raise CorruptWeightsError(f"{file} is not the file that was saved: its sha256 differs")
    parts = _build(record, read_tensors(file))
    return Classifier(
        parts,
        entry=_entry(path, record),
        preprocessing=from_json(Preprocessing, record["preprocessing"]),
        class_names=tuple(record["class_names"]),
        temperature=float(record["calibration"]["temperature"]),
    )


def folder_entry(path: Path) -> ModelEntry:
    """Return a model folder's row: that of the model it was made from, with the folder as its source.

    Raises:
        StorageError: the folder's record cannot be read.
    """
    return _entry(path, _read_record(path))


def fixed_side(entry: ModelEntry) -> int | None:
    """Return the side of the only pictures that a row's network takes, None where it takes any."""
    return entry.weights.preprocessing.input_size[0] if entry.fixed_input_size else None


def _read_record(path: Path) -> dict[str, Any]:
    record = read_json(path / RECORD_FILE)
    check_format(record.get("format") if isinstance(record, dict) else None, MODEL_FOLDER_FORMAT, str(path))
    missing = {"entry", "network", "feature_dim", "class_names", "preprocessing", "calibration", "digests"}
    missing -= set(record)
    if missing:
        raise StorageError(f"{path / RECORD_FILE} lacks {', '.join(sorted(missing))}")
    return dict(record)


def _entry(path: Path, record: dict[str, Any]) -> ModelEntry:
    made_from = from_json(ModelEntry, record["entry"])
    source = WeightsSource(kind="file", location=str(path), sha256=record["digests"][TENSORS_FILE])
    weights = replace(
        made_from.weights,
        sources=(source,),
        num_classes=len(record["class_names"]),
        preprocessing=from_json(Preprocessing, record["preprocessing"]),
    )
    return replace(made_from, provider="folder", weights=weights)


def _point_record(backbone: nn.Module) -> dict[str, Any]:
    """Return the record of where features are taken, {} for pooled ones.

    The modules are written down, not found again on loading: a folder means the same for ever. A version that
    knows of no feature points refuses the folder, because the tensors have other names in it.
    """
    if not isinstance(backbone, PointFeatures):
        return {}
    return {"feature_point": backbone.point, "feature_maps": [to_json(each) for each in backbone.maps]}


def _take_point(network: nn.Module, record: dict[str, Any]) -> nn.Module:
    """Return a network with its features taken where the record says.

    Raises:
        StorageError: the record names no feature point that there is, or not where it is.
        ModelError: the network has no such module.
    """
    point = record.get("feature_point", "pooled")
    if point == "pooled":
        return network
    places = record.get("feature_maps")
    if point not in FEATURE_POINTS or not places:
        raise StorageError(f"the model folder's record has the feature point {point!r} at {places!r}")
    return PointFeatures(network, point, tuple(from_json(FeatureMap, each) for each in places))


def _build(record: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Parts:
    side = fixed_side(from_json(ModelEntry, record["entry"]))
    bare = build_network(record["network"], num_classes=1000, tensors=None, fixed_side=side)
    head = nn.Linear(record["feature_dim"], len(record["class_names"]))
    backbone = _take_point(bare.backbone, record)
    parts = Parts(backbone=backbone, head=head, feature_dim=head.in_features, network=bare.network)
    holder = nn.ModuleDict({"backbone": parts.backbone, "head": head})
    load_tensors(holder, dict(tensors), network=parts.network)
    return parts


def _own_tensors(classifier: Classifier) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in classifier.state_dict().items()}
