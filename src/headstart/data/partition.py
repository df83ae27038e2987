"""Which picture goes into which part, worked out on labels and digests alone.

The limits below which nothing is locked away are those of the design ("Looks at the test set"): under them
a single held-out part is too noisy to be believed, and cross-validation takes its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.core.errors import DataError, InputError
from headstart.data.columns import Digests, Texts, parts, rows_where
from headstart.data.index import first_rows, numbered

LOCKED_TEST_MIN_PICTURES = 500
"""Fewer pictures than this get no drawn test (or val) part. Source: docs/architecture.md, the design."""
LOCKED_TEST_MIN_PER_CLASS = 20
"""Nor do they when a class has fewer than this. Source: as above."""
TRAIN_MIN_PER_CLASS = 3
"""Different pictures a class needs for training: one for each fold of the smallest cross-validation."""

Indices: TypeAlias = npt.NDArray[np.int64]


class Labelled(Protocol):
    """What of a data set decides its parts; `ImageDataset` documents the fields."""

    @property
    def ids(self) -> Sequence[str]:
        """N texts."""

    @property
    def labels(self) -> Indices:
        """int64 of shape (N,)."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """K names."""

    @property
    def given_splits(self) -> Sequence[str] | None:
        """N of "train", "val", "test", or None."""

    @property
    def digests(self) -> Sequence[str] | None:
        """N digests, or None."""

    @property
    def groups(self) -> Sequence[str] | None:
        """N names of groups, "" for none, or None."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """The outcome: positions in the data set, each int64 and ascending.

    Attributes:
        train: of the train part.
        val: of the validation part, or None.
        test: of the test part, or None.
        given_test: whether the test part is the data set's own.
        dropped: (position, reason) of the pictures that are in no part.
    """

    train: Indices
    val: Indices | None
    test: Indices | None
    given_test: bool
    dropped: tuple[tuple[int, str], ...]


def partition(pictures: Labelled, *, test: float, val: float, seed: int) -> Parts:
    """Choose the parts; `ImageDataset.split` says what holds of them.

    Args:
        pictures: N pictures; without digests, each counts as its own content.
        test: share for the test part, in [0, 1).
        val: share of the rest for the validation part, in [0, 1).
        seed: of the draw.

    Returns:
        Disjoint parts that, with `dropped`, are complete.

    Raises:
        InputError: a share is outside [0, 1), or the seed is negative.
        DataError: fewer than two classes, or a class with too few different pictures for training.
    """
    for option, share in (("test", test), ("val", val)):
        if not 0 <= share < 1:
            raise InputError(f"{option}={share!r} is not a share", hint="give a number from 0 to below 1")
    if seed < 0:
        raise InputError(f"seed={seed} cannot seed a draw", hint="give a whole number from 0 up")
    contents = inseparable(pictures)
    rest, own = _given_parts(pictures)
    rest, own, dropped = _drop_twins(pictures, contents, rest, own)

    drawn_test = drawn_val = None
    if "test" not in own:
        rest, drawn_test = _draw(pictures, contents, rest, share=test, seeds=(seed, 0))
    check_classes(
        pictures.class_names,
        _label_per_content(pictures.labels, contents, rest),
        minimum=TRAIN_MIN_PER_CLASS,
        counted="different pictures" if pictures.groups is None else "groups of pictures",
    )
    if "val" not in own:
        rest, drawn_val = _draw(pictures, contents, rest, share=val, seeds=(seed, 1))
    return Parts(
        train=rest,
        val=own.get("val", drawn_val),
        test=own.get("test", drawn_test),
        given_test="test" in own,
        dropped=dropped,
    )


def check_classes(
    class_names: Sequence[str], labels: Indices, *, minimum: int, counted: str = "different pictures"
) -> None:
    """Refuse pictures that no classifier can be trained on.

    Args:
        class_names: K names.
        labels: int64 of any length, indices into `class_names`, one for each different picture.
        minimum: how many a class must have.
        counted: what `labels` counts, in words.

    Raises:
        DataError: fewer than two classes, or a class with fewer than `minimum`, which it names.
    """
    if len(class_names) < 2:
        only = f": {class_names[0]!r}" if class_names else ""
        raise DataError(
            f"a classifier needs two classes or more, and the pictures have {len(class_names)}{only}",
            hint="lay them out as FOLDER/CLASS/PICTURE, one folder for each class",
        )
    counts = np.bincount(labels, minlength=len(class_names))
    scarce = [int(label) for label in np.flatnonzero(counts < minimum)]
    if scarce:
        named = ", ".join(f"{class_names[label]!r} ({counts[label]})" for label in scarce[:5])
        more = f" and {len(scarce) - 5} more" if len(scarce) > 5 else ""
        raise DataError(
            f"too few {counted} for training in {len(scarce)} of {len(class_names)} classes: "
            f"{named}{more}; each needs {minimum} or more",
            hint="add pictures to these classes, or take the classes out",
        )


def content_groups(pictures: Labelled) -> Indices:
    """Return int64 of shape (N,): the same number for pictures of the same content, else different ones."""
    if pictures.digests is None:
        return np.arange(len(pictures.ids), dtype=np.int64)
    return numbered(Digests.of(pictures.digests))


def repeated_contents(pictures: Labelled) -> list[list[int]]:
    """Return the rows of each content that several pictures have, in the order of their first rows."""
    contents = content_groups(pictures)
    is_first, is_repeated = np.zeros((2, len(contents)), np.bool_)
    is_first[first_rows(contents)] = True
    is_repeated[contents[~is_first]] = True
    groups: dict[int, list[int]] = {}
    for part in parts(len(contents)):
        for row in np.flatnonzero(is_repeated[contents[part]]) + part.start:
            groups.setdefault(int(contents[row]), []).append(int(row))
    return list(groups.values())


def inseparable(pictures: Labelled) -> Indices:
    """Return int64 of shape (N,): the same number for pictures that must stay on one side of a split.

    They have the same content, or the same group, or are linked by others of which that is so.
    """
    contents = content_groups(pictures)
    if pictures.groups is None:
        return contents
    groups = numbered(Texts.of(pictures.groups))
    free = rows_where(are(pictures.groups, ""))
    groups[free] = len(groups) + free  # each a group of its own
    return joined(contents, groups)


def joined(first: Indices, second: Indices) -> Indices:
    """Return int64 of shape (N,): the same number for what either way of grouping, or both in turn, link.

    Args:
        first: int64 of shape (N,), numbers of groups from 0 on.
        second: likewise.
    """
    from scipy.sparse import coo_array  # takes long to import, and groups are rare
    from scipy.sparse.csgraph import connected_components

    num_first = int(first.max(initial=-1)) + 1
    size = num_first + int(second.max(initial=-1)) + 1
    links = np.ones(len(first), np.int8), (first, num_first + second)
    linked = connected_components(coo_array(links, shape=(size, size)), directed=False)[1]
    groups: Indices = linked[first].astype(np.int64)
    return groups


def are(texts: Sequence[str], wanted: str) -> npt.NDArray[np.bool_]:
    """Return bool of shape (N,): which texts are the one that is wanted."""
    return np.fromiter((each == wanted for each in texts), np.bool_, len(texts))


def _given_parts(pictures: Labelled) -> tuple[Indices, dict[str, Indices]]:
    """The positions of the train pictures, and of each other part that the data set brings."""
    if pictures.given_splits is None:
        return np.arange(len(pictures.ids), dtype=np.int64), {}
    given = pictures.given_splits
    positions = {name: rows_where(are(given, name)) for name in ("train", "val", "test")}
    return positions["train"], {name: positions[name] for name in ("val", "test") if positions[name].size}


def _drop_twins(
    pictures: Labelled, contents: Indices, train: Indices, own: dict[str, Indices]
) -> tuple[Indices, dict[str, Indices], tuple[tuple[int, str], ...]]:
    """Take what also lies in a given test part out of train and val, and what lies in val out of train."""
    dropped: list[tuple[int, str]] = []
    parts = {"train": train, **own}
    for kept_name, poorer in (("test", ("val", "train")), ("val", ("train",))):
        if kept_name not in own:
            continue
        twins = {int(contents[index]): int(index) for index in reversed(parts[kept_name])}
        same = "same content as" if pictures.groups is None else "same content or group as"
        for name in poorer:
            if name not in parts:
                continue
            shared = np.isin(contents[parts[name]], contents[parts[kept_name]])
            dropped += [
                (int(index), f"{same} {pictures.ids[twins[int(contents[index])]]} in {kept_name}")
                for index in parts[name][shared]
            ]
            parts[name] = parts[name][~shared]
    rest = parts.pop("train")
    return rest, {name: part for name, part in parts.items() if part.size}, tuple(sorted(dropped))


def _draw(
    pictures: Labelled, contents: Indices, pool: Indices, *, share: float, seeds: tuple[int, int]
) -> tuple[Indices, Indices | None]:
    """Draw `share` of each class of `pool`, contents whole; return (what remains, what was drawn or None)."""
    counts = np.bincount(pictures.labels[pool], minlength=len(pictures.class_names))
    too_small = (
        len(pool) < LOCKED_TEST_MIN_PICTURES or counts.min(initial=len(pool)) < LOCKED_TEST_MIN_PER_CLASS
    )
    if share == 0 or too_small:
        return pool, None
    # A content counts for the class of its first picture, so that one with two labels stays together too.
    unique, first, group_of, sizes = np.unique(
        contents[pool], return_index=True, return_inverse=True, return_counts=True
    )
    label_of = pictures.labels[pool[first]]
    drawn = np.zeros(len(unique), dtype=np.bool_)
    for label in np.unique(label_of):
        groups = np.flatnonzero(label_of == label)
        groups = np.random.default_rng([*seeds, int(label)]).permutation(groups)
        reached = np.concatenate([[0], np.cumsum(sizes[groups])])
        # The prefix whose size is nearest to the share: at most half a group away from it.
        count = int(np.argmin(np.abs(reached - share * reached[-1])))
        drawn[groups[:count]] = True
    inside = drawn[group_of]
    return pool[~inside], pool[inside]


def _label_per_content(labels: Indices, contents: Indices, pool: Indices) -> Indices:
    """The labels of `pool`, each different content of a class once."""
    pairs = np.unique(np.stack([contents[pool], labels[pool]], axis=1), axis=0)  # (number of pairs, 2)
    return pairs[:, 1]
