"""A model hub on the loopback address: the part of the Hugging Face hub's API that an upload goes through.

It keeps what it is sent, checks what a hub checks (token, rights, digests, metadata), and fails where told.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

TOKEN = "hf_" + "a" * 34


@dataclass
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    num_commits: int = 0


class Hub(ThreadingHTTPServer):
    """The hub of one user, ann."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}  # by sha256
        self.requests: list[str] = []
        self.fails: dict[str, tuple[int, str]] = {}  # part of a path -> status and message
        self.chunk_size = 0  # of uploads in several parts; 0 for one

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that were killed."""


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append(f"{method} {path}")
        body = self._body()
        for part, (status, message) in self.server.fails.items():
            if part in path:
                return self._send(status, {"error": message})
        if path.startswith("/storage/"):  # the address itself is the right to write there
            return self._store(path, body)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send(401, {"error": "Invalid credentials in Authorization header"})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body)["content"])
        return self._serve(path, body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def _create(self, asked: dict[str, Any]) -> None:
        owner = asked.get("organization") or "ann"
        if owner != "ann":
            return self._send(403, {"error": f"You don't have the rights to create a model under {owner}"})
        name = f"{owner}/{asked['name']}"
        if name in self.server.repositories:
            url = f"{self.server.address}/{name}"
            return self._send(409, {"error": "You already created this model repo", "url": url})
        private = asked.get("private") or asked.get("visibility") == "private"
        self.server.repositories[name] = Repository(private=bool(private))
        return self._send(200, {"url": f"{self.server.address}/{name}", "name": name})

    def _validate(self, content: str) -> None:
        try:
            data = yaml.safe_load(content.split("---\n")[1])
        except (IndexError, yaml.YAMLError) as error:
            return self._send(400, {"errors": [{"message": str(error)}], "warnings": []})
        wrong = [] if isinstance(data.get("license"), str) else [{"message": '"license" must be a string'}]
        return self._send(400 if wrong else 200, {"errors": wrong, "warnings": []})

    def _serve(self, path: str, body: bytes) -> None:
        name = path.removeprefix("/api/models/").removesuffix(".git/info/lfs/objects/batch").strip("/")
        owner, rest = [*name.split("/", 2), "", ""][:2]
        name, action = f"{owner}/{rest}", path.partition(rest)[2].strip("/")
        repository = self.server.repositories.get(name)
        if repository is None:
            return self._send(404, {"error": "Repository not found"})
        if action == "":
            return self._send(200, {"id": name, "private": repository.private, "sha": "0" * 40})
        if action.startswith("preupload/"):
            return self._preupload(repository, json.loads(body))
        if action == ".git/info/lfs/objects/batch":
            return self._batch(json.loads(body))
        if action.startswith("commit/"):
            return self._commit(name, repository, [json.loads(line) for line in body.splitlines()])
        return self._send(404, {"error": f"there is nothing at {path}"})

    def _preupload(self, repository: Repository, asked: dict[str, Any]) -> None:
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for each in asked["files"]
        ]
        return self._send(200, {"files": files})

    def _batch(self, asked: dict[str, Any]) -> None:
        return self._send(200, {"objects": [self._upload_of(each) for each in asked["objects"]]})

    def _upload_of(self, wanted: dict[str, Any]) -> dict[str, Any]:
        oid, size = wanted["oid"], wanted["size"]
        if oid in self.server.objects:
            return {"oid": oid, "size": size}
        place = f"{self.server.address}/storage/{oid}"
        header: dict[str, str] = {}
        if chunk_size := self.server.chunk_size:
            header = {"chunk_size": str(chunk_size)}
            for number in range(-(-size // chunk_size)):
                header[f"{number + 1:05}"] = f"{place}/{number + 1}"
        return {"oid": oid, "size": size, "actions": {"upload": {"href": place, "header": header}}}

    def _store(self, path: str, body: bytes) -> None:
        oid, _, part = path.removeprefix("/storage/").partition("/")
        if part:
            self.server.objects[f"{oid}/{part}"] = body
        elif self.command == "POST":  # all parts are here
            parts = [each for each in self.server.objects if each.startswith(f"{oid}/")]
            ordered = sorted(parts, key=lambda each: int(each.rpartition("/")[2]))
            self.server.objects[oid] = b"".join(map(self.server.objects.pop, ordered))
        else:
            self.server.objects[oid] = body
        return self._send(200, {}, {"ETag": '"etag"'})

    def _commit(self, name: str, repository: Repository, lines: list[dict[str, Any]]) -> None:
        files = {}
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "lfsFile":
                content = self.server.objects.get(value["oid"], b"")
                if hashlib.sha256(content).hexdigest() != value["oid"] or len(content) != value["size"]:
                    return self._send(400, {"error": f"{value['path']} was not uploaded whole"})
                files[value["path"]] = content
            else:
                files[value["path"]] = base64.b64decode(value["content"])
        repository.files |= files
        repository.num_commits += 1
        commit = f"{repository.num_commits:040}"
        url = f"{self.server.address}/{name}/commit/{commit}"
        return self._send(200, {"commitUrl": url, "commitOid": commit})


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Give a hub that answers inside the block."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
