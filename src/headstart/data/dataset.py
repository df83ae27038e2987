"""Somebody's pictures as one record, whatever they lie in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.core.digest import digest_lists
from headstart.core.errors import DataError, InputError
from headstart.data.columns import Column, Digests, Texts, gathered, parts
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

    Ids, splits, digests and groups may be given as any sequence of texts. They are held packed
    (`headstart.data.columns`), and look like tuples.

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
    ids: Sequence[str]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    source: PictureSource
    given_splits: Sequence[str] | None = None
    digests: Sequence[str] | None = None
    excluded: tuple[Exclusion, ...] = ()
    num_passed_over: int = 0
    groups: Sequence[str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", Texts.of(self.ids))
        for name, kind in (("given_splits", Texts), ("digests", Digests), ("groups", Texts)):
            if (values := getattr(self, name)) is not None:
                object.__setattr__(self, name, kind.of(values))

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
        labels = (each for part in parts(len(self)) for each in self.labels[part].tolist())
        decisive = [self.ids, labels, self.class_names, self.given_splits, self.digests]
        return digest_lists(decisive if self.groups is None else [*decisive, self.groups])

    def select(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> "ImageDataset":
        """Return the data set of the pictures at `indices`, in that order, with all classes kept."""
        rows = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            ids=Texts.of(self.ids).take(rows),
            labels=gathered(self.labels, rows),
            given_splits=_taken(self.given_splits, rows),
            digests=_taken(self.digests, rows),
            groups=_taken(self.groups, rows),
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


def concatenate(datasets: Sequence[ImageDataset]) -> ImageDataset:
    """Return the pictures of several parts of one data set as one data set, part after part.

    Digests, given splits and groups are kept where every part has them.

    Raises:
        InputError: there are no parts, or they come from different data sets.
    """
    if not datasets or any(part.class_names != datasets[0].class_names for part in datasets):
        raise InputError("only parts of one data set can be put together again")
    return replace(
        datasets[0],
        ids=Texts.joined([Texts.of(each.ids) for each in datasets]),
        labels=np.concatenate([each.labels for each in datasets]),
        given_splits=_together([each.given_splits for each in datasets]),
        digests=_together([each.digests for each in datasets]),
        groups=_together([each.groups for each in datasets]),
    )


def _taken(values: Sequence[str] | None, rows: npt.NDArray[np.int64]) -> Column | None:
    """Return rows of what may be known of each picture."""
    return values.take(rows) if isinstance(values, Column) else None


def _together(columns: Sequence[Sequence[str] | None]) -> Column | None:
    """Return what may be known of each picture for all parts, None where it is not known of one."""
    known = [each for each in columns if isinstance(each, Column)]
    return type(known[0]).joined(known) if len(known) == len(columns) else None


def check_classes(dataset: ImageDataset) -> None:
    """Raise DataError where a class has no picture to train on."""
    empty = [dataset.class_names[index] for index in np.flatnonzero(dataset.class_counts() == 0)]
    if empty:
        raise DataError(
            f"the class {empty[0]!r} has no picture to train on",
            hint="give it some pictures in the training part, or leave the class out",
        )
