"""Whether a weights file is the one it should be.

The catalogue states the whole sha256, or its first digits, or nothing. Where it does not state all of it, the
user can; else the digest of the first file that arrived is pinned, and what comes later must be equal.
"""

import re
from dataclasses import replace
from pathlib import Path

from headstart.catalog.entry import SHA256_DIGITS, WeightsEntry, WeightsSource
from headstart.catalog.pins import Pin, pin_path, read_pin
from headstart.catalog.places import fetched_path
from headstart.core.digest import digest_file
from headstart.core.errors import CorruptWeightsError, InputError
from headstart.core.files import storage_errors, write_text
from headstart.core.records import dumps
from headstart.weights.mirror import name_in_mirror

# The custom of torch.hub: resnet50-0676ba61.pth. Source: torch/hub.py, HASH_REGEX.
_DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.")
_WHOLE_DIGEST = re.compile(rf"[0-9a-f]{{{SHA256_DIGITS}}}")
_DATE = re.compile(r"(19|20)\d{6}")


def write_pin(path: Path, sha256: str, *, is_verified: bool) -> None:
    """Pin the weights file `path`. Raises StorageError when that cannot be done.

    Args:
        path: the weights file.
        sha256: of its content.
        is_verified: whether that is the whole sha256 that was known beforehand.
    """
    with storage_errors(path, "read"):
        stat = path.stat()
    pin = Pin(sha256=sha256, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns, is_verified=is_verified)
    write_text(pin_path(path), dumps(pin))


def expected_digest(source: WeightsSource) -> str:
    """Return the sha256 that the file of `source` must have or begin with, "" where nothing is known."""
    if source.sha256 or source.kind not in ("url", "hub"):
        return source.sha256
    match = _DIGEST_IN_NAME.search(name_in_mirror(source).rpartition("/")[2])
    return "" if match is None or _DATE.fullmatch(match.group(1)) else match.group(1)


def sources_to_use(weights: WeightsEntry, sha256: str = "") -> tuple[WeightsSource, ...]:
    """Return the sources that may hold the file that is wanted, with what is known of its digest.

    Args:
        weights: the weight set.
        sha256: the whole sha256 as the user states it; without it, the one that they stated earlier counts.

    Raises:
        InputError: `sha256` is no whole sha256, or the catalogue contradicts it.
    """
    sha256 = sha256.strip().lower()
    if sha256 and not _WHOLE_DIGEST.fullmatch(sha256):
        raise InputError(f"{sha256!r} is not a sha256", hint="a sha256 has 64 digits of 0 to 9 and a to f")
    wanted = sha256 or _stated_earlier(weights)
    if not wanted:
        return weights.sources
    fitting = [each for each in weights.sources if wanted.startswith(expected_digest(each))]
    if not fitting:
        stated = ", ".join(dict.fromkeys(expected_digest(each) for each in weights.sources)) or "no source"
        raise InputError(
            f"no source of these weights has a file with the sha256 {wanted}; the catalogue knows {stated}"
        )
    # A size beside digits that are not whole is a rough one.
    return tuple(each if each.is_verified else replace(each, sha256=wanted, size_bytes=0) for each in fitting)


def _stated_earlier(weights: WeightsEntry) -> str:
    """Return the sha256 that the user stated for a file of `weights`, "" where they never did."""
    for source in weights.sources:
        if source.is_verified or source.kind == "file":
            continue
        pin = read_pin(fetched_path(source))
        if pin is not None and pin.is_verified and pin.sha256.startswith(expected_digest(source)):
            return pin.sha256
    return ""


def exact_size(source: WeightsSource) -> int:
    """Return the size that the file must have, 0 where the catalogue knows it roughly or not at all."""
    return source.size_bytes if source.is_verified else 0  # torchvision's are rounded


def digest_of(path: Path, pin: Pin | None) -> str:
    """Return the sha256 of a file; from its pin where size and time of change are still the same."""
    with storage_errors(path, "read"):
        stat = path.stat()
        if pin is not None and (pin.size_bytes, pin.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            return pin.sha256
        return digest_file(path)


def check_digest(found: str, expected: str, *, name: str, pin: Pin | None = None) -> None:
    """Refuse a file whose sha256 is not what it should be.

    Args:
        found: the file's sha256.
        expected: what it must be or begin with, "" where nothing is known.
        name: the file, as the message shall name it.
        pin: what an earlier copy of it was.

    Raises:
        CorruptWeightsError: it is another file.
    """
    if not found.startswith(expected):
        stated = expected if len(expected) == SHA256_DIGITS else f"one that begins with {expected}"
        raise CorruptWeightsError(
            f"{name} has the sha256 {found}; expected {stated}",
            hint="the file is damaged, or not the one that is meant; it is not used",
        )
    if pin is not None and pin.sha256.startswith(expected) and found != pin.sha256:
        raise CorruptWeightsError(
            f"{name} has the sha256 {found}; expected {pin.sha256}, which it had when it was first fetched",
            hint="if its maker is known to have changed it, remove the fetched copies: headstart cache",
        )
