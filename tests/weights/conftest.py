"""Fixtures of the weights room: a scripted server, an empty cache, a file to fetch."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from scripted_server import Server, running_server


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test an empty cache, quick retries and no proxy; return the cache folder."""
    home = tmp_path / "home"
    monkeypatch.setenv("HEADSTART_HOME", str(home))
    monkeypatch.setenv("no_proxy", "*")
    for name in ("HEADSTART_MIRROR", "HEADSTART_OFFLINE", "HEADSTART_CATALOG", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("headstart.weights.download.RETRY_DELAYS_SECONDS", (0.01, 0.01, 0.01))
    return home


@pytest.fixture
def content() -> bytes:
    """A real safetensors file of about a megabyte."""
    return save({"weight": torch.arange(262_144, dtype=torch.float32)})
