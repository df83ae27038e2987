"""Where a weight set's file lies on this machine, found without opening or fetching anything.

Fetched files lie below `weights_dir()` under the address they came from, so that a person can see what they
are: ``download.pytorch.org/models/resnet50-0676ba61.pth``, ``huggingface.co/timm/…/model.safetensors``. A
file of a package that is not installed can come out of a bundle; it lies below ``@packages``.
"""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias, get_args
from urllib.parse import unquote, urlsplit

from headstart.catalog.addresses import is_plain_http
from headstart.catalog.entry import ModelEntry, WeightsEntry, WeightsSource
from headstart.catalog.pins import read_pin
from headstart.core.digest import digest_bytes
from headstart.core.paths import weights_dir

WeightsState: TypeAlias = Literal["package", "cached", "unverified", "file", "missing", "no source"]
"""Where a row's weights are:

- "package": in an installed package;
- "cached": fetched earlier, and the whole sha256 was known, from the catalogue or from the user;
- "unverified": fetched earlier; nobody has stated the whole sha256, so the one seen first is pinned;
- "file": the user's own file;
- "missing": not on this machine, and to be had from a source of the catalogue;
- "no source": not on this machine, and every source is one that must not be used.

Of models side by side it is the one that stands last in this list.
"""

_UNSAFE = re.compile(r"[^\w.+=-]")
_PACKAGES = "@packages"  # no part of an address keeps an @, so nothing fetched lies in there


def fetched_path(source: WeightsSource) -> Path:
    """Return where the file of `source` lies once it is in our cache; it need not exist.

    The user's own files never get there; their path is returned as it is.
    """
    first: list[str] = []
    if source.kind == "file":
        return Path(source.location)
    if source.kind == "package":
        first, parts = [_PACKAGES], [source.location, *source.filename.split("/")]
    elif source.kind == "hub":
        parts = ["huggingface.co", *source.location.split("/"), *source.filename.split("/")]
    else:
        address = urlsplit(source.location)
        parts = [address.netloc, *unquote(address.path).split("/")]
        if address.query:  # two files of one name, told apart by the query
            parts.insert(-1, digest_bytes(address.query.encode())[:8])
    # No name of a folder above, a drive or a stream may come out of an address.
    safe = [_UNSAFE.sub("_", part) for part in parts if part.strip(".")]
    return weights_dir().joinpath(*first, *safe)


def package_folder(package: str) -> Path | None:
    """Return the folder of an installed package without importing it, None where it is not installed."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def local_path(source: WeightsSource) -> Path | None:
    """Return the file of `source` where it is on this machine, else None."""
    if source.kind == "package":
        folder = package_folder(source.location)
        if folder is not None and (folder / source.filename).is_file():
            return folder / source.filename
    path = fetched_path(source)
    return path if path.is_file() else None


def needs_digest(source: WeightsSource) -> bool:
    """Return whether the catalogue's address for a file is one that a whole sha256 alone could justify."""
    return source.kind == "url" and is_plain_http(source.location) and not source.is_verified


def weights_state(entry: ModelEntry | WeightsEntry) -> WeightsState:
    """Return where the weights of `entry` are: its first source that is on this machine decides."""
    if isinstance(entry, ModelEntry):
        states = [weights_state(each.weights) for each in entry.singles]
        return max(states, key=get_args(WeightsState).index)
    for source in entry.sources:
        path = local_path(source)
        if path is None:
            continue
        if source.kind == "file":
            return "file"
        if path != fetched_path(source):
            return "package"
        return "cached" if source.is_verified or _is_vouched_for(source) else "unverified"
    if all(needs_digest(source) and not _is_vouched_for(source) for source in entry.sources):
        return "no source"
    return "missing"


def is_available(entry: ModelEntry | WeightsEntry) -> bool:
    """Return whether the weights of `entry` are on this machine."""
    return weights_state(entry) not in ("missing", "no source")


def _is_vouched_for(source: WeightsSource) -> bool:
    """Return whether the user has stated the whole sha256 of the file, now or for an earlier copy of it."""
    pin = read_pin(fetched_path(source))
    return pin is not None and pin.is_verified
