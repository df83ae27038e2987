"""Bytes from an http(s) address into a file, over as many attempts and processes as it takes.

The unfinished file bears the ending ``.part``; beside it stands what the server called this version of the
file, so that a later attempt asks for the rest only, and starts again when the file has changed.
"""

import http.client
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

from headstart.catalog.addresses import host_of
from headstart.core.errors import StorageError, UnreachableError, WeightsError
from headstart.core.files import storage_errors, write_text
from headstart.core.progress import Progress
from headstart.weights.channel import Channel

TIMEOUT_SECONDS = 20.0
RETRY_DELAYS_SECONDS = (1.0, 2.0, 4.0)

_CHUNK_BYTES = 1 << 18
_TRY_AGAIN = (408, 425, 429)  # timeout, too early, too many requests; 5xx besides
_PAGE_STARTS = (b"<!doctype", b"<html", b"<?xml", b"<head")


class _TransientError(Exception):
    """An attempt failed in a way that the next one may not."""


def download(
    address: str, part: Path, *, name: str, size_bytes: int, digest_known: bool, progress: Progress
) -> None:
    """Bring the file at `address` to `part`, continuing what an earlier attempt left there.

    Args:
        address: an http or https address.
        part: the unfinished file; complete when this returns.
        name: the file's name, for messages.
        size_bytes: its exact size, 0 where it is not known.
        digest_known: whether the caller knows the file's whole sha256, and will check it.
        progress: counts the bytes.

    Raises:
        RefusedSourceError: the host does not prove who it is, and no digest would prove the file.
        UnreachableError: the host cannot be reached, or fails again and again.
        WeightsError: the host answers, but not with the file.
        StorageError: the file cannot be written.
    """
    delays = [*RETRY_DELAYS_SECONDS]
    channel = Channel(digest_known=digest_known, progress=progress)
    while not _is_complete(address, part, channel):
        try:
            with _open(address, part, channel) as response:
                offset, total = _begin(response, address, part, channel)
                if size_bytes and total not in (None, size_bytes):
                    raise WeightsError(f"{host_of(address)}: offers {total:,} bytes; expected {size_bytes:,}")
                check_space(part, (total or offset) - offset)
                progress.start(f"fetching {name}", total=total, unit="B")
                progress.advance(offset)
                _receive(response, address, part, progress)
            received = part.stat().st_size
            if total in (None, received):
                return
            raise _TransientError(f"the connection ended after {received:,} of {total:,} bytes")
        except _TransientError as error:
            if not delays:
                tries = len(RETRY_DELAYS_SECONDS) + 1
                raise UnreachableError(f"{host_of(address)}: {error} ({tries} attempts)") from error
            time.sleep(delays.pop(0))


def discard(part: Path) -> None:
    """Remove an unfinished file and what stands beside it."""
    part.unlink(missing_ok=True)
    _note_path(part).unlink(missing_ok=True)


def _note_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _started(address: str, part: Path, channel: Channel) -> tuple[int, str, int]:
    """Return what is known of an unfinished file that can be continued, (0, "", 0) where there is none.

    What was received while the digest was known may come from a host that proves nothing; it is not continued
    without the digest, nor the other way round.

    Returns:
        How many bytes are there, what the server called the file's version, and its whole size or 0.
    """
    try:
        note = json.loads(_note_path(part).read_text(encoding="utf-8"))
        same = (note["address"], note["digest_known"]) == (address, channel.digest_known)
        if same and note["validator"]:
            return part.stat().st_size, str(note["validator"]), int(note["total"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none there, or one that somebody else wrote
    return 0, "", 0


def _is_complete(address: str, part: Path, channel: Channel) -> bool:
    """Return whether all bytes are there already, as after a kill just before the file was put in place."""
    offset, _, total = _started(address, part, channel)
    return offset == total > 0


def _open(address: str, part: Path, channel: Channel) -> http.client.HTTPResponse:
    headers = {"User-Agent": "headstart"}
    offset, validator, _ = _started(address, part, channel)
    if offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
    host = host_of(address)
    try:
        request = urllib.request.Request(address, headers=headers)
        return channel.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                discard(part)
                raise _TransientError("the file has become shorter") from error
            reason = _status(error)
            if error.code in _TRY_AGAIN or error.code >= 500:
                raise _TransientError(reason) from error
            raise WeightsError(f"{host}: {reason}") from error
    except urllib.error.URLError as error:  # no connection came about, so the same would happen again
        raise UnreachableError(f"{host}: {_reason(error.reason)}") from error
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, WeightsError):
            raise
        raise _TransientError(_reason(error)) from error


def _status(error: urllib.error.HTTPError) -> str:
    if 300 <= error.code < 400:  # what was no redirect that could be followed
        is_circle = urllib.request.HTTPRedirectHandler.inf_msg in str(error.msg)
        return "redirects in a circle" if is_circle else "redirects to an address that is not followed"
    return f"{http.client.responses.get(error.code, 'unknown status').lower()} (HTTP {error.code})"


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS:g} s"
    if isinstance(error, http.client.RemoteDisconnected):
        return "it closed the connection"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _begin(
    response: http.client.HTTPResponse, address: str, part: Path, channel: Channel
) -> tuple[int, int | None]:
    """Return (bytes that are here already, bytes of the whole file or None), with `part` cut accordingly."""
    headers: Message = response.headers
    if response.status == http.client.PARTIAL_CONTENT:
        place, _, whole = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        offset = part.stat().st_size
        if place.partition("-")[0] != str(offset):
            discard(part)
            raise _TransientError("it sent another part of the file than was asked for")
        return offset, int(whole) if whole.isdecimal() else None
    length = headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    etag = headers.get("ETag", "")
    # A weak tag does not promise equal bytes. Source: RFC 9110, section 13.1.5 (If-Range).
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
    with storage_errors(part, "write"):
        discard(part)  # before the new note, so that no note ever stands beside bytes of another version
        part.touch()
        note = {
            "address": address,
            "validator": validator,
            "total": total or 0,
            "digest_known": channel.digest_known,
        }
        write_text(_note_path(part), json.dumps(note))
    return 0, total


def check_space(part: Path, needed_bytes: int) -> None:
    """Refuse to begin a file that the disk has no room for. Raises StorageError."""
    free = shutil.disk_usage(part.parent).free
    if needed_bytes > free:
        raise StorageError(
            f"cannot write {part}: {needed_bytes:,} bytes are needed, {free:,} are free",
            hint="free some space ('headstart cache' shows what is kept), or point HEADSTART_HOME elsewhere",
        )


def _receive(response: http.client.HTTPResponse, address: str, part: Path, progress: Progress) -> None:
    with storage_errors(part, "write"):
        file = part.open("ab")
    with file:
        for chunk in _chunks(response):
            if file.tell() == 0 and chunk.lstrip()[:9].lower().startswith(_PAGE_STARTS):
                raise WeightsError(f"{host_of(address)}: sent a web page in place of the file")
            with storage_errors(
                part, "write"
            ):  # not around the loop, for the network fails with OSErrors too
                file.write(chunk)
                file.flush()
            progress.advance(len(chunk))


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read1(_CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _TransientError(_reason(error)) from error
        if not chunk:
            return
        yield chunk
