"""What a model folder says of itself, without loading its tensors: no torch is needed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.catalog.entry import ModelEntry, Preprocessing, WeightsSource
from headstart.core.errors import StorageError
from headstart.core.formats import MODEL_FOLDER_FORMAT, check_format
from headstart.core.paths import MODEL_FOLDER
from headstart.core.records import from_json, read_json

TENSORS_FILE = "model.safetensors"
RECORD_FILE = "headstart.json"


def is_model_folder(path: Path) -> bool:
    """Say whether `path` is a folder that `save_folder` wrote."""
    return (path / RECORD_FILE).is_file()


def find_model_folder(path: Path) -> Path | None:
    """Return the model folder that a path means, be it a run's folder; None where there is none."""
    return next((each for each in (path, path / MODEL_FOLDER) if is_model_folder(each)), None)


def folder_entry(path: Path) -> ModelEntry:
    """Return a model folder's row: that of the model it was made from, with the folder as its source.

    Raises:
        StorageError: the folder's record cannot be read.
    """
    return entry_of(path, read_record(path))


def read_record(path: Path) -> dict[str, Any]:
    """Return a model folder's record.

    Raises:
        StorageError: it cannot be read, or was written in another format.
    """
    record = read_json(path / RECORD_FILE)
    check_format(record.get("format") if isinstance(record, dict) else None, MODEL_FOLDER_FORMAT, str(path))
    missing = {"entry", "network", "feature_dim", "class_names", "preprocessing", "calibration", "digests"}
    missing -= set(record)
    if missing:
        raise StorageError(f"{path / RECORD_FILE} lacks {', '.join(sorted(missing))}")
    return dict(record)


def entry_of(path: Path, record: dict[str, Any]) -> ModelEntry:
    """Return the row that a model folder's record tells of."""
    made_from = from_json(ModelEntry, record["entry"])
    source = WeightsSource(kind="file", location=str(path), sha256=record["digests"][TENSORS_FILE])
    weights = replace(
        made_from.weights,
        sources=(source,),
        num_classes=len(record["class_names"]),
        preprocessing=from_json(Preprocessing, record["preprocessing"]),
    )
    return replace(made_from, provider="folder", weights=weights)
