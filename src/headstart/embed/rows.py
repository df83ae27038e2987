"""Rows of features by the content of their pictures, as files hold them."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Features: TypeAlias = npt.NDArray[np.float32]
Keys: TypeAlias = npt.NDArray[np.uint8]
"""sha256 digests as bytes, of shape (n, 32)."""


def pack_keys(digests: Sequence[str]) -> Keys:
    """Return digests as bytes."""
    return np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, 32)


def find_places(digests: Sequence[str]) -> dict[bytes, int]:
    """Return the index of each digest, by its bytes."""
    return {bytes.fromhex(digest): index for index, digest in enumerate(digests)}


def fill(
    out: Features, found: npt.NDArray[np.bool_], places: Mapping[bytes, int], keys: Keys, features: Features
) -> None:
    """Put rows where they belong; those that nobody asked for, and those of another length, are passed over.

    Args:
        out: float32 of shape (N, D), is filled.
        found: bool of shape (N,), becomes True for the rows that are filled.
        places: row of `out` by a digest's bytes.
        keys: of n rows.
        features: float32 of shape (n, D).
    """
    if features.shape[1:] != out.shape[1:]:
        return
    text = keys.tobytes()
    targets = np.array(
        [places.get(text[start : start + 32], -1) for start in range(0, len(text), 32)], np.int64
    )
    if (targets < 0).any():
        features, targets = features[targets >= 0], targets[targets >= 0]
    out[targets] = features
    found[targets] = True


def content_of(keys: Keys, features: Features) -> str:
    """Return the sha256 of rows."""
    sha = hashlib.sha256(np.ascontiguousarray(keys).data)
    sha.update(np.ascontiguousarray(features).data)
    return sha.hexdigest()
