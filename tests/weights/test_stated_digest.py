"""A whole sha256 that the user states: what is taken for it, and what is taken for the row from then on."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from scripted_server import Server, entry_of

from headstart.catalog import list_models, weights_state
from headstart.catalog import places as places_module
from headstart.catalog.entry import Preprocessing, WeightsEntry, WeightsSource
from headstart.catalog.places import needs_digest
from headstart.core.errors import CorruptWeightsError, HeadstartError, InputError
from headstart.weights import fetch

OTHER = b"another file"


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def digest(content: bytes) -> str:
    return digest_of(content)


@pytest.fixture
def entry(server: Server, content: bytes) -> WeightsEntry:
    server.files["/net.safetensors"] = content
    return entry_of(f"{server.address}/net.safetensors")


def test_file_counts_as_verified_from_then_on(entry: WeightsEntry, digest: str) -> None:
    first = fetch(entry, sha256=digest)
    assert (first.state, first.is_verified) == ("cached", True)
    assert fetch(entry) == first
    assert weights_state(entry) == "cached"


def test_file_that_is_here_already_is_not_fetched_again(
    server: Server, entry: WeightsEntry, digest: str
) -> None:
    assert fetch(entry).state == "unverified"
    assert fetch(entry, sha256=digest.upper()).state == weights_state(entry) == "cached"
    assert len(server.requests) == 1


def test_no_other_file_is_taken_later(server: Server, entry: WeightsEntry, digest: str) -> None:
    fetch(entry, sha256=digest).path.unlink()
    server.files["/net.safetensors"] = OTHER
    with pytest.raises(CorruptWeightsError, match=f"expected {digest}"):
        fetch(entry)


def test_no_other_source_serves_another_file_later(
    server: Server, entry: WeightsEntry, digest: str, content: bytes
) -> None:
    server.files["/other.safetensors"] = OTHER
    both = entry_of(entry.sources[0].location, f"{server.address}/other.safetensors")
    fetch(both, sha256=digest).path.unlink()
    del server.files["/net.safetensors"]
    with pytest.raises(CorruptWeightsError, match=f"expected {digest}"):
        fetch(both)
    server.files["/other.safetensors"] = content
    assert fetch(both).sha256 == digest


def test_source_without_tls_is_used_again_after_the_file_was_lost(entry: WeightsEntry, digest: str) -> None:
    fetch(entry, sha256=digest).path.unlink()
    source = replace(entry.sources[0], location="http://weights.test/net.safetensors")
    elsewhere = replace(entry, sources=(source,))
    assert weights_state(elsewhere) == "no source"
    path = places_module.fetched_path(source)
    path.parent.mkdir(parents=True)
    pin = places_module.fetched_path(entry.sources[0]).with_name("net.safetensors.json")
    path.with_name("net.safetensors.json").write_bytes(pin.read_bytes())
    assert weights_state(elsewhere) == "missing"


@pytest.mark.parametrize("offline", ["", "1"])
def test_wrong_one_leaves_what_is_here_as_it_is(
    entry: WeightsEntry, content: bytes, offline: str, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    file = fetch(entry)
    monkeypatch.setenv("HEADSTART_OFFLINE", offline)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    with pytest.raises(CorruptWeightsError, match=f"expected {digest_of(OTHER)}"):
        fetch(entry, sha256=digest_of(OTHER))
    after = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert after == before
    assert fetch(entry) == file


def test_right_one_replaces_a_file_that_was_merely_the_first(
    server: Server, entry: WeightsEntry, digest: str
) -> None:
    server.files["/net.safetensors"], right = OTHER, server.files["/net.safetensors"]
    assert fetch(entry).sha256 == digest_of(OTHER)
    server.files["/net.safetensors"] = right
    assert fetch(entry, sha256=digest).path.read_bytes() == right
    assert fetch(entry).sha256 == digest


@pytest.mark.parametrize("text", ["abc", "g" * 64, "0" * 63, "0" * 65, "0" * 32 + " " + "0" * 31])
def test_what_is_no_sha256_is_an_error(server: Server, entry: WeightsEntry, text: str) -> None:
    with pytest.raises(InputError, match="is not a sha256"):
        fetch(entry, sha256=text)
    assert server.requests == []


@pytest.mark.parametrize("digits", [8, 64])
def test_catalogue_that_knows_better_is_named(
    server: Server, entry: WeightsEntry, digest: str, digits: int
) -> None:
    known = replace(entry, sources=(replace(entry.sources[0], sha256=digest[:digits]),))
    with pytest.raises(InputError, match=f"the catalogue knows {digest[:digits]}"):
        fetch(known, sha256=digest_of(OTHER))
    assert server.requests == []


def test_catalogue_that_learns_the_whole_digest_outweighs_what_the_user_said(
    server: Server, entry: WeightsEntry, digest: str, content: bytes
) -> None:
    server.files["/net.safetensors"] = OTHER
    fetch(entry, sha256=digest_of(OTHER))
    server.files["/net.safetensors"] = content
    known = replace(entry, sources=(replace(entry.sources[0], sha256=digest),))
    assert fetch(known).path.read_bytes() == content


def test_rough_size_of_the_catalogue_is_not_taken_for_exact(entry: WeightsEntry, digest: str) -> None:
    rough = replace(entry, sources=(replace(entry.sources[0], size_bytes=1_000_000),))
    assert fetch(rough, sha256=digest).is_verified


def test_own_file_is_compared_and_never_touched(tmp_path: Path) -> None:
    path = tmp_path / "my.pth"
    path.write_bytes(OTHER)
    source = WeightsSource(kind="file", location=str(path))
    entry = WeightsEntry(tag="my", sources=(source,), preprocessing=Preprocessing())
    assert fetch(entry, sha256=digest_of(OTHER)).is_verified
    with pytest.raises(CorruptWeightsError):
        fetch(entry, sha256=digest_of(b""))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["my.pth"]


@pytest.mark.parametrize(
    "pin", ["", "[]", "3", '"text"', "{}", '{"sha256": 3, "size_bytes": 1, "mtime_ns": 1}']
)
def test_pin_that_somebody_spoilt_is_no_pin(entry: WeightsEntry, pin: str) -> None:
    path = fetch(entry).path
    path.with_name(path.name + ".json").write_text(pin)
    assert weights_state(entry) == "unverified"
    assert fetch(entry).path == path


def test_states_of_the_whole_catalogue_open_hardly_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """`headstart models` asks for every row's state."""
    read: list[Path] = []
    monkeypatch.setattr(places_module, "read_pin", lambda path: read.append(path))
    entries = list_models()
    states = [weights_state(entry) for entry in entries]
    assert len(states) > 1900
    assert len(read) <= sum(all(map(needs_digest, entry.weights.sources)) for entry in entries)


def test_errors_of_all_kinds_are_headstarts_own(entry: WeightsEntry) -> None:
    with pytest.raises(HeadstartError):
        fetch(entry, sha256="no digest")
