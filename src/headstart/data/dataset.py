"""Somebody's pictures as one record, whatever they lie in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.core.digest import digest_json
from headstart.core.errors import DataError, InputError
from headstart.data.partition import partition

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
        num_passed_over: how many files were found that are not pictures by their name.
        groups: N names; pictures of one name belong together and stay on one side of a split, those of ""
            are free. None where nothing is known of groups.
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
    num_passed_over: int = 0
    groups: tuple[str, ...] | None = None

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
        decisive = [self.ids, self.labels.tolist(), self.class_names, self.given_splits, self.digests]
        return digest_json(decisive if self.groups is None else [*decisive, self.groups])

    def select(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> "ImageDataset":
        """Return the data set of the pictures at `indices`, in that order, with all classes kept."""
        chosen = [int(index) for index in indices]
        return replace(
            self,
            ids=tuple(self.ids[index] for index in chosen),
            labels=self.labels[np.asarray(chosen, dtype=np.int64)],
            given_splits=None if self.given_splits is None else tuple(self.given_splits[i] for i in chosen),
            digests=None if self.digests is None else tuple(self.digests[index] for index in chosen),
            groups=None if self.groups is None else tuple(self.groups[index] for index in chosen),
        )

    def class_counts(self) -> npt.NDArray[np.int64]:
        """Return int64 of shape (K,): the number of pictures in each class."""
        return np.bincount(self.labels, minlength=self.num_classes).astype(np.int64)

    def split(self, *, test: float = 0.2, val: float = 0.2, seed: int = 0) -> "Splits":
        """Split into train, val and test: stratified, seeded, disjoint, also by content.

        Pictures with the same digest or group go to the same side, so scan before you split. Splits that the
        data set brings are kept; what they share is dropped from train (and val) and listed in `excluded`.
        Too small a data set gets no test or no val part: see `headstart.data.partition` for the limits.

        Args:
            test: share of the pictures for the test part, in [0, 1); 0 for none.
            val: share of what remains after the test part, in [0, 1); 0 for none.
            seed: of the draw; the same seed gives the same parts.

        Returns:
            The parts, each with all classes and the pictures in the order they have here.

        Raises:
            InputError: a share is outside [0, 1).
            DataError: fewer than two classes, or a class with under three different pictures for training.
        """
        parts = partition(self, test=test, val=val, seed=seed)
        dropped = tuple(Exclusion(id=self.ids[index], reason=reason) for index, reason in parts.dropped)
        return Splits(
            train=self.select(parts.train),
            val=None if parts.val is None else self.select(parts.val),
            test=None if parts.test is None else self.select(parts.test),
            given_test=parts.given_test,
            seed=seed,
            excluded=self.excluded + dropped,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Splits:
    """A data set in disjoint parts.

    Attributes:
        train: what models are fitted on; all pictures where `val` and `test` are None.
        val: what models are chosen by; None where there are too few pictures: cross-validate `train`.
        test: what is looked at once; None where there are too few pictures to lock some away.
        given_test: whether the data set brought its own test part.
        seed: the seed that the parts were drawn with.
        excluded: pictures that are in no part, with reasons: those of the data set, then those dropped here.
    """

    train: ImageDataset
    val: ImageDataset | None
    test: ImageDataset | None
    given_test: bool
    seed: int
    excluded: tuple[Exclusion, ...] = ()


def concatenate(parts: Sequence[ImageDataset]) -> ImageDataset:
    """Return the pictures of several parts of one data set as one data set, part after part.

    Digests, given splits and groups are kept where every part has them.

    Raises:
        InputError: there are no parts, or they come from different data sets.
    """
    if not parts or any(part.class_names != parts[0].class_names for part in parts):
        raise InputError("only parts of one data set can be put together again")
    digests = [part.digests for part in parts if part.digests is not None]
    given = [part.given_splits for part in parts if part.given_splits is not None]
    groups = [part.groups for part in parts if part.groups is not None]
    return replace(
        parts[0],
        ids=tuple(chain.from_iterable(part.ids for part in parts)),
        labels=np.concatenate([part.labels for part in parts]),
        digests=tuple(chain.from_iterable(digests)) if len(digests) == len(parts) else None,
        given_splits=tuple(chain.from_iterable(given)) if len(given) == len(parts) else None,
        groups=tuple(chain.from_iterable(groups)) if len(groups) == len(parts) else None,
    )


def check_classes(dataset: ImageDataset) -> None:
    """Raise DataError where a class has no picture to train on."""
    empty = [dataset.class_names[index] for index in np.flatnonzero(dataset.class_counts() == 0)]
    if empty:
        raise DataError(
            f"the class {empty[0]!r} has no picture to train on",
            hint="give it some pictures in the training part, or leave the class out",
        )
