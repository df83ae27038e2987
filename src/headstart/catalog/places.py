"""Where a weight set's file lies on this machine, found without opening or fetching anything.

Fetched files lie below `weights_dir()` under the address they came from, so that a person can see what they
are: ``download.pytorch.org/models/resnet50-0676ba61.pth``, ``huggingface.co/timm/…/model.safetensors``.
"""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from headstart.catalog.entry import ModelEntry, WeightsEntry, WeightsSource
from headstart.core.digest import digest_bytes
from headstart.core.paths import weights_dir

WeightsState: TypeAlias = Literal["package", "cached", "file", "missing"]
"""In an installed package; fetched earlier; the user's own file; not on this machine."""


def fetched_path(source: WeightsSource) -> Path:
    """Return where the file of a "url" or "hub" source lies once it is fetched; it need not exist."""
    if source.kind == "hub":
        parts = ["huggingface.co", *source.location.split("/"), *source.filename.split("/")]
    else:
        address = urlsplit(source.location)
        parts = [address.netloc, *unquote(address.path).split("/")]
        if address.query:  # two files of one name, told apart by the query
            parts.insert(-1, digest_bytes(address.query.encode())[:8])
    # No name of a folder above, a drive or a stream may come out of an address.
    safe = [re.sub(r"[^\w.+=-]", "_", part) for part in parts if part.strip(".")]
    return weights_dir().joinpath(*safe)


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
        path = None if folder is None else folder / source.filename
    elif source.kind == "file":
        path = Path(source.location)
    else:
        path = fetched_path(source)
    return path if path is not None and path.is_file() else None


def weights_state(entry: ModelEntry | WeightsEntry) -> WeightsState:
    """Return where the weights of `entry` are: its first source that is on this machine decides."""
    weights = entry.weights if isinstance(entry, ModelEntry) else entry
    for source in weights.sources:
        if local_path(source) is not None:
            return "cached" if source.kind in ("url", "hub") else source.kind  # type: ignore[return-value]
    return "missing"
