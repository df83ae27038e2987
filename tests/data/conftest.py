import functools
import io
import os
import re
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from proxy import Proxy
from s3_server import s3_server


def png_bytes(seed=0, *, size=(12, 10)):
    """A small PNG whose content depends on the seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, size=(size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def make_folder(tmp_path):
    """Return a function that writes pictures (or given bytes) at paths below a new folder."""

    def make(paths, *, name="flowers"):
        root = tmp_path / name
        for seed, path in enumerate(paths):
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            content = paths[path] if isinstance(paths, dict) else None
            target.write_bytes(png_bytes(seed) if content is None else content)
        return root

    return make


@pytest.fixture
def make_zip(tmp_path):
    """Return a function that packs pictures (or given bytes) under names into a new zip."""

    def make(names, *, name="flowers.zip", method=zipfile.ZIP_STORED) -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", method) as archive:
            for seed, entry in enumerate(names):
                content = names[entry] if isinstance(names, dict) else None
                archive.writestr(entry, png_bytes(seed) if content is None else content)
        return path

    return make


class RangeHandler(SimpleHTTPRequestHandler):
    """Python's file server, with parts of files, which it does not serve by itself."""

    def do_GET(self):
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not wanted or not path.is_file():
            return super().do_GET()
        self.send_part(path.read_bytes())

    def send_part(self, content):
        """Answer with the part that is asked for."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
        start, stop = int(wanted[1]), int(wanted[2]) + 1
        part = content[start:stop]
        self.send_response(206 if part else 416)
        self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    """Return a function that starts a server in a thread, and ends it after the test."""
    started = []

    def start(server):
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def range_handler():
    """Python's file server, with parts of files; `send_part` answers with one."""
    return RangeHandler


@pytest.fixture
def web(serve, tmp_path):
    """The address of a web server of the test's folder."""
    handler = functools.partial(RangeHandler, directory=str(tmp_path))
    return f"http://127.0.0.1:{serve(ThreadingHTTPServer(('127.0.0.1', 0), handler)).server_port}"


@pytest.fixture(scope="session")
def s3_address():
    """A server that answers as S3 does."""
    with s3_server() as address:
        yield address


@pytest.fixture
def s3(s3_address, monkeypatch, serve):
    """Return a function that fills a new bucket, and the proxy between it and who reads it."""
    import boto3
    from s3fs import S3FileSystem

    proxy = serve(Proxy(s3_address))
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "very-secret-key",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": proxy.address,
        "AWS_CONFIG_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()  # its address is no part of what tells instances apart
    client = boto3.client("s3", endpoint_url=f"http://{s3_address}")
    buckets = []

    def fill(files):
        bucket = f"bucket-{len(buckets)}-{os.urandom(4).hex()}"
        client.create_bucket(Bucket=bucket)
        buckets.append(bucket)
        for seed, path in enumerate(files):
            content = files[path] if isinstance(files, dict) else None
            client.put_object(Bucket=bucket, Key=path, Body=png_bytes(seed) if content is None else content)
        return f"s3://{bucket}"

    yield SimpleNamespace(fill=fill, proxy=proxy)
    client.close()
    S3FileSystem.clear_instance_cache()
