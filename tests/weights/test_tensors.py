"""Reading the tensors of good files, and refusing damaged ones."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from headstart.core.errors import CorruptWeightsError, StorageError
from headstart.weights import read_tensors

TENSORS = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.ones(2, dtype=torch.float16)}


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor] = TENSORS) -> bool:
    return set(found) == set(expected) and all(
        torch.equal(found[name], value) and found[name].dtype == value.dtype
        for name, value in expected.items()
    )


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "a.safetensors")
    assert same(read_tensors(tmp_path / "a.safetensors"))


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.bin"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_of_tensors_are_read(tmp_path: Path, name: str, zipped: bool) -> None:
    torch.save(TENSORS, tmp_path / name, _use_new_zipfile_serialization=zipped)
    assert same(read_tensors(tmp_path / name))


@pytest.mark.parametrize(
    "wrapped",
    [
        {"state_dict": TENSORS, "epoch": 3},
        {"model": TENSORS},
        {"model": {"state_dict": TENSORS}},
        {"model_state_dict": {"module." + name: value for name, value in TENSORS.items()}},
        {"_orig_mod.module." + name: value for name, value in TENSORS.items()},
        {name: torch.nn.Parameter(value) for name, value in TENSORS.items()},
    ],
)
def test_usual_wrappings_are_taken_off(tmp_path: Path, wrapped: object) -> None:
    torch.save(wrapped, tmp_path / "a.pth")
    found = read_tensors(tmp_path / "a.pth")
    assert same(found)
    assert not any(value.requires_grad for value in found.values())


def test_prefix_of_some_names_stays(tmp_path: Path) -> None:
    tensors = {"module.a": torch.ones(1), "b": torch.ones(1)}
    torch.save(tensors, tmp_path / "a.pth")
    assert same(read_tensors(tmp_path / "a.pth"), tensors)


@pytest.mark.parametrize("kept", [0, 1, 30, 400, -1])
@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_truncated_file_is_corrupt(tmp_path: Path, kind: str, kept: int) -> None:
    path = tmp_path / ("a.safetensors" if kind == "safetensors" else "a.pth")
    tensors = {"weight": torch.zeros(1000)}
    if kind == "safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "zip")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptWeightsError) as caught:
        read_tensors(path)
    assert "weights_only" not in str(caught.value)  # torch's advice to switch the protection off


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"\x00" * 100, b"PK\x03\x04 no archive"])
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_other_content_is_corrupt(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorruptWeightsError):
        read_tensors(tmp_path / name)


@pytest.mark.parametrize(
    "content", [[torch.ones(1)], torch.ones(1), {}, {"a": 1}, {"a": {"b": torch.ones(1)}}, {3: torch.ones(1)}]
)
def test_more_or_less_than_named_tensors_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CorruptWeightsError):
        read_tensors(tmp_path / "a.pth")


def test_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"a\.pth"):
        read_tensors(tmp_path / "a.pth")
