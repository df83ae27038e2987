"""A service in a thread of the tests' process, and what is sent to it and looked for in its answers."""

import base64
import io
import threading
from typing import Any

import httpx2
import numpy as np
from PIL import Image

from headstart.embed import PlanOptions
from headstart.models import Classifier
from headstart.serve import Limits, Server, create_app

TOKEN = "a-token-of-the-tests"


class Running:
    """A service in a thread of this process, in float32 on every machine unless `options` say otherwise.

    Attributes:
        address: "http://127.0.0.1:12345".
        port: of it.
    """

    def __init__(self, classifier: Classifier, *, limits: Limits = Limits(), **settings: Any) -> None:  # noqa: B008
        self._server = Server("127.0.0.1", 0)
        self.address = self._server.address.rstrip("/")
        self.port = int(self.address.rpartition(":")[2])
        settings.setdefault("options", PlanOptions(precision="fp32"))
        app = create_app(classifier, limits=limits, **settings)
        self._thread = threading.Thread(target=self._server.run, args=(app,), kwargs={"limits": limits})
        self._thread.start()
        with self.client() as client:
            assert client.get("/ready").status_code == 200

    def client(self, **settings: Any) -> httpx2.Client:
        """Return a client of it."""
        return httpx2.Client(base_url=self.address, timeout=30, **settings)

    def stop(self) -> None:
        """Stop it, and wait until it has."""
        self._server.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()


def encoded(seed: int = 0, *, kind: str = "JPEG", size: tuple[int, int] = (80, 60)) -> bytes:
    """Return a file with a picture of noise and one colour."""
    generator = np.random.default_rng(seed)
    level = generator.integers(0, 200, 3)
    pixels = (level + generator.integers(0, 56, (size[1], size[0], 3))).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def in_base64(raw: bytes) -> str:
    """Return bytes as JSON carries them."""
    return base64.b64encode(raw).decode()


def assert_refused(response: httpx2.Response, status: int, *words: str) -> None:
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error", "hint"}
    assert body["hint"]
    for word in words:
        assert word in body["error"] + body["hint"]
