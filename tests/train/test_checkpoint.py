"""A training on disk: whole or not there, whatever happened while it was written."""

import errno
import os
import resource
from pathlib import Path

import pytest
import torch

from headstart.core.errors import RunMismatchError, StorageError
from headstart.train.checkpoint import CHECKPOINT_FILE, load_checkpoint, remove_checkpoint, save_checkpoint

RECORD = {"settings": "mine", "step": 3, "state": {"best_score": -float("inf"), "loss_sum": 0.1 + 0.2}}


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 32, generator=generator)
    return {
        "network.weight": weight,
        "average.same memory": weight,
        "strided": weight.T,
        "counter": torch.tensor(7),
        "half": weight.bfloat16(),
    }


def test_what_was_saved_is_loaded_bit_for_bit(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_checkpoint(tmp_path / "new folder", tensors, RECORD)
    kept = load_checkpoint(tmp_path / "new folder", "mine")
    assert kept is not None
    found, record = kept
    assert found.keys() == tensors.keys()
    for name, each in tensors.items():
        assert found[name].dtype == each.dtype
        assert torch.equal(found[name], each)
    assert {name: record[name] for name in RECORD} == RECORD
    assert os.listdir(tmp_path / "new folder") == [CHECKPOINT_FILE]


def test_there_may_be_none(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    assert load_checkpoint(tmp_path / "nowhere", "mine") is None
    remove_checkpoint(tmp_path / "nowhere")
    save_checkpoint(tmp_path, tensors, RECORD)
    remove_checkpoint(tmp_path)
    assert load_checkpoint(tmp_path, "mine") is None


def test_one_of_another_training_is_refused(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_checkpoint(tmp_path, tensors, RECORD)
    with pytest.raises(RunMismatchError, match="other settings") as caught:
        load_checkpoint(tmp_path, "yours")
    assert "--out" in caught.value.hint


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5, 0.999])
def test_a_truncated_one_is_passed_over(
    share: float, tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    save_checkpoint(tmp_path, tensors, RECORD)
    path = tmp_path / CHECKPOINT_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert load_checkpoint(tmp_path, "mine") is None


@pytest.mark.parametrize("place", [0, 7, 9, 40, 0.3, 0.6, 0.9, -1])
def test_a_corrupted_one_is_passed_over(
    place: float, tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    save_checkpoint(tmp_path, tensors, RECORD)
    path = tmp_path / CHECKPOINT_FILE
    damaged = bytearray(path.read_bytes())
    damaged[int(place * len(damaged)) if isinstance(place, float) else place] ^= 0x24
    path.write_bytes(damaged)
    assert load_checkpoint(tmp_path, "mine") is None


def test_a_half_written_one_beside_it_is_passed_over_and_cleared_away(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    """A killed process leaves its temporary file; twenty of them would fill a disk."""
    save_checkpoint(tmp_path, tensors, RECORD)
    whole = (tmp_path / CHECKPOINT_FILE).read_bytes()
    (tmp_path / f".{CHECKPOINT_FILE}.4242.abcdef01.part").write_bytes(whole[:1000])
    kept = load_checkpoint(tmp_path, "mine")
    assert kept is not None
    assert torch.equal(kept[0]["strided"], tensors["strided"])
    assert os.listdir(tmp_path) == [CHECKPOINT_FILE]


def test_a_full_disk_is_told_and_the_one_before_is_whole(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    save_checkpoint(tmp_path, tensors, RECORD)
    later = {name: each + 1 for name, each in tensors.items()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        with pytest.raises(StorageError, match="cannot write"):
            save_checkpoint(tmp_path, later, {**RECORD, "step": 4})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    kept = load_checkpoint(tmp_path, "mine")
    assert kept is not None
    assert kept[1]["step"] == 3
    assert torch.equal(kept[0]["network.weight"], tensors["network.weight"])
    assert os.listdir(tmp_path) == [CHECKPOINT_FILE]


def test_a_full_disk_says_what_to_do(
    tmp_path: Path, tensors: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        save_checkpoint(tmp_path, tensors, RECORD)
    assert "free some space" in caught.value.hint


def test_another_format_is_told(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_checkpoint(tmp_path, tensors, {**RECORD, "format": 99})
    with pytest.raises(StorageError):
        load_checkpoint(tmp_path, "mine")
