"""A classifier as a self-contained folder without pickles.

::

    model.safetensors   backbone and head, every tensor
    headstart.json      format number, entry, network, classes, preprocessing, calibration, digests, licence;
                        how it was fine-tuned, where it was;
                        feature point and the modules it is at, where it is not the network's end
    README.md           the model's card, for people and for the Hugging Face hub
    neighbours.safetensors    small training pictures, where the user asked for them
    familiarity.safetensors   what is known of the training pictures' features, where something is
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.catalog.entry import ModelEntry, Preprocessing
from headstart.catalog.side_by_side import SIGN
from headstart.catalog.user_rows import without_folders
from headstart.core.digest import digest_file
from headstart.core.errors import CorruptWeightsError, ModelError, StorageError
from headstart.core.files import write_bytes, write_text
from headstart.core.formats import MODEL_FOLDER_FORMAT
from headstart.core.records import dumps, from_json, to_json
from headstart.models.card import CardFacts, write_card
from headstart.models.classifier import Classifier
from headstart.models.familiarity import Familiarity
from headstart.models.feature_points import FEATURE_POINTS, FeatureMap, PointFeatures
from headstart.models.folder_record import RECORD_FILE, TENSORS_FILE, entry_of, read_record
from headstart.models.history import History
from headstart.models.networks import build_network
from headstart.models.parts import Parts, load_tensors
from headstart.models.side_by_side import SideBySide
from headstart.weights import read_tensors

FAMILIARITY_FILE = "familiarity.safetensors"
NEIGHBOURS_FILE = "neighbours.safetensors"
"""Small training pictures, where the user asked for them: never pushed anywhere."""
CARD_FILE = "README.md"


def save_folder(classifier: Classifier, path: Path | str, *, facts: CardFacts = CardFacts()) -> None:
    """Write a classifier as a model folder; the record comes last, so a folder with one is complete.

    Args:
        classifier: must have a head.
        path: the folder; made when missing, its files replaced when there.
        facts: what the card says about how good it is and how it was made.

    Raises:
        ModelError: the classifier has no head.
        StorageError: the folder cannot be written.
    """
    if classifier.head is None:
        raise ModelError(f"{classifier.name} has no classifier of its own; there is nothing to save")
    from safetensors.torch import save

    path = Path(path)
    (path / NEIGHBOURS_FILE).unlink(missing_ok=True)  # of another model
    tensors = {name: tensor.contiguous() for name, tensor in _own_tensors(classifier).items()}
    # safetensors' own writing hides that a disk is full.
    write_bytes(path / TENSORS_FILE, save(tensors, metadata={"format": "pt"}))
    digest = digest_file(path / TENSORS_FILE)
    record = {
        "format": MODEL_FOLDER_FORMAT,
        "entry": to_json(without_folders(classifier.entry)),  # folders are passed on
        "network": classifier.network,
        "feature_dim": classifier.feature_dim,
        "class_names": list(classifier.class_names),
        "preprocessing": to_json(classifier.preprocessing),
        "calibration": {"temperature": classifier.temperature, "threshold": classifier.threshold},
        "digests": {
            TENSORS_FILE: digest,
            "backbone": classifier.backbone_digest(),
        },
        "license": classifier.license,
        **_point_record(classifier.backbone),
    }
    if classifier.familiarity is not None:
        record |= _save_familiarity(classifier.familiarity, path)
        record["digests"] |= {FAMILIARITY_FILE: digest_file(path / FAMILIARITY_FILE)}
    else:
        (path / FAMILIARITY_FILE).unlink(missing_ok=True)
    if classifier.history is not None:
        record["history"] = to_json(classifier.history)
    write_text(path / CARD_FILE, write_card(classifier, facts, digest=digest))
    write_text(path / RECORD_FILE, dumps(record))


def load_folder(path: Path | str) -> Classifier:
    """Return the classifier in a model folder.

    Raises:
        StorageError: the folder's record cannot be read, or was written in another format.
        CorruptWeightsError: the tensors are missing, or not those that were saved.
        ModelError: the network cannot be built here.
    """
    path = Path(path)
    record = read_record(path)
    parts = _build(record, read_checked(path / TENSORS_FILE, record))
    classifier = Classifier(
        parts,
        entry=entry_of(path, record),
        preprocessing=from_json(Preprocessing, record["preprocessing"]),
        class_names=tuple(record["class_names"]),
        temperature=float(record["calibration"]["temperature"]),
        threshold=record["calibration"].get("threshold"),
    )
    if "familiarity" in record:
        classifier.familiarity = _load_familiarity(record, path)
    if "history" in record:
        classifier.history = from_json(History, record["history"])
    return classifier


def read_card(path: Path) -> str:
    """Return the card of a model folder as Markdown, "" where there is none."""
    try:
        return (path / CARD_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):  # people may write into it, or take it away
        return ""


def fixed_side(entry: ModelEntry) -> int | None:
    """Return the side of the only pictures that a row's network takes, None where it takes any."""
    return entry.weights.preprocessing.input_size[0] if entry.fixed_input_size else None


def read_checked(file: Path, record: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors of one of the folder's files.

    Raises:
        CorruptWeightsError: it is missing, or not the file that was saved.
    """
    if not file.is_file():
        raise CorruptWeightsError(
            f"{file.parent} has no {file.name}", hint="copy the whole folder, not only a part of it"
        )
    if digest_file(file) != record["digests"][file.name]:
        raise CorruptWeightsError(f"{file} is not the file that was saved: its sha256 differs")
    return read_tensors(file)


def _save_familiarity(familiarity: Familiarity, path: Path) -> dict[str, Any]:
    """Write what is known of training pictures; return the part of it that goes into the record."""
    from safetensors.numpy import save

    # safetensors takes the bytes as they lie in memory.
    tensors = {name: np.ascontiguousarray(getattr(familiarity, name)) for name in ("mean", "axes")}
    write_bytes(path / FAMILIARITY_FILE, save(tensors))
    numbers = {name: getattr(familiarity, name) for name in ("limit", "num_held_out", "num_beyond")}
    return {"familiarity": numbers}


def _load_familiarity(record: dict[str, Any], path: Path) -> Familiarity:
    tensors = read_checked(path / FAMILIARITY_FILE, record)
    mean, axes = tensors["mean"].float().numpy(), tensors["axes"].float().numpy()
    return Familiarity(mean=mean, axes=axes, **record["familiarity"])


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
    head = nn.Linear(record["feature_dim"], len(record["class_names"]))
    backbone = _take_point(_build_networks(record), record)
    parts = Parts(backbone=backbone, head=head, feature_dim=head.in_features, network=record["network"])
    holder = nn.ModuleDict({"backbone": parts.backbone, "head": head})
    load_tensors(holder, dict(tensors), network=parts.network)
    return parts


def _build_networks(record: dict[str, Any]) -> nn.Module:
    """Return what maps pictures to pooled features, with random tensors.

    Raises:
        StorageError: the record names more or fewer networks than rows they are from.
    """
    entry = from_json(ModelEntry, record["entry"])
    names, rows = record["network"].split(SIGN), entry.members or (entry,)
    if len(names) != len(rows):
        raise StorageError(f"the model folder's record names {len(names)} networks of {len(rows)} models")
    networks = [
        build_network(name, num_classes=1000, tensors=None, fixed_side=fixed_side(row)).backbone
        for name, row in zip(names, rows, strict=True)
    ]
    if len(networks) == 1:
        return networks[0]
    return SideBySide(networks, [row.weights.preprocessing for row in rows])


def _own_tensors(classifier: Classifier) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in classifier.state_dict().items()}
