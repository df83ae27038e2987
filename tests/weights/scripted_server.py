"""An http server on the loopback address that behaves as badly as a test tells it to."""

import hashlib
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from headstart.catalog.entry import Preprocessing, WeightsEntry, WeightsSource


@dataclass
class Answer:
    """How one request is answered; what is not set is as a good server would do it."""

    status: int = 0
    send: int | None = None  # only so many bytes of the body, then the connection is closed
    claim: int | None = None  # this Content-Length in place of the true one
    body: bytes | None = None
    ranges: bool = True
    redirect: str = ""
    stall: threading.Event | None = None  # after `send` bytes, wait for this
    rest: bool = False  # and then send what is left
    headers: dict[str, str] = field(default_factory=dict)


GOOD = Answer()


class Server(ThreadingHTTPServer):
    """Serves `files`; the answers to a path are taken from `script` in turn, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.script: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, str]] = []  # (path, Range header)
        self.sent = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def speak_tls(self, folder: Path, *, expired: bool = False) -> str:
        """Speak https from now on, with a certificate of its own in `folder`; return the address."""
        make_certificate(folder, expired=expired)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert", folder / "key")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        return self.address.replace("http:", "https:")

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that were killed."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.requests.append((self.path, asked))
        answers = self.server.script.get(self.path, [GOOD])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer.redirect:
            self.send_response(302)
            self.send_header("Location", answer.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = answer.body if answer.body is not None else self.server.files.get(self.path)
        if content is None or answer.status:
            self.send_error(answer.status or 404)
            return
        self._send(content, answer, asked)

    def _send(self, content: bytes, answer: Answer, asked: str) -> None:
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        first = 0
        if asked and answer.ranges and self.headers.get("If-Range") in (None, tag):
            first = int(asked.removeprefix("bytes=").rstrip("-"))
            if first >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        body = content[first:]
        self.send_header("Content-Length", str(len(body) if answer.claim is None else answer.claim))
        for name, value in ({"ETag": tag} | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        cut = len(body) if answer.send is None else answer.send
        self._write(body[:cut])
        if answer.stall is not None:
            answer.stall.wait(20)
        if answer.rest:
            self._write(body[cut:])

    def _write(self, data: bytes) -> None:
        self.server.sent += len(data)
        self.wfile.write(data)
        self.wfile.flush()


@contextmanager
def running_server() -> Iterator[Server]:
    """Give a server that answers inside the block."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_AUTHORITY = """
[ca]
default_ca = own
[own]
database = {folder}/issued
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
basicConstraints = CA:TRUE
subjectAltName = IP:127.0.0.1
"""


def make_certificate(folder: Path, *, expired: bool = False) -> None:
    """Make `folder`/cert, which only itself vouches for, and `folder`/key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the command openssl")
    (folder / "authority").write_text(_AUTHORITY.format(folder=folder))
    (folder / "issued").touch()
    (folder / "serial").write_text("01")
    year = "2020" if expired else "2090"
    ask = (
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=test -keyout key -out ask"
    )
    sign = "ca -selfsign -batch -notext -config authority -keyfile key -in ask -out cert"
    dates = f"-startdate 20190101000000Z -enddate {year}0101000000Z"
    for words in (ask, f"{sign} {dates}"):
        subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)


def entry_of(*addresses: str, sha256: str = "", size_bytes: int = 0) -> WeightsEntry:
    """Return a weight set with these addresses as its sources."""
    sources = tuple(
        WeightsSource(kind="url", location=address, sha256=sha256, size_bytes=size_bytes)
        for address in addresses
    )
    return WeightsEntry(tag="test", sources=sources, preprocessing=Preprocessing())


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until `condition()` holds; fail when it does not come about."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the condition did not come about")
        time.sleep(0.01)
