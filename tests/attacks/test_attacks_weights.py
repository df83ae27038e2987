"""Weights files that were made to do harm."""

import os
import pickle
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from headstart.core.errors import CorruptWeightsError
from headstart.weights import read_tensors


class Program:
    """Unpickled by Python's own pickle, this makes a folder."""

    def __init__(self, function: Callable[..., object], folder: Path) -> None:
        self.function, self.folder = function, folder

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return self.function, (str(self.folder),)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"state_dict": {"w": torch.ones(1)}, "epoch": x}])
def test_program_in_a_pickle_does_not_run(
    tmp_path: Path, zipped: bool, wrap: Callable[[object], object]
) -> None:
    torch.save(
        wrap(Program(os.mkdir, tmp_path / "ran")), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped
    )
    with pytest.raises(CorruptWeightsError, match="more than tensors"):
        read_tensors(tmp_path / "a.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_program_in_a_plain_pickle_does_not_run(tmp_path: Path, protocol: int) -> None:
    with (tmp_path / "a.pth").open("wb") as file:
        pickle.dump(Program(os.mkdir, tmp_path / "ran"), file, protocol=protocol)
    with pytest.raises(CorruptWeightsError):
        read_tensors(tmp_path / "a.pth")
    assert not (tmp_path / "ran").exists()


def test_the_program_would_have_run(tmp_path: Path) -> None:
    """The attack above is a real one: the unrestricted unpickler does run it."""
    pickle.loads(pickle.dumps(Program(os.mkdir, tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


def test_whole_model_and_torchscript_are_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pth")
    with pytest.raises(CorruptWeightsError, match=r"Linear") as caught:
        read_tensors(tmp_path / "a.pth")
    assert "state_dict" in caught.value.hint
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "b.pth")
    with pytest.raises(CorruptWeightsError, match="TorchScript"):
        read_tensors(tmp_path / "b.pth")


def test_tensor_larger_than_its_file_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1).expand(10**12)}, tmp_path / "a.pth")
    with pytest.raises(CorruptWeightsError, match="larger than the file"):
        read_tensors(tmp_path / "a.pth")


def test_sparse_tensor_that_swells_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save({"w": torch.sparse_coo_tensor(size=(10**6, 10**6))}, tmp_path / "a.pth")
    with pytest.raises(CorruptWeightsError):
        read_tensors(tmp_path / "a.pth")


def test_compressed_archive_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1_000_000)}, tmp_path / "good.pth")
    with (
        zipfile.ZipFile(tmp_path / "good.pth") as good,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", compression=zipfile.ZIP_DEFLATED) as bomb,
    ):
        for part in good.infolist():
            bomb.writestr(part.filename, good.read(part))
    assert (tmp_path / "bomb.pth").stat().st_size < 100_000
    with pytest.raises(CorruptWeightsError, match="compressed"):
        read_tensors(tmp_path / "bomb.pth")


def test_safetensors_header_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(4)}, tmp_path / "good.safetensors")
    content = (tmp_path / "good.safetensors").read_bytes()
    for number, bad in enumerate(
        [sys.maxsize.to_bytes(8, "little") + content[8:], content.replace(b"[4]", b"[9]")]
    ):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(bad)
        with pytest.raises(CorruptWeightsError):
            read_tensors(path)


def test_pickle_named_safetensors_does_not_run(tmp_path: Path) -> None:
    torch.save(Program(os.mkdir, tmp_path / "ran"), tmp_path / "a.safetensors")
    with pytest.raises(CorruptWeightsError):
        read_tensors(tmp_path / "a.safetensors")
    assert not (tmp_path / "ran").exists()
