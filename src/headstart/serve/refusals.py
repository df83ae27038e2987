"""What a client is told when its request is not answered: a status, what happened, and what to do."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType

from fastapi.responses import JSONResponse, Response

RETRY_AFTER_SECONDS = 1


class Refusal(Exception):  # noqa: N818  # it is an answer, not a failure
    """A request, or one picture of it, that is not answered.

    Attributes:
        status: of HTTP.
        error: what happened, with the value received and what was expected.
        hint: what to do.
        headers: to send with it.
    """

    def __init__(
        self, *, status: int, error: str, hint: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.hint = hint
        self.headers = headers

    @property
    def body(self) -> dict[str, str]:
        """What is sent, as JSON."""
        return {"error": self.error, "hint": self.hint}

    def response(self) -> Response:
        """Return it as an answer."""
        return JSONResponse(self.body, self.status, self.headers)

    def encoded(self) -> bytes:
        """Return it as bytes of HTTP/1.1 that end the connection."""
        body = json.dumps(self.body).encode()
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "connection": "close",
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def busy(what: str) -> Refusal:
    """Return the refusal of what would be too much for all together at the moment."""
    return Refusal(
        status=503,
        error=f"the service is busy: {what}",
        hint=f"wait {RETRY_AFTER_SECONDS} s and send the request again",
        headers={"retry-after": str(RETRY_AFTER_SECONDS)},
    )
