"""Rows of features by the content of their pictures, as files hold them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.data import ImageDataset
from headstart.data.columns import Digests, Keys
from headstart.data.index import Index, first_rows
from headstart.data.partition import content_groups

Features: TypeAlias = npt.NDArray[np.float32]


def pack_keys(digests: Sequence[str]) -> Keys:
    """Return digests as bytes."""
    return Digests.of(digests).keys


def find_places(digests: Sequence[str]) -> Index:
    """Return what finds the place of each digest."""
    return Index(Digests.of(digests))


def fill(out: Features, found: npt.NDArray[np.bool_], places: Index, keys: Keys, features: Features) -> None:
    """Put rows where they belong; those that nobody asked for, and those of another length, are passed over.

    Args:
        out: float32 of shape (N, D), is filled.
        found: bool of shape (N,), becomes True for the rows that are filled.
        places: row of `out` of each digest.
        keys: of n rows.
        features: float32 of shape (n, D).
    """
    if features.shape[1:] != out.shape[1:]:
        return
    targets = places.find(Digests(keys))
    if (targets < 0).any():
        features, targets = features[targets >= 0], targets[targets >= 0]
    out[targets] = features
    found[targets] = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contents:
    """The M different contents among the N pictures of a data set, in the order of their first pictures.

    Attributes:
        first: int64 of shape (M,): the first picture with each.
        of_picture: int64 of shape (N,): which content a picture has.
    """

    first: npt.NDArray[np.int64]
    of_picture: npt.NDArray[np.int64]

    @classmethod
    def of(cls, dataset: ImageDataset) -> "Contents":
        """Return the contents of a scanned data set."""
        of_picture = content_groups(dataset)
        return cls(first=first_rows(of_picture), of_picture=of_picture)


def content_of(keys: Keys, features: Features) -> str:
    """Return the sha256 of rows."""
    sha = hashlib.sha256(np.ascontiguousarray(keys).data)
    sha.update(np.ascontiguousarray(features).data)
    return sha.hexdigest()
