"""Pickles of tensors, turned into safetensors once.

A pickle is a program, however restricted the machine that runs it. So the tensors of a fetched or packaged
pickle are written as safetensors into the cache, and later loads open no pickle. The conversion bears the
sha256 of the original as its name and inside, so that no other file's tensors are ever taken for it.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from headstart.catalog.pins import read_pin
from headstart.core.digest import digest_file
from headstart.core.errors import CorruptWeightsError, HeadstartError
from headstart.core.files import atomic_path, storage_errors
from headstart.core.formats import CONVERSION_FORMAT
from headstart.core.paths import conversions_dir
from headstart.core.progress import SILENT, Progress
from headstart.weights.checks import digest_of, write_pin
from headstart.weights.local_file import WeightsFile, locked
from headstart.weights.tensors import read_tensors

_NOTE = "headstart"  # one key, for safetensors writes several in any order

# A conversion is a convenience: whatever prevents it, a full disk or a dtype that safetensors lacks, the
# tensors of the original are there.
_HINDRANCES = (HeadstartError, SafetensorError, OSError, RuntimeError, ValueError, KeyError)


def fetched_tensors(file: WeightsFile, *, progress: Progress = SILENT) -> dict[str, torch.Tensor]:
    """Return the tensors of a weights file by name, on the CPU, in the file's own order.

    The first time a fetched or packaged pickle is read it is converted; from then on the conversion is read.
    The user's own files are read as they are.

    Args:
        file: what `fetch` returned.
        progress: told when no conversion can be kept.

    Raises:
        CorruptWeightsError: the file is damaged, or holds more than tensors.
        StorageError: the file cannot be read.
    """
    if file.state == "file" or file.path.suffix == ".safetensors":
        return read_tensors(file.path)
    target = conversions_dir() / f"{file.sha256}.safetensors"
    tensors = _read_conversion(target, original=file.sha256)
    if tensors is not None:
        return tensors
    _check_unchanged(file)
    tensors = read_tensors(file.path)
    try:
        with locked(target, progress, work="converts"):
            if _read_conversion(target, original=file.sha256) is None:
                _write_conversion(tensors, target, original=file.sha256)
    except _HINDRANCES as error:
        progress.note(f"{file.path.name} is read as it is; it cannot be kept as safetensors: {error}")
    return tensors


def _check_unchanged(file: WeightsFile) -> None:
    """Read all of the original once more: a pin spares that, and a conversion is believed for ever."""
    with storage_errors(file.path, "read"):
        digest = digest_file(file.path)
    if digest != file.sha256:
        raise CorruptWeightsError(
            f"{file.path} has the sha256 {digest}; expected {file.sha256}",
            hint="it was changed since it was checked: remove it, or reinstall its package",
        )


def _write_conversion(tensors: dict[str, torch.Tensor], target: Path, *, original: str) -> None:
    for stale in target.parent.glob(f".{target.name}.*"):  # of a process that was killed
        stale.unlink()
    note = {"format": CONVERSION_FORMAT, "original": original, "names": list(tensors)}
    with atomic_path(target) as temporary:
        save_file(_separate(tensors), temporary, metadata={_NOTE: json.dumps(note)})
        _check_written(temporary, tensors)
    with storage_errors(target, "read"):
        digest = digest_file(target)
    write_pin(target, digest, is_verified=True)


def _separate(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors, each with memory of its own, as safetensors wants them; values are the same."""
    storages: set[int] = set()
    separate: dict[str, torch.Tensor] = {}
    for name, value in tensors.items():
        storage = value.untyped_storage().data_ptr()
        is_plain = value.is_contiguous() and storage not in storages
        separate[name] = value if is_plain else value.clone(memory_format=torch.contiguous_format)
        storages.add(storage)
    return separate


def _check_written(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Refuse a conversion that does not hold every tensor, bit by bit."""
    written = load_file(path)
    wrong = [name for name, value in tensors.items() if not _is_same(written.get(name), value)]
    if wrong or len(written) != len(tensors):
        raise CorruptWeightsError(f"the tensors {', '.join(wrong)} do not come back as they were")


def _is_same(written: torch.Tensor | None, value: torch.Tensor) -> bool:
    if written is None or written.dtype != value.dtype or written.shape != value.shape:
        return False
    return torch.equal(_bytes_of(written), _bytes_of(value))  # as bytes, for no number equals NaN


def _bytes_of(value: torch.Tensor) -> torch.Tensor:
    return value.contiguous().reshape(-1).view(torch.uint8)


def _read_conversion(target: Path, *, original: str) -> dict[str, torch.Tensor] | None:
    """Return the tensors of a sound conversion of `original` in their order, None where there is none."""
    pin = read_pin(target)
    if pin is None or not target.is_file():
        return None
    try:
        if digest_of(target, pin) != pin.sha256:
            return None
        with safe_open(target, framework="pt") as file:
            note = json.loads((file.metadata() or {})[_NOTE])
        if (note["format"], note["original"]) != (CONVERSION_FORMAT, original):
            return None
        tensors = load_file(target)
        return {name: tensors[name] for name in note["names"]}
    except (*_HINDRANCES, TypeError):
        return None
