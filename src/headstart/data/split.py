"""Parts of a data set: the three splits, and a smaller sample of the whole."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.core.errors import InputError
from headstart.data.dataset import ImageDataset, Splits
from headstart.data.partition import TRAIN_MIN_PER_CLASS, are, check_classes

DEFAULT_TEST_SHARE = 0.2

__all__ = ["DEFAULT_TEST_SHARE", "Sample", "Splits", "require_classes", "sample", "split"]


def split(
    dataset: ImageDataset, *, test: float = DEFAULT_TEST_SHARE, val: float = 0.2, seed: int = 0
) -> Splits:
    """Split `dataset`; the same as `ImageDataset.split`, which says how."""
    return dataset.split(test=test, val=val, seed=seed)


def require_classes(dataset: ImageDataset, *, minimum_per_class: int = TRAIN_MIN_PER_CLASS) -> None:
    """Refuse a data set that no classifier can be trained on.

    Args:
        dataset: the pictures.
        minimum_per_class: how many pictures each class must have.

    Raises:
        DataError: fewer than two classes, or a class with fewer pictures than that, which it names.
    """
    check_classes(dataset.class_names, dataset.labels, minimum=minimum_per_class)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """A part of a data set to work with instead of the whole.

    Attributes:
        dataset: the pictures drawn, in the order they had.
        test_share: what to give `split` as `test`, so that its test part has the size asked for; without
            effect where the data set brings its own test split.
    """

    dataset: ImageDataset
    test_share: float


def sample(
    dataset: ImageDataset, *, train: int | None = None, test: int | None = None, seed: int = 0
) -> Sample:
    """Draw a smaller data set: stratified by class, seeded.

    Sample before you scan, so that only the pictures drawn are read. With given splits, `test` pictures are
    drawn from the test split and `train` from the others (val and train in the proportion they have), and a
    number left out takes all of that split. Without, ``train + test`` pictures are drawn in all, and a number
    left out follows from the usual share of a test part, one in five. Asking for more pictures than there
    are takes all of them.

    Args:
        dataset: N pictures.
        train: how many for training and validation together.
        test: how many for the test part.
        seed: of the draw; the same seed gives the same sample.

    Returns:
        The pictures drawn, and the share to split off as test part.

    Raises:
        InputError: a number is below 1, or the seed is negative.
    """
    for option, count in (("train", train), ("test", test)):
        if count is not None and count < 1:
            raise InputError(f"sample: {option}={count} pictures", hint="ask for 1 or more")
    if seed < 0:
        raise InputError(f"seed={seed} cannot seed a draw", hint="give a whole number from 0 up")
    given = dataset.given_splits
    if given is not None and "test" in given:
        is_test = are(given, "test")
        is_val = are(given, "val")
        cells = dataset.labels * 2 + is_val
        chosen = [
            _draw(cells, np.flatnonzero(~is_test), count=train, seed=seed),
            _draw(cells, np.flatnonzero(is_test), count=test, seed=seed),
        ]
        return Sample(dataset=dataset.select(np.sort(np.concatenate(chosen))), test_share=DEFAULT_TEST_SHARE)
    total, share = _total_and_share(train, test)
    everything = np.arange(len(dataset), dtype=np.int64)
    drawn = _draw(dataset.labels, everything, count=total, seed=seed)
    return Sample(dataset=dataset.select(np.sort(drawn)), test_share=share)


def _total_and_share(train: int | None, test: int | None) -> tuple[int | None, float]:
    if train is not None and test is not None:
        return train + test, test / (train + test)
    if train is not None:
        return round(train / (1 - DEFAULT_TEST_SHARE)), DEFAULT_TEST_SHARE
    if test is not None:
        return round(test / DEFAULT_TEST_SHARE), DEFAULT_TEST_SHARE
    return None, DEFAULT_TEST_SHARE


def _draw(
    cells: npt.NDArray[np.int64], pool: npt.NDArray[np.int64], *, count: int | None, seed: int
) -> npt.NDArray[np.int64]:
    """Draw `count` positions of `pool`, from each cell its exact share, rounded by largest remainder."""
    if count is None or count >= len(pool):
        return pool
    values, sizes = np.unique(cells[pool], return_counts=True)
    exact = count * sizes / len(pool)
    quotas = np.floor(exact).astype(np.int64)
    left_over = np.argsort(quotas - exact, kind="stable")[: count - int(quotas.sum())]
    quotas[left_over] += 1
    drawn = [
        np.random.default_rng([seed, int(value)]).permutation(pool[cells[pool] == value])[:quota]
        for value, quota in zip(values, quotas, strict=True)
    ]
    return np.concatenate(drawn)
