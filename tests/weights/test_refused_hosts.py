"""Hosts that do not prove who they are: used where the whole sha256 is known, refused everywhere else.

``weights.test`` stands for a host on the network: its name leads to a server on the loopback address.
"""

import hashlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_server import Answer, Server, entry_of, running_server

from headstart.catalog import weights_state
from headstart.catalog.addresses import is_plain_http
from headstart.catalog.entry import ModelEntry, Preprocessing, WeightsEntry, WeightsSource
from headstart.catalog.places import is_available
from headstart.core.errors import CorruptWeightsError, RefusedSourceError, UnreachableError, WeightsError
from headstart.core.progress import Silent
from headstart.weights import fetch


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``weights.test`` be found at the loopback address, and no other name anywhere."""
    original = socket.getaddrinfo

    def look_up(host: str, *args: Any, **options: Any) -> Any:
        if host not in ("127.0.0.1", "localhost", "weights.test"):
            raise socket.gaierror(-2, "name or service not known")
        return original("127.0.0.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.fixture
def secure(tmp_path: Path, content: bytes) -> Iterator[Server]:
    """A server that speaks https with a certificate that nobody vouches for."""
    with running_server() as server:
        server.files["/net.safetensors"] = content
        server.speak_tls(tmp_path)
        yield server


@pytest.fixture
def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def port(server: Server) -> int:
    return int(server.server_address[1])


class TestPlainHttp:
    @pytest.fixture
    def url(self, server: Server, content: bytes) -> str:
        server.files["/net.safetensors"] = content
        return f"http://weights.test:{port(server)}/net.safetensors"

    @pytest.mark.parametrize("digits", [0, 8, 63])
    def test_is_refused_without_a_whole_digest_and_not_even_asked(
        self, server: Server, url: str, digest: str, digits: int, home: Path
    ) -> None:
        with pytest.raises(RefusedSourceError) as caught:
            fetch(entry_of(url, sha256=digest[:digits]))
        assert "plain http" in str(caught.value)
        assert "headstart fetch MODEL --sha256 HEX" in caught.value.hint
        assert server.requests == []
        assert not list(home.rglob("net.safetensors"))

    def test_serves_a_file_whose_digest_the_catalogue_knows(self, url: str, digest: str) -> None:
        assert fetch(entry_of(url, sha256=digest)).state == "cached"

    def test_serves_a_file_whose_digest_the_user_knows(self, url: str, digest: str) -> None:
        assert fetch(entry_of(url, sha256=digest[:8]), sha256=digest).state == "cached"

    def test_that_changes_the_file_is_found_out(
        self, url: str, digest: str, server: Server, home: Path
    ) -> None:
        server.files["/net.safetensors"] += b"more"
        with pytest.raises(CorruptWeightsError):
            fetch(entry_of(url, sha256=digest))
        assert not list(home.rglob("net.safetensors*part*"))

    def test_leads_on_to_https_with_a_bad_certificate(
        self, server: Server, secure: Server, url: str, digest: str, content: bytes
    ) -> None:
        """As the original host of `pretrainedmodels` does since its certificate expired."""
        server.script["/net.safetensors"] = [
            Answer(redirect=f"https://weights.test:{port(secure)}/net.safetensors")
        ]
        notes: list[str] = []
        file = fetch(entry_of(url, sha256=digest), progress=Noting(notes))
        assert file.path.read_bytes() == content
        assert len(notes) == 1
        assert "weights.test: its certificate is not valid" in notes[0]

    def test_a_part_that_it_sent_is_not_completed_without_the_digest(
        self, server: Server, digest: str, content: bytes
    ) -> None:
        """The unfinished file may hold anything, and nothing but the whole digest would show it."""
        server.files["/net.safetensors"] = content
        bad = Answer(body=b"x" * len(content), send=500_000)
        server.script["/net.safetensors"] = [bad, Answer(status=500)]
        url = f"{server.address}/net.safetensors"
        with pytest.raises(UnreachableError):
            fetch(entry_of(url, sha256=digest))
        server.requests.clear()
        server.script["/net.safetensors"] = [Answer()]
        assert fetch(entry_of(url)).path.read_bytes() == content
        assert server.requests == [("/net.safetensors", "")]

    def test_a_proxy_does_not_stand_before_the_loopback_address(
        self, server: Server, content: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("no_proxy")
        monkeypatch.setenv("http_proxy", "http://weights.test:9")
        server.files["/net.safetensors"] = content
        assert fetch(entry_of(f"{server.address}/net.safetensors")).path.read_bytes() == content

    @pytest.mark.parametrize(
        ("address", "plain"),
        [
            ("http://127.0.0.1/a", False),
            ("http://127.8.9.1:80/a", False),
            ("http://[::1]:80/a", False),
            ("HTTP://LocalHost/a", False),
            ("https://weights.test/a", False),
            ("http://weights.test/a", True),
            ("HTTP://weights.test/a", True),
            ("http://localhost.weights.test/a", True),
            ("http://localhost@weights.test/a", True),
            ("http://192.168.0.1/a", True),
            ("http://[fe80::1]/a", True),
        ],
    )
    def test_the_loopback_address_is_told_from_the_network(self, address: str, plain: bool) -> None:
        assert is_plain_http(address) == plain


class TestBadCertificate:
    @pytest.fixture
    def url(self, secure: Server) -> str:
        return f"https://127.0.0.1:{port(secure)}/net.safetensors"

    def test_that_nobody_vouches_for_is_refused(self, secure: Server, url: str, digest: str) -> None:
        with pytest.raises(RefusedSourceError, match="certificate is not valid") as caught:
            fetch(entry_of(url, sha256=digest[:20]))
        assert "--sha256" in caught.value.hint
        assert secure.requests == []

    def test_that_nobody_vouches_for_serves_a_whole_digest(self, url: str, digest: str) -> None:
        assert fetch(entry_of(url, sha256=digest)).sha256 == digest

    def test_that_has_expired_is_refused(
        self, server: Server, tmp_path: Path, content: bytes, digest: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        address = server.speak_tls(tmp_path, expired=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))  # so that nothing else is wrong with it
        server.files["/net.safetensors"] = content
        with pytest.raises(RefusedSourceError, match="certificate has expired"):
            fetch(entry_of(f"{address}/net.safetensors"))
        assert fetch(entry_of(f"{address}/net.safetensors"), sha256=digest).sha256 == digest

    def test_that_names_another_host_is_refused(
        self, secure: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
        with pytest.raises(RefusedSourceError, match=r"weights\.test: its certificate is not valid"):
            fetch(entry_of(f"https://weights.test:{port(secure)}/net.safetensors"))

    def test_good_one_is_used(
        self, url: str, tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
        assert fetch(entry_of(url)).path.read_bytes() == content

    def test_broken_connection_is_continued(
        self, secure: Server, url: str, digest: str, content: bytes
    ) -> None:
        secure.script["/net.safetensors"] = [Answer(send=500_000), Answer()]
        assert fetch(entry_of(url, sha256=digest)).path.read_bytes() == content
        assert [asked for _, asked in secure.requests] == ["", "bytes=500000-"]


class TestRedirects:
    def test_none_leads_from_https_down_to_http(
        self,
        server: Server,
        secure: Server,
        tmp_path: Path,
        content: bytes,
        digest: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
        server.files["/net.safetensors"] = content
        secure.script["/down"] = [Answer(redirect=f"{server.address}/net.safetensors")]
        url = f"https://127.0.0.1:{port(secure)}/down"
        with pytest.raises(RefusedSourceError, match="redirects to http://, which is followed only where"):
            fetch(entry_of(url, sha256=digest[:8]))
        assert server.requests == []
        assert fetch(entry_of(url, sha256=digest)).sha256 == digest

    def test_none_leads_from_this_machine_out_to_http(self, server: Server) -> None:
        server.script["/out"] = [Answer(redirect=f"http://weights.test:{port(server)}/net.safetensors")]
        with pytest.raises(RefusedSourceError, match="redirects to http://"):
            fetch(entry_of(f"{server.address}/out"))
        assert [path for path, _ in server.requests] == ["/out"]

    @pytest.mark.parametrize("scheme", ["file", "ftp", "data"])
    def test_a_digest_opens_no_other_schemes(self, server: Server, digest: str, scheme: str) -> None:
        server.script["/a"] = [Answer(redirect=f"{scheme}:///etc/passwd")]
        with pytest.raises(WeightsError, match=r"(which|that) is not followed"):
            fetch(entry_of(f"{server.address}/a", sha256=digest))


class TestMirrorAndHub:
    def test_mirror_over_plain_http_is_passed_over(
        self, server: Server, content: bytes, digest: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.files |= {"/mirror/net.safetensors": content, "/net.safetensors": content}
        monkeypatch.setenv("HEADSTART_MIRROR", f"http://weights.test:{port(server)}/mirror")
        url = f"{server.address}/net.safetensors"
        fetch(entry_of(url)).path.unlink()
        assert [path for path, _ in server.requests] == ["/net.safetensors"]
        fetch(entry_of(url, sha256=digest))
        assert server.requests[1][0] == "/mirror/net.safetensors"

    def test_hub_over_plain_http_is_refused(
        self, server: Server, content: bytes, digest: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_ENDPOINT", f"http://weights.test:{port(server)}")
        server.files["/timm/net.in1k/resolve/main/model.safetensors"] = content
        source = WeightsSource(kind="hub", location="timm/net.in1k", filename="model.safetensors")
        entry = WeightsEntry(tag="in1k", sources=(source,), preprocessing=Preprocessing())
        with pytest.raises(RefusedSourceError, match="plain http"):
            fetch(entry)
        assert fetch(replace(entry, sources=(replace(source, sha256=digest),))).sha256 == digest


class TestSeveralSources:
    def test_refused_one_is_not_needed_where_another_serves(
        self, server: Server, content: bytes, digest: str
    ) -> None:
        server.files["/net.safetensors"] = content
        entry = entry_of("http://weights.test/net.safetensors", f"{server.address}/net.safetensors")
        assert fetch(entry).sha256 == digest

    def test_plain_http_comes_last_even_with_a_digest(
        self, server: Server, content: bytes, digest: str
    ) -> None:
        server.files |= {"/old/net.safetensors": content, "/new/net.safetensors": content}
        old = f"http://weights.test:{port(server)}/old/net.safetensors"
        fetch(entry_of(old, f"{server.address}/new/net.safetensors", sha256=digest))
        assert [path for path, _ in server.requests] == ["/new/net.safetensors"]

    def test_every_reason_is_named_once(self, server: Server) -> None:
        entry = entry_of(
            "http://weights.test/net-0123abcd.pth",
            f"{server.address}/net-0123abcd.pth",
            "https://nowhere.test/net-0123abcd.pth",
        )
        with pytest.raises(UnreachableError) as caught:
            fetch(entry)
        assert str(caught.value) == (
            "cannot fetch net-0123abcd.pth: 127.0.0.1: not found (HTTP 404); "
            "nowhere.test: name or service not known; "
            "weights.test: plain http, which is used only where the file's whole sha256 is known"
        )
        assert caught.value.hint.index("--sha256") < caught.value.hint.index("HEADSTART_MIRROR")


class TestNoSource:
    """The seven models of `pretrainedmodels` that nobody but the original host has."""

    @pytest.fixture
    def entry(self) -> ModelEntry:
        weights = entry_of("http://weights.test/cadene/net-f71d82a5.pth", sha256="f71d82a5")
        return ModelEntry(
            name="pretrainedmodels/polynet.imagenet",
            provider="pretrainedmodels",
            architecture="polynet",
            family="polynet",
            weights=weights,
        )

    @pytest.mark.parametrize("offline", ["", "1"])
    def test_the_error_says_so_and_names_every_way_out(
        self, entry: ModelEntry, offline: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HEADSTART_OFFLINE", offline)
        assert weights_state(entry) == "no source"
        assert not is_available(entry)
        with pytest.raises(RefusedSourceError) as caught:
            fetch(entry)
        assert str(caught.value) == (
            "the weights of pretrainedmodels/polynet.imagenet have no source that may be used: "
            "only weights.test has net-f71d82a5.pth, over plain http, "
            "and no whole sha256 is known that would prove the file"
        )
        for way in (
            "pretrainedmodels/polynet.imagenet@net-f71d82a5.pth",
            "<mirror>/net-f71d82a5.pth",
            "headstart load-bundle FILE",
            "headstart fetch pretrainedmodels/polynet.imagenet --sha256 HEX",
        ):
            assert way in caught.value.hint

    def test_a_mirror_has_it(
        self, entry: ModelEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = replace(entry.weights.sources[0], sha256=hashlib.sha256(b"content").hexdigest()[:8])
        entry = replace(entry, weights=replace(entry.weights, sources=(source,)))
        (tmp_path / "net-f71d82a5.pth").write_bytes(b"content")
        monkeypatch.setenv("HEADSTART_MIRROR", str(tmp_path))
        assert fetch(entry).state == weights_state(entry) == "unverified"
        assert is_available(entry)

    def test_a_mirror_without_it_is_named(
        self, entry: ModelEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HEADSTART_MIRROR", str(tmp_path))
        with pytest.raises(RefusedSourceError, match=r"mirror .*: has no net-f71d82a5\.pth"):
            fetch(entry)

    def test_row_without_any_source_says_so(self, entry: ModelEntry) -> None:
        empty = replace(entry, weights=replace(entry.weights, sources=()))
        assert weights_state(empty) == "no source"
        with pytest.raises(RefusedSourceError, match="no source that may be used"):
            fetch(empty)


class Noting(Silent):
    """A `Progress` that keeps the notes."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def note(self, text: str) -> None:
        self.notes.append(text)
