"""Tensors out of a weights file, and nothing else out of it.

A ``.pth`` file is a pickle, that is, a program. torch's restricted unpickler runs only the few steps that
make tensors; what remains is checked here, for files come from strangers.
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from headstart.core.errors import CorruptWeightsError
from headstart.core.files import storage_errors

_ZIP_START = b"PK\x03\x04"
_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.")  # from DataParallel and torch.compile
_MAX_WRAPPERS = 3


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a weights file by name, on the CPU; those of a pickle in its own order.

    The usual wrappings are taken off: a dictionary within "state_dict", "model" or "model_state_dict", and
    the prefixes that DataParallel and torch.compile put before every name.

    Args:
        path: a ``.safetensors`` file, or one that ``torch.save`` wrote (``.pth``, ``.pt``, ``.bin``).

    Raises:
        CorruptWeightsError: the file is damaged, or holds more than tensors.
        StorageError: the file cannot be read.
    """
    with storage_errors(path, "read"):
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(len(_ZIP_START))
    tensors = (
        _read_safe(path) if path.suffix == ".safetensors" else _read_pickle(path, zipped=start == _ZIP_START)
    )
    checked = {str(name): _checked(path, name, value, size_bytes) for name, value in tensors.items()}
    if not checked:
        raise CorruptWeightsError(f"{path} holds no tensors")
    return _without_prefix(checked)


def _read_safe(path: Path) -> Mapping[str, object]:
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
        return tensors
    except (SafetensorError, ValueError, KeyError) as error:
        raise CorruptWeightsError(
            f"{path} is not a readable safetensors file: {error}", hint=_DAMAGED
        ) from error


_DAMAGED = "if it was fetched or copied, remove it and fetch it again"
_SAVE_TENSORS = "save the tensors alone: torch.save(model.state_dict(), path), or as safetensors"


def _read_pickle(path: Path, *, zipped: bool) -> Mapping[str, object]:
    if zipped:
        _check_archive(path)
    try:
        with warnings.catch_warnings():  # torch warns of pickle protocols and programs that it then refuses
            warnings.simplefilter("ignore")
            content = torch.load(path, weights_only=True, map_location="cpu", mmap=zipped)
    except Exception as error:  # whatever a stranger's bytes can bring an unpickler to
        raise _unreadable(path, error) from error
    for _ in range(_MAX_WRAPPERS):
        inner = [content[key] for key in _WRAPPERS if isinstance(content, Mapping) and key in content]
        if not inner or not isinstance(inner[0], Mapping):
            break
        content = inner[0]
    if not isinstance(content, Mapping):
        raise CorruptWeightsError(
            f"{path} holds a {type(content).__name__}; expected tensors by name", hint=_SAVE_TENSORS
        )
    return content


def _unreadable(path: Path, error: Exception) -> CorruptWeightsError:
    program = re.search(r"GLOBAL ([\w.]+)", str(error))
    if program is not None:
        return CorruptWeightsError(f"{path} holds more than tensors: {program.group(1)}", hint=_SAVE_TENSORS)
    if isinstance(error, (pickle.UnpicklingError, EOFError)):  # their texts speak of torch's own workings
        return CorruptWeightsError(f"{path} is damaged, or is not a weights file", hint=_DAMAGED)
    return CorruptWeightsError(f"{path} is not a readable weights file: {error}", hint=_DAMAGED)


def _check_archive(path: Path) -> None:
    """Refuse programs, and zips with compressed parts: torch writes none, and they may swell unboundedly."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise CorruptWeightsError(f"{path} holds a TorchScript program", hint=_SAVE_TENSORS)
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise CorruptWeightsError(f"{path} is a compressed archive; torch.save writes none")
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise CorruptWeightsError(f"{path} is damaged: {error}", hint=_DAMAGED) from error


def _checked(path: Path, name: object, value: object, size_bytes: int) -> torch.Tensor:
    if not isinstance(name, str) or not isinstance(value, torch.Tensor):
        raise CorruptWeightsError(
            f"{path} holds more than tensors: {name!r} is a {type(value).__name__}", hint=_SAVE_TENSORS
        )
    # A stride of 0 lets a file of a few bytes stand for a tensor that fills the memory once it is copied.
    if value.layout != torch.strided or value.numel() * value.element_size() > size_bytes:
        raise CorruptWeightsError(f"{path}: the tensor {name!r} is larger than the file, or is not dense")
    return value.detach()


def _without_prefix(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            return _without_prefix({name.removeprefix(prefix): value for name, value in tensors.items()})
    return tensors
