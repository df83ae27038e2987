"""Whether a host answers, asked of real servers on this machine, of a mirror folder, and of nobody."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart.catalog.entry import ModelEntry, Preprocessing, WeightsEntry, WeightsSource
from headstart.weights import is_reachable


@pytest.fixture
def address() -> Iterator[str]:
    """A server that has no file at all."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def entry_at(location: str) -> ModelEntry:
    source = WeightsSource(kind="url", location=location)
    weights = WeightsEntry(tag="own", sources=(source,), preprocessing=Preprocessing())
    return ModelEntry(name="timm/own", provider="timm", architecture="own", family="own", weights=weights)


def test_an_error_is_an_answer(address: str) -> None:
    assert is_reachable(entry_at(f"{address}/own.pth"))


def test_nobody_is_not(address: str) -> None:
    assert not is_reachable(entry_at("http://127.0.0.1:9/own.pth"))


def test_offline_nobody_is_asked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    assert not is_reachable(entry_at(f"{address}/own.pth"))


def test_a_mirror_folder_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_MIRROR", str(tmp_path))
    entry = entry_at("http://127.0.0.1:9/own.pth")
    assert not is_reachable(entry)
    (tmp_path / "own.pth").write_bytes(b"")
    assert is_reachable(entry)
