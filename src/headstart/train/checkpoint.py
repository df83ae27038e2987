"""A training on disk: one file, replaced at once, so that there is always a whole one."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from headstart.core.errors import RunMismatchError, StorageError
from headstart.core.files import write_bytes
from headstart.core.formats import CHECKPOINT_FORMAT, check_format

CHECKPOINT_FILE = "checkpoint.safetensors"

_RECORD, _DIGEST = "headstart", "sha256"  # keys in the file's header


def save_checkpoint(folder: Path, tensors: dict[str, torch.Tensor], record: dict[str, Any]) -> None:
    """Write the state of a training; the one before stays until the new one is whole.

    Args:
        folder: it is made when missing.
        tensors: by name.
        record: everything else, as JSON.

    Raises:
        StorageError: the disk is full, or the folder may not be written to.
    """
    from safetensors.torch import save

    # Tensors that share memory, as those of an average that is one with its network, are written twice.
    separate = {name: each.detach().cpu().contiguous().clone() for name, each in tensors.items()}
    text = json.dumps({"format": CHECKPOINT_FORMAT, **record})
    header = {_RECORD: text, _DIGEST: _digest(separate, text)}
    # safetensors' own writing hides that a disk is full.
    write_bytes(folder / CHECKPOINT_FILE, save(separate, metadata=header))


def load_checkpoint(folder: Path, settings: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Return tensors and record of the state in a folder; None where there is none that is whole.

    Args:
        folder: where `save_checkpoint` wrote.
        settings: digest that the record must have as its "settings".

    Raises:
        RunMismatchError: the checkpoint is of another training.
        StorageError: it was written in another format.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / CHECKPOINT_FILE
    _clear_away(folder)
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            text = header.get(_RECORD, "{}")
            record = json.loads(text)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dictionary: only its keys can be gone through
    except (OSError, SafetensorError, ValueError):
        return None
    check_format(record.get("format"), CHECKPOINT_FORMAT, str(path))
    if header.get(_DIGEST) != _digest(tensors, text):
        return None
    if record.get("settings") != settings:
        raise RunMismatchError(
            f"{folder} holds a training with other settings", hint="choose another folder with --out"
        )
    return tensors, record


def remove_checkpoint(folder: Path) -> None:
    """Delete the state of a training that has ended."""
    try:
        (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot delete {folder / CHECKPOINT_FILE}: {error.strerror}") from error


def _digest(tensors: dict[str, torch.Tensor], text: str) -> str:
    """Return the sha256 of tensors and record: safetensors notices a missing part, but no changed one."""
    sha = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        sha.update(name.encode())
        sha.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()


def _clear_away(folder: Path) -> None:
    """Delete what killed processes left half written: each such file may be as large as a whole one."""
    for left in folder.glob(f".{CHECKPOINT_FILE}.*.part"):
        with suppress(OSError):
            left.unlink()
