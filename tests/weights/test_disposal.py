"""Fetched weights are taken off the disk with all that was made of them; other files stay."""

from pathlib import Path

import pytest
import torch

from headstart.catalog.entry import ModelEntry, Preprocessing, WeightsEntry, WeightsSource
from headstart.catalog.places import fetched_path, is_available
from headstart.core.digest import digest_file
from headstart.core.paths import home
from headstart.weights import discard_fetched, fetch, fetched_tensors


def entry_of(source: WeightsSource) -> ModelEntry:
    weights = WeightsEntry(tag="own", sources=(source,), preprocessing=Preprocessing())
    return ModelEntry(name="timm/own", provider="timm", architecture="own", family="own", weights=weights)


def test_a_fetched_pickle_goes_with_its_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    torch.save({"weight": torch.ones(1000)}, mirror / "own.pth")
    monkeypatch.setenv("HEADSTART_MIRROR", str(mirror))
    digest = digest_file(mirror / "own.pth")
    entry = entry_of(WeightsSource(kind="url", location="https://example.invalid/own.pth", sha256=digest))
    fetched_tensors(fetch(entry))
    assert is_available(entry)
    before = sum(path.stat().st_size for path in home().rglob("*") if path.is_file())
    freed = discard_fetched(entry)
    left = [path for path in home().rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert not is_available(entry)
    assert left == []
    assert freed == before > 8000
    assert (mirror / "own.pth").is_file()
    assert discard_fetched(entry) == 0


def test_a_file_of_the_users_own_stays(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(b"theirs")
    entry = entry_of(WeightsSource(kind="file", location=str(path)))
    assert discard_fetched(entry) == 0
    assert path.read_bytes() == b"theirs"
    assert fetched_path(entry.weights.sources[0]) == path
