"""What every request passes: the service's own names, the token, and room for one more."""

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headstart.serve.limits import Limits
from headstart.serve.metrics import Metrics
from headstart.serve.refusals import Refusal, busy

# Without a token: what tells nothing of the model, and the page, which a browser shows before it has one.
_OPEN_PATHS = ("/", "/docs", "/openapi.json", "/health", "/ready")
_HEADERS = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Guard:
    """Middleware that lets a request pass, or answers it with a refusal.

    Args:
        app: what comes behind it.
        paths: that exist; any other is counted under one name.
        heavy_paths: whose requests carry pictures, and are limited in number.
        hosts: names that the service answers to, in lower case, without a port.
        token: that requests must bear; "" asks for none.
        limits: how many requests at once.
        metrics: told about every request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        paths: frozenset[str],
        heavy_paths: frozenset[str],
        hosts: frozenset[str],
        token: str,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self._app = app
        self._paths = paths
        self._heavy_paths = heavy_paths
        self._hosts = hosts
        self._token = token.encode()
        self._limits = limits
        self._metrics = metrics
        self._at_once: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        path = scope["path"] if scope["path"] in self._paths else "other"
        status = 500

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        try:
            self._check(scope)
            with self._room(scope):
                await self._app(scope, receive, send_guarded)
        except Refusal as refusal:
            await refusal.response()(scope, receive, send_guarded)
        finally:
            self._metrics.requests.labels(path, str(status)).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - started)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = host_name(headers.get("host", ""))
        if host not in self._hosts:
            raise Refusal(
                status=421,
                error=f"this service does not answer to the name {host[:100]!r}",
                hint="use the address that it printed when it started, or start it with --allow-host NAME",
            )
        origin = headers.get("origin")
        is_foreign = origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower()
        if is_foreign or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise Refusal(
                status=403,
                error="a request of another web site's page",
                hint="open the service's own page, or send the request from a program",
            )
        if self._token and scope["path"] not in _OPEN_PATHS:
            self._check_token(headers.get("authorization", ""))

    def _check_token(self, authorization: str) -> None:
        scheme, _, token = authorization.partition(" ")
        is_right = secrets.compare_digest(token.strip().encode(), self._token)
        if scheme.lower() != "bearer" or not is_right:
            raise Refusal(
                status=401,
                error="a wrong token" if authorization else "no token",
                hint="send the header 'Authorization: Bearer TOKEN' with the service's own token",
                headers={"www-authenticate": "Bearer"},
            )

    @contextmanager
    def _room(self, scope: Scope) -> Iterator[None]:
        """Count a request with pictures while it is answered.

        Raises:
            Refusal: there are as many as there may be.
        """
        if scope["path"] not in self._heavy_paths:
            yield
            return
        client = _client(scope)
        if self._at_once.total() >= self._limits.max_requests:
            raise busy(f"{self._limits.max_requests} requests are being answered")
        if self._at_once[client] >= self._limits.max_requests_per_client:
            raise Refusal(
                status=429,
                error=f"{self._limits.max_requests_per_client} requests of yours are being answered",
                hint="wait for some of them, then send this one again",
                headers={"retry-after": "1"},
            )
        self._at_once[client] += 1
        try:
            yield
        finally:
            self._at_once[client] -= 1
            if not self._at_once[client]:
                del self._at_once[client]


def host_name(host: str) -> str:
    """Return the name in a Host header, in lower case, without port and brackets."""
    name = host.lower().rstrip(".")
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0].rstrip(".") if ":" in name else name


def _client(scope: Any) -> str:
    return scope["client"][0] if scope.get("client") else ""
