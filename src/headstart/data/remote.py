"""Files behind addresses: whatever fsspec reaches, such as s3://, gs://, hf:// and https://.

Credentials come from the environment, as each service's own tools look for them. None stands in a record or a
message: addresses that carry some are refused, and of all others only what precedes the "?" is shown.
"""

import errno
import posixpath
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from headstart.core.errors import (
    DataError,
    HeadstartError,
    InputError,
    MissingExtraError,
    NoAnswerError,
    PictureError,
    StorageError,
)
from headstart.core.offline import OFFLINE_VARIABLE, is_offline
from headstart.data.names import is_left_by_system

T = TypeVar("T")

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)  # two letters or more: "C://" is a drive
_QUERY = re.compile(r"\?[^\s'\"<>)\]]+")
_SECRET = re.compile(
    r"((?:signature|credential|token|secret|authorization|password|sig|hf_|bearer)\w*[=: ]+)[^\s&'\",;]+",
    re.I,
)
_BUCKET = re.compile(r"[\w.-]+")
_BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "hf"})
_WEB = frozenset({"http", "https"})
_ON_THIS_MACHINE = frozenset({"file", "local", "memory"})
_IN_REMOTE_EXTRA = frozenset({"s3", "s3a", "http", "https"})

PATIENCE_SECONDS = 60.0
"""How long a request is tried again where the trouble may pass."""
_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 0.5, 8.0
_MAX_DEPTH = 64  # of folders: a server may list itself without end
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_PASSING_ERRNO = frozenset(
    {errno.EBUSY, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.EPIPE, errno.EAGAIN}
    | {getattr(errno, "EREMOTEIO", errno.EIO)}  # s3fs says so of S3's "InternalError"
)
# Of aiohttp, botocore and httpx, which need not be here; each stands for what is derived from it too.
_PASSING_NAMES = frozenset(
    {"ClientConnectionError", "ClientPayloadError", "HTTPClientError", "ResponseStreamingError"}
    | {"IncompleteReadError", "IncompleteRead", "TransportError", "ReadTimeoutError", "ResponseParserError"}
)
_TRIED_ONCE = {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 10, "read_timeout": 30}}
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": _TRIED_ONCE,  # trying again is done here, alike for all
    "s3a": _TRIED_ONCE,
    "http": {"client_kwargs": {"trust_env": True}},  # proxies and .netrc
    "https": {"client_kwargs": {"trust_env": True}},
}


def is_address(location: object) -> bool:
    """Whether a location is an address such as "s3://bucket/flowers", and no path."""
    return isinstance(location, str) and _ADDRESS.match(location) is not None


def check_address(address: str) -> None:
    """Refuse an address that cannot be used, before anything is asked for.

    Raises:
        InputError: it carries a password or key, nothing reads its kind, or requests are forbidden.
        MissingExtraError: what reads its kind is not installed.
    """
    scheme, parts = _scheme(address), urlsplit(address)
    has_key = parts.password is not None or (parts.username is not None and scheme in _BUCKETS | _WEB)
    if has_key or (scheme in _BUCKETS and not _BUCKET.fullmatch(parts.netloc)):
        raise InputError(
            f"an address with a user name, key or password in it was given ({scheme}://…)",
            hint="addresses stand in logs and records; put credentials where the service's own tools look "
            "for them, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, HF_TOKEN, or ~/.netrc",
        )
    if is_offline() and scheme not in _ON_THIS_MACHINE:
        raise InputError(f"{OFFLINE_VARIABLE}=1 forbids to read {shown(address)!r}", hint="give a local copy")
    _filesystem(address)


def shown(address: str) -> str:
    """Return an address as it may be shown and stored: what follows a "?" may be a signature."""
    return _QUERY.sub("?…", address)


def join(root: str, below: str) -> str:
    """Return the address of what lies below another one; `below` is a name as people read it."""
    return f"{root.rstrip('/')}/{quote(below) if _scheme(root) in _WEB else below}"


def read_address(address: str, start: int, num_bytes: int) -> bytes:
    """Return a part of a file; it is shorter than asked for where the file ends.

    Args:
        address: of the file.
        start: of the part, in bytes.
        num_bytes: of the part.

    Raises:
        PictureError: it is not there, or may not be read; the message is the reason, without the address.
        NoAnswerError: the service did not answer for a minute.
        DataError: it does not serve parts of files.
    """
    if num_bytes <= 0:
        return b""
    return _persistently(partial(_read, address, start, num_bytes), address)[0]


def size_of_address(address: str) -> int:
    """Return the size of a file in bytes. Errors are those of `read_address`."""
    if _scheme(address) in _WEB:  # signed addresses often permit GET alone
        total = _persistently(partial(_read, address, 0, 1), address)[1]
        if total is None:
            raise PictureError("the server does not say how large it is")
        return total
    filesystem, path = _filesystem(address)
    return int(_persistently(partial(filesystem.size, path), address))


def walk_address(root: str) -> Iterator[str]:
    """Yield the names below an address of all files there, with "/" between folders, ascending.

    At no time more than a page of 1,000 (S3), or the names of one folder a level, are held in memory. Hidden
    files and what operating systems leave in folders are passed over.

    Raises:
        NoAnswerError: the service did not answer for a minute.
        DataError: there is nothing, or it may not be listed.
    """
    filesystem, path = _filesystem(root)
    names = _s3_keys if hasattr(filesystem, "call_s3") else _listed_files
    try:
        for name in names(filesystem, path, root):
            if name and not any(map(is_left_by_system, name.split("/"))):
                yield name
    except PictureError as error:
        raise DataError(f"cannot list {shown(root)!r}: {error}") from None


def address_exists(address: str) -> bool:
    """Return whether there is a file or folder. Raises NoAnswerError when the service stays silent."""
    filesystem, path = _filesystem(address)
    return bool(_persistently(partial(filesystem.exists, path), address))


def read_whole_address(address: str, max_bytes: int) -> bytes:
    """Return a file's bytes. Raises PictureError where there are too many; other errors as `read_address`."""
    data = read_address(address, 0, max_bytes + 1)
    if len(data) > max_bytes:
        raise PictureError(f"too large: the limit is {max_bytes / 2**20:,.0f} MiB")
    return data


def write_address(address: str, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        StorageError: it may not be written.
        NoAnswerError: the service did not answer for a minute.
    """
    filesystem, path = _filesystem(address)
    try:
        _persistently(partial(filesystem.pipe_file, path, data), address)
    except PictureError as error:
        raise StorageError(f"cannot write {shown(address)!r}: {error}") from None


def _scheme(address: str) -> str:
    match = _ADDRESS.match(address)
    return match[1].lower() if match else ""


def _filesystem(address: str) -> tuple[Any, str]:
    """Return the fsspec file system for an address, that of this process, and the path in it."""
    scheme = _scheme(address)
    try:
        import fsspec

        kind = fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        extra = "pip install 'headstart[remote]'"
        raise MissingExtraError(
            f"what reads {scheme}:// is not installed",
            hint=extra if scheme in _IN_REMOTE_EXTRA or "fsspec" in str(error.name) else str(error),
        ) from error
    except ValueError:
        raise InputError(
            f"no way is known to read {scheme}://", hint="for example s3://, gs://, hf:// or https://"
        ) from None
    options = kind._get_kwargs_from_urls(address) | _OPTIONS.get(scheme, {})
    filesystem = kind(use_listings_cache=False, **options)
    if hasattr(filesystem, "call_s3"):
        filesystem.retries = 1
    return filesystem, kind._strip_protocol(address)


def _read(address: str, start: int, num_bytes: int) -> tuple[bytes, int | None]:
    """Return a part of a file, and the size of the whole where that is told."""
    filesystem, path = _filesystem(address)
    if _scheme(address) in _WEB:
        from fsspec.asyn import sync

        data, total = sync(filesystem.loop, _get, filesystem, address, start, num_bytes)
        return data, total
    try:
        options = {"cache_type": "none"} if _scheme(address) == "hf" else {}  # it would read 5 MB ahead
        return filesystem.cat_file(path, start=start, end=start + num_bytes, **options), None
    except OSError as error:
        if _status(error) == 416 or "InvalidRange" in f"{error} {error.__cause__}":
            return b"", None  # S3's answer for an empty file, or a part behind the end
        raise


async def _get(filesystem: Any, address: str, start: int, num_bytes: int) -> tuple[bytes, int | None]:
    """Get a part of a file by HTTP, and read no more than that whatever the server sends."""
    import aiohttp
    import yarl

    session = await filesystem.set_session()
    headers = {"Range": f"bytes={start}-{start + num_bytes - 1}", "Accept-Encoding": "identity"}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
    url = yarl.URL(address, encoded="?" in address)  # a signature holds for one spelling
    async with session.get(url, headers=headers, timeout=timeout) as response:
        if response.status == 416:
            return b"", None
        response.raise_for_status()
        if start and response.status != 206:
            raise DataError(
                f"the server of {shown(address)!r} does not serve parts of files",
                hint="download the file, and give the copy",
            )
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
        if response.status != 206:
            total = response.headers.get("Content-Length", "")
        data = bytearray()
        async for chunk in response.content.iter_chunked(2**18):
            data += chunk[: num_bytes - len(data)]
            if len(data) == num_bytes:
                break
        return bytes(data), int(total) if total.isdecimal() else None


def _persistently(action: Callable[[], T], address: str) -> T:
    """Return what an action gives; where the trouble may pass, try again for about a minute."""
    ends, delay = time.monotonic() + PATIENCE_SECONDS, _FIRST_DELAY_SECONDS
    while True:
        try:
            return action()
        except HeadstartError:
            raise
        except Exception as error:  # each service's library has errors of its own
            if not _may_pass(error):
                # Without the cause, which may name signed addresses.
                raise PictureError(_reason(error)) from None
            left = ends - time.monotonic()
            if left <= 0:
                raise NoAnswerError(
                    f"{shown(address)!r} did not answer for {PATIENCE_SECONDS:.0f} seconds: {_words(error)}",
                    hint="see whether the service works, then run the same again",
                ) from None
        time.sleep(min(left, delay * random.uniform(0.5, 1)))  # so that many workers do not return at once
        delay = min(2 * delay, _LONGEST_DELAY_SECONDS)


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    status = _status(error)
    if status is not None:
        return status in _PASSING_STATUS
    if isinstance(error, (TimeoutError, ConnectionError)):
        return True
    if isinstance(error, OSError) and error.errno in _PASSING_ERRNO:
        return True
    if any(each.__name__ in _PASSING_NAMES for each in type(error).__mro__):
        return True
    return error.__cause__ is not None and _may_pass(error.__cause__)


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that an error of aiohttp, botocore, requests or httpx tells, if any."""
    response = getattr(error, "response", None)
    status = getattr(error, "status", None) or getattr(response, "status_code", None)
    if status is None and isinstance(response, Mapping):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) else None


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) or _status(error) in (404, 410):
        return "no such file"
    if isinstance(error, PermissionError) or _status(error) in (401, 403):
        return f"access denied: {_words(error)}"
    return f"cannot be read: {_words(error)}"


def _words(error: Exception) -> str:
    """Return what an error says in one line, without anything that may be a secret."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = " ".join(said.split()) or type(error).__name__
    return _SECRET.sub(r"\1…", shown(text))[:300]


def _s3_keys(filesystem: Any, path: str, root: str) -> Iterator[str]:
    """Yield the keys below a prefix, page by page, in S3's order, which is that of their characters."""
    bucket, _, prefix = path.partition("/")
    prefix = f"{prefix}/" if prefix else ""
    after = prefix
    while True:
        ask = partial(filesystem.call_s3, "list_objects_v2", Bucket=bucket, Prefix=prefix, StartAfter=after)
        page = _persistently(ask, root)
        for item in page.get("Contents", ()):
            after = item["Key"]
            if not after.endswith("/"):  # what consoles make to show a folder
                yield after[len(prefix) :]
        if not page.get("IsTruncated"):
            return


def _listed_files(filesystem: Any, path: str, root: str) -> Iterator[str]:
    """Yield the files below a folder, one folder after the other, ascending by whole path."""
    is_web = _scheme(root) in _WEB
    folders = [iter(_names_in(filesystem, path, root, is_web=is_web))]
    above = [""]
    while folders:
        name = next(folders[-1], None)
        if name is None:
            folders.pop()
            above.pop()
        elif not name.endswith("/"):
            yield above[-1] + name
        elif len(folders) < _MAX_DEPTH:
            below = above[-1] + name
            inner = f"{path.rstrip('/')}/{quote(below) if is_web else below.rstrip('/')}"
            folders.append(iter(_names_in(filesystem, inner, root, is_web=is_web)))
            above.append(below)


def _names_in(filesystem: Any, path: str, root: str, *, is_web: bool) -> list[str]:
    """Return the names in a folder, ascending; those of folders end in "/"."""
    entries = _persistently(partial(filesystem.ls, path, detail=True), root)
    names = set()
    for entry in entries:
        name = posixpath.basename(entry["name"].rstrip("/"))
        if is_web and "?" in name:  # a link that sorts the list
            continue
        name = unquote(name) if is_web else name
        if "/" not in name and name not in ("", ".", "..") and entry["name"].rstrip("/") != path.rstrip("/"):
            names.add(f"{name}/" if entry["type"] == "directory" else name)
    return sorted(names)
