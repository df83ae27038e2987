"""A race whose weights are not here yet: they come from a real server on the loopback address."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from scripted_server import Answer, Server, running_server

import headstart as hs
from headstart.catalog import find_model
from headstart.catalog.places import fetched_path
from headstart.compare import CompareOptions
from headstart.data import Splits

HUGE_BYTES = 900_000_000  # stated by its row; nobody has such a file
CUT = 300_000  # bytes that come of the file whose download dies


@dataclass
class Listener:
    """A `Progress` that keeps the notes, each with how often the server had been asked before it."""

    server: Server
    notes: list[tuple[int, str]] = field(default_factory=list)

    def start(self, what: str, *, total: int | None = None, unit: str = "") -> None:
        pass

    def advance(self, count: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append((len(self.server.requests), text))


@pytest.fixture
def server(tiny_models: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with the weights of the user's own rows: mine/one, other, dying, huge and unsized."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr("headstart.weights.download.RETRY_DELAYS_SECONDS", (0.01, 0.01))
    files = [Path(name.partition("@")[2]) for name in tiny_models]
    with running_server() as server:
        rows = []
        for name, file in zip(("one", "other", "dying", "huge", "unsized"), (files * 3)[:5], strict=True):
            path, content = f"/{name}.safetensors", file.read_bytes()
            server.files[path] = content
            size = {"huge": HUGE_BYTES, "unsized": 0}.get(name, len(content))
            rows.append(
                {
                    "name": f"mine/{name}",
                    "architecture": f"timm/{file.stem}",
                    "sources": [["url", server.address + path]],
                    "size_bytes": size,
                    "num_classes": 7,
                }
            )
        server.script["/dying.safetensors"] = [Answer(send=CUT), Answer(send=0)]
        catalog = tmp_path / "catalog.json"
        catalog.write_text(json.dumps(rows))
        monkeypatch.setenv("HEADSTART_CATALOG", str(catalog))
        yield server


def is_here(name: str) -> bool:
    return fetched_path(find_model(name).weights.sources[0]).is_file()


@pytest.mark.parametrize("budget", ["2000images", "30m"])
def test_a_race_fetches_its_weights(
    budget: str, server: Server, holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    listener = Listener(server)
    found = hs.compare(
        ["mine/*"],
        holdout,
        budget=budget,
        out=tmp_path / "run",
        options=replace(options, max_download_bytes=50_000_000, keep_weights=False),
        progress=listener,
    )
    rows = {row.name: row for row in found.rows}
    assert rows.keys() == {"mine/one", "mine/other", "mine/dying", "mine/huge", "mine/unsized"}

    # Sizes are told before anything is fetched.
    asked, told = next(each for each in listener.notes if "to fetch" in each[1])
    assert (asked, told) == (0, "weights to fetch: 5 files, 0.9 GB in all")

    # What is larger than allowed is left out by name, and never asked for.
    huge = rows["mine/huge"].screening
    assert huge is not None
    assert huge.exit == "set aside"
    assert huge.reason == "its 900 MB would be more than the 0.05 GB that may be fetched"
    assert f"mine/huge: left out: {huge.reason}" in found.decisions
    unsized = rows["mine/unsized"].screening
    assert unsized is not None
    assert "state size_bytes in its row" in unsized.reason

    # A download that dies, and is dead at every new try, is a row with its error.
    assert "dying.safetensors" in rows["mine/dying"].error
    assert f"the connection ended after {CUT:,} of" in rows["mine/dying"].error
    assert rows["mine/dying"].hint
    asked_for = [path for path, _ in server.requests]
    assert {path: asked_for.count(path) for path in asked_for} == {
        "/one.safetensors": 1,
        "/other.safetensors": 1,
        "/dying.safetensors": 3,
    }
    assert ("/dying.safetensors", f"bytes={CUT}-") in server.requests  # it goes on where it broke off

    # The others go on; of what was fetched only the chosen one's weights stay.
    (loser,) = {"mine/one", "mine/other"} - {found.chosen}
    assert rows[found.chosen].validation is not None
    assert rows[loser].validation is not None or rows[loser].screening is not None
    assert found.final is not None
    assert is_here(found.chosen)
    assert not is_here(loser)
    assert any("weights that were fetched and not chosen" in note for _, note in listener.notes)
    assert found.load_best().class_names == ("cross", "disc", "square")
