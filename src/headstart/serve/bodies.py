"""From a request to the bytes of its pictures, within the limits; nothing a client names is ever opened."""

import asyncio
import base64
import functools
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from headstart.serve.limits import Limits
from headstart.serve.refusals import Refusal, busy

MULTIPART, JSON = "multipart/form-data", "application/json"
_FORMS = (
    f"send {MULTIPART} with a file for each picture, or {JSON} as "
    '{"pictures": [{"name": "rose.jpg", "data": "BASE64"}]}'
)
_NAME_LENGTH = 255


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentPicture:
    """A picture as a client sent it.

    Attributes:
        name: what the client calls it; it is repeated in the answer, and serves for nothing else.
        raw: the encoded file.
    """

    name: str
    raw: bytes


def _from_base64(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("it must be text in base64")
    return base64.b64decode("".join(text.split()), validate=True)  # encoders break lines


class JsonPicture(BaseModel):
    """One picture in a JSON body."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=_NAME_LENGTH, description="repeated in the answer")
    data: Annotated[
        bytes,
        BeforeValidator(_from_base64),
        WithJsonSchema({"type": "string", "format": "base64"}),
        Field(description="the picture's file: JPEG, PNG, WebP, ..."),
    ]


class JsonPictures(BaseModel):
    """A JSON body."""

    model_config = ConfigDict(extra="forbid")

    pictures: list[JsonPicture] = Field(min_length=1)


class Receiver:
    """Reads the bodies of requests.

    Args:
        limits: of one body, and of all that are held at once.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held_bytes = 0

    @contextmanager
    def held(self) -> Iterator["Held"]:
        """Give an held of the bytes that one request holds, until the block ends."""
        held = Held(self)
        try:
            yield held
        finally:
            self._held_bytes -= held.num_bytes

    async def read(self, request: Request, held: "Held") -> list[SentPicture]:
        """Return the pictures of a request, one or more.

        Raises:
            Refusal: the body is of no kind that is known, broken, too large, or too slow to come.
        """
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await self._read(request, held)
        except TimeoutError:
            raise Refusal(
                status=408,
                error=f"the request had not come whole after {self._limits.body_seconds:g} s",
                hint="send fewer or smaller pictures at once",
            ) from None
        except ClientDisconnect:
            raise Refusal(status=400, error="the client went away", hint="send it again") from None

    def hold(self, num_bytes: int) -> None:
        """Count bytes as held; see `held`.

        Raises:
            Refusal: all requests together hold too many.
        """
        if self._held_bytes + num_bytes > self._limits.max_held_bytes:
            raise busy("it holds as many pictures as it may")
        self._held_bytes += num_bytes

    async def _read(self, request: Request, held: "Held") -> list[SentPicture]:
        self._check_headers(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        chunks = self._chunks(request, held)
        if kind == MULTIPART:
            return await self._read_form(request, chunks)
        if kind == JSON:
            return await self._read_json(b"".join([chunk async for chunk in chunks]), held)
        raise Refusal(status=415, error=f"a body of type {kind[:80] or 'unknown'!r}", hint=_FORMS)

    def _check_headers(self, request: Request) -> None:
        encoding = request.headers.get("content-encoding", "identity").lower()
        if encoding != "identity":
            raise Refusal(
                status=415,
                error=f"a body that is packed by {encoding[:40]!r}",
                hint="send it as it is: pictures are packed already",
            )
        stated = request.headers.get("content-length", "0")
        if not stated.isdecimal() or int(stated) > self._limits.max_body_bytes:
            raise self._too_large(f"{stated[:20]} bytes")

    async def _chunks(self, request: Request, held: "Held") -> AsyncIterator[bytes]:
        async for chunk in request.stream():
            held.add(len(chunk))
            if held.num_bytes > self._limits.max_body_bytes:
                raise self._too_large("more bytes than allowed")
            yield chunk

    async def _read_form(self, request: Request, chunks: AsyncIterator[bytes]) -> list[SentPicture]:
        _, options = parse_options_header(request.headers["content-type"])
        try:
            form = _Form(options.get(b"boundary", b""), max_pictures=self._limits.max_pictures)
            async for chunk in chunks:
                form.feed(chunk)
        except FormParserError as error:
            raise Refusal(
                status=422, error=f"a form that cannot be read: {str(error)[:200]}", hint=_FORMS
            ) from error
        if not form.is_whole or not form.pictures:
            lack = "a form without a picture" if form.is_whole else "a form that lacks its end"
            raise Refusal(status=422, error=lack, hint=_FORMS)
        return form.pictures

    async def _read_json(self, body: bytes, held: "Held") -> list[SentPicture]:
        held.add(len(body))  # the pictures take as much again
        most = self._limits.max_pictures
        return await run_in_threadpool(functools.partial(_pictures_of_json, body, max_pictures=most))

    def _too_large(self, what: str) -> Refusal:
        mib = self._limits.max_body_bytes / 2**20
        return Refusal(
            status=413,
            error=f"a body of {what}; the limit is {mib:g} MiB",
            hint="send fewer pictures at once, or smaller ones",
        )


class Held:
    """The bytes that one request holds."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.num_bytes = 0

    def add(self, num_bytes: int) -> None:
        """Count so many more.

        Raises:
            Refusal: all requests together hold too many.
        """
        self._receiver.hold(num_bytes)
        self.num_bytes += num_bytes


class _Form:
    """The pictures of a form, kept in memory; its other fields are passed over.

    Args:
        boundary: between the parts.
        max_pictures: number of parts, of whatever kind.
    """

    def __init__(self, boundary: bytes, *, max_pictures: int) -> None:
        self.pictures: list[SentPicture] = []
        self.is_whole = False
        self._max_pictures = max_pictures
        self._num_parts = 0
        self._header = self._value = self._disposition = b""
        self._name: str | None = None
        self._data = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_to_header,
                "on_header_value": self._add_to_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            FormParserError: they belong to no form.
            Refusal: there are too many parts.
        """
        self._parser.write(chunk)

    def _begin_part(self) -> None:
        self._num_parts += 1
        if self._num_parts > self._max_pictures:
            raise _too_many(self._max_pictures)
        self._disposition = b""

    def _add_to_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _end_headers(self) -> None:
        name = parse_options_header(self._disposition)[1].get(b"filename")
        self._name = None if name is None else name.decode(errors="replace")[:_NAME_LENGTH]
        self._data = bytearray()

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._name is not None:
            self._data += data[start:end]

    def _end_part(self) -> None:
        if self._name is not None:
            self.pictures.append(SentPicture(name=self._name, raw=bytes(self._data)))

    def _end(self) -> None:
        self.is_whole = True


def _too_many(limit: int) -> Refusal:
    return Refusal(
        status=413,
        error=f"more than {limit} pictures in one request",
        hint="send them in several requests",
    )


def _pictures_of_json(body: bytes, *, max_pictures: int) -> list[SentPicture]:
    try:
        pictures = JsonPictures.model_validate_json(body).pictures
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:80]
        raise Refusal(
            status=422,
            error=f"a JSON body that cannot be used: {where + ': ' if where else ''}{first['msg'][:200]}",
            hint=_FORMS,
        ) from error
    if len(pictures) > max_pictures:
        raise _too_many(max_pictures)
    return [SentPicture(name=each.name, raw=each.data) for each in pictures]
