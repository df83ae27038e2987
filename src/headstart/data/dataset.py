"""Somebody's pictures as one record, whatever they lie in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.core.digest import digest_json

Split: TypeAlias = Literal["train", "val", "test"]
RawPicture: TypeAlias = bytes | npt.NDArray[np.uint8]
"""An encoded file, or pixels: uint8 of shape (H, W) grey or (H, W, 3) RGB."""


class PictureSource(Protocol):
    """What the pictures lie in. Safe to read from several threads, and picklable."""

    def read(self, picture_id: str) -> RawPicture:
        """Return one picture as it lies there.

        Raises:
            PictureError: it cannot be read; the message is the reason.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """A picture that is left out, and why.

    Attributes:
        id: the picture's id.
        reason: in words, "truncated: 812 bytes missing".
    """

    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageDataset:
    """N pictures with their labels.

    Attributes:
        name: a short name for folders and titles: "flowers", "digits".
        location: what it was opened from, as the user gave it.
        ids: N texts, unique, stable: the path below the data set's root with "/" between folders.
        labels: int64 of shape (N,), indices into `class_names`.
        class_names: K names, in the order of the labels.
        source: what the pictures are read from.
        given_splits: N of "train", "val", "test" where the data set brings its own splits; else None.
        digests: N sha256 digests of the pictures' raw content, known after a scan; else None.
        excluded: pictures that were found and left out, with their reasons.
    """

    name: str
    location: str
    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    source: PictureSource
    given_splits: tuple[Split, ...] | None = None
    digests: tuple[str, ...] | None = None
    excluded: tuple[Exclusion, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_classes(self) -> int:
        """K, the number of classes."""
        return len(self.class_names)

    @property
    def fingerprint(self) -> str:
        """The sha256 of everything that decides a result: ids, labels, classes, splits and content.

        The content counts where it is known, that is after `scan`.
        """
        return digest_json(
            [self.ids, self.labels.tolist(), self.class_names, self.given_splits, self.digests]
        )

    def select(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> "ImageDataset":
        """Return the data set of the pictures at `indices`, in that order, with all classes kept."""
        chosen = [int(index) for index in indices]
        return replace(
            self,
            ids=tuple(self.ids[index] for index in chosen),
            labels=self.labels[np.asarray(chosen, dtype=np.int64)],
            given_splits=None if self.given_splits is None else tuple(self.given_splits[i] for i in chosen),
            digests=None if self.digests is None else tuple(self.digests[index] for index in chosen),
        )

    def class_counts(self) -> npt.NDArray[np.int64]:
        """Return int64 of shape (K,): the number of pictures in each class."""
        return np.bincount(self.labels, minlength=self.num_classes).astype(np.int64)
