"""Uploading a model folder to a hub on the loopback address, and everything that can stand in the way."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_server import TOKEN, Hub, Repository, running_hub

import headstart as hs
from headstart.core.errors import CorruptWeightsError, HubError, InputError, StorageError
from headstart.models import load_folder, push, save_folder
from headstart.models.neighbours import Neighbours, save_neighbours
from headstart.models.pushing import PUSHED_FILES
from headstart.train.familiarity import fit_familiarity

# The client's own way of handing over a file, in the library below it.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
FREE_PORT = "http://127.0.0.1:9"  # nothing answers there


class Listener:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.works: list[str] = []
        self.notes: list[str] = []
        self.total: int | None = None
        self.done = 0

    def start(self, what: str, *, total: int | None = None, unit: str = "") -> None:
        self.works.append(what)
        self.total, self.done = total, 0

    def advance(self, count: int = 1) -> None:
        self.done += count

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, tiny_models: tuple[str, str]) -> Path:
    """A model folder, with a file beside that shows pictures."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_folder(hs.load(tiny_models[1]), folder)
    (folder / "neighbours.safetensors").write_bytes(b"somebody's pictures")
    (folder / "familiarity.safetensors").write_bytes(b"of another model")
    return folder


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as hub:
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        # What HF_ENDPOINT sets: the client reads the variable when it is imported.
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
        yield hub


def test_a_folder_is_uploaded_whole_in_one_private_commit(hub: Hub, saved: Path, tmp_path: Path) -> None:
    listener = Listener()
    address = push(saved, "ann/flowers", progress=listener)
    assert address == f"{hub.address}/ann/flowers"
    repository = hub.repositories["ann/flowers"]
    assert repository.private
    assert repository.num_commits == 1
    assert set(repository.files) == {"model.safetensors", "headstart.json", "README.md"}
    for name, content in repository.files.items():
        assert content == (saved / name).read_bytes()
        (tmp_path / name).write_bytes(content)
    # What was taken from the hub is a model folder again.
    assert load_folder(tmp_path).class_names == load_folder(saved).class_names
    assert listener.works[-1] == "uploading to ann/flowers"
    assert listener.total == listener.done == (saved / "model.safetensors").stat().st_size


def test_a_runs_folder_means_the_model_in_it(hub: Hub, saved: Path) -> None:
    push(saved.parent, "ann/flowers")
    expected = set(PUSHED_FILES) - {"familiarity.safetensors"}  # this model knows nothing of its pictures
    assert set(hub.repositories["ann/flowers"].files) == expected


def test_what_is_known_of_training_pictures_goes_along(hub: Hub, saved: Path, tmp_path: Path) -> None:
    classifier = load_folder(saved)
    features = np.random.default_rng(0).random((50, classifier.feature_dim), np.float32)
    classifier.familiarity = fit_familiarity(features, np.arange(50), seed=0)
    save_folder(classifier, tmp_path / "knowing")
    push(tmp_path / "knowing", "ann/flowers")
    assert set(hub.repositories["ann/flowers"].files) == set(PUSHED_FILES)


def test_training_pictures_stay_and_the_card_does_not_speak_of_them(hub: Hub, model: Path) -> None:
    card = (model / "README.md").read_text()
    names = {"mean": 4, "axes": 4, "points": 1, "labels": 1, "thumbnails": 9, "ends": 1}
    arrays = {name: np.zeros(size, np.int64) for name, size in names.items()}
    save_neighbours(Neighbours(**arrays), model)
    assert "Training pictures in this folder" in (model / "README.md").read_text()
    push(model, "ann/flowers")
    sent = hub.repositories["ann/flowers"].files
    assert "neighbours.safetensors" not in sent
    assert sent["README.md"].decode() == card


def test_a_large_file_goes_in_parts(hub: Hub, saved: Path) -> None:
    hub.chunk_size = 300_000
    push(saved, "ann/flowers")
    sent = hub.repositories["ann/flowers"].files["model.safetensors"]
    assert sent == (saved / "model.safetensors").read_bytes()
    assert sum("PUT /storage/" in each for each in hub.requests) == -(-len(sent) // 300_000)


def test_again_sends_no_tensors_that_are_there(hub: Hub, saved: Path) -> None:
    push(saved, "flowers")
    first = len([each for each in hub.requests if each.startswith("PUT")])
    push(saved, "ann/flowers")
    assert len([each for each in hub.requests if each.startswith("PUT")]) == first == 1
    assert hub.repositories["ann/flowers"].private


def test_public_only_when_told(hub: Hub, saved: Path) -> None:
    told = Listener()
    push(saved, "ann/open", public=True, progress=told)
    assert "licence of the pretrained weights is unknown" in told.notes[0]
    assert not hub.repositories["ann/open"].private
    with pytest.raises(InputError, match="is there already and is public; nothing was sent"):
        push(saved, "ann/open")
    assert hub.repositories["ann/open"].num_commits == 1
    hub.repositories["ann/shy"] = Repository(private=True)
    listener = Listener()
    push(saved, "ann/shy", public=True, progress=listener)
    assert hub.repositories["ann/shy"].private
    assert "was private before, and stays so" in listener.notes[-1]


def damage(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))


def drop_key(path: Path) -> None:
    record = json.loads(path.read_text())
    del record["class_names"]
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (lambda model: damage(model / "model.safetensors"), CorruptWeightsError, "sha256 differs"),
        (lambda model: (model / "model.safetensors").unlink(), CorruptWeightsError, "has no model"),
        (lambda model: (model / "README.md").unlink(), CorruptWeightsError, "has no README"),
        (lambda model: (model / "headstart.json").unlink(), InputError, "is no saved model"),
        (lambda model: drop_key(model / "headstart.json"), StorageError, "lacks class_names"),
        (lambda model: (model / "README.md").write_text("# Mine\n"), InputError, "about the licence"),
        (lambda model: (model / "README.md").write_text("---\na: [\n---\n"), InputError, "could not read"),
        (shutil.rmtree, InputError, "is no saved model"),
    ],
)
def test_what_is_not_whole_is_not_sent(
    spoil: Callable[[Path], object], kind: type[Exception], message: str, hub: Hub, model: Path
) -> None:
    spoil(model)
    with pytest.raises(kind, match=message):
        push(model, "ann/flowers")
    assert hub.requests == []


@pytest.mark.parametrize(
    ("path", "status", "hint"),
    [
        ("/api/repos/create", 500, "try again later"),
        ("/api/repos/create", 404, "check the name"),
        ("/commit/", 403, "may not write there"),
        ("/commit/", 409, "at the same time"),
        ("/commit/", 503, "try again later"),
        ("/preupload/", 403, "may not write there"),
        ("/preupload/", 404, "check the name"),
        ("/objects/batch", 413, "of this size"),
        ("/storage/", 403, "may not write there"),
    ],
)
def test_a_refusal_is_told_with_what_to_do(path: str, status: int, hint: str, hub: Hub, saved: Path) -> None:
    hub.fails[path] = (status, "the reason of the hub")
    with pytest.raises(
        HubError, match=f"the hub answered {status} for ann/flowers: .*reason of the hub"
    ) as e:
        push(saved, "ann/flowers")
    assert hint in e.value.hint
    assert all(each.num_commits == 0 for each in hub.repositories.values())


def test_rights_and_names(hub: Hub, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HubError, match="answered 403 for bob/flowers"):
        push(saved, "bob/flowers")
    for name in ("a/b/c", "ann/-flowers-", "ann/flow ers"):
        with pytest.raises(InputError, match="cannot be a repository's name"):
            push(saved, name)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match="answered 401") as error:
        push(saved, "ann/flowers")
    assert "hf auth login" in error.value.hint


def test_metadata_that_the_hub_refuses(hub: Hub, model: Path) -> None:
    card = (model / "README.md").read_text()
    (model / "README.md").write_text(card.replace("license: unknown", "license: [mit]"))
    with pytest.raises(HubError, match=r'"license" must be a string'):
        push(model, "ann/flowers")
    assert hub.repositories["ann/flowers"].num_commits == 0


def test_a_hub_that_does_not_answer(hub: Hub, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", FREE_PORT)
    with pytest.raises(HubError, match=f"{FREE_PORT} did not answer") as error:
        push(saved, "ann/flowers")
    assert "HF_ENDPOINT" in error.value.hint


def test_offline_sends_nothing(hub: Hub, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    with pytest.raises(HubError, match="HEADSTART_OFFLINE forbids requests"):
        push(saved, "ann/flowers")
    assert hub.requests == []


def test_without_a_token_it_says_where_to_get_one(
    hub: Hub, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(HubError, match="no token for the hub") as error:
        push(saved, "ann/flowers")
    assert "hf auth login" in error.value.hint
    assert hub.requests == []


@pytest.mark.slow
def test_the_command_takes_hub_and_token_from_where_the_client_does(
    hub: Hub, saved: Path, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN)  # what 'hf auth login' leaves
    ended = subprocess.run(
        [sys.executable, "-m", "headstart", "push", str(saved), "ann/flowers", "--public"],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_ENDPOINT": hub.address, "HF_TOKEN": ""},
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"{hub.address}/ann/flowers\n"
    assert "uploading to ann/flowers" in ended.stderr
    assert "WARNING" not in ended.stderr.upper()
    assert not hub.repositories["ann/flowers"].private
