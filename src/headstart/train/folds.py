"""Which rows a probe is fitted on and which it is tried on, inside the training part."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.train.rows import Index, Integers

HOLDOUT_FROM = 2000
"""From as many rows on one fold is enough to choose by: 400 rows tell strengths half a decade apart."""

SKETCH_FROM = 4000
"""From as many rows to fit on it saves time to try the strengths on some of them first."""

MAX_SKETCH = 8000
"""Rows of the sketch at most, and at most a quarter: enough to come within a strength or two of the best."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """In which order to hold the rows, and which of them are fitted and tried.

    Attributes:
        order: int64 of shape (N,): indices of the rows as they were given.
        folds: pairs of places in that order to fit on and to try on; slices where there is one pair, so that
            no copies are needed.
        num_sketch: as many rows from the first on, stratified, are worth a look before all that are fitted
            on; 0: none.
    """

    order: Integers
    folds: tuple[tuple[Index, Index], ...]
    num_sketch: int


def lay_out(labels: Integers, *, num_folds: int, seed: int) -> Layout:
    """Return how to hold the rows for the folds of `inner_folds`, in time and memory linear in N.

    Args:
        labels: int64 of shape (N,), in [0, K).
        num_folds: how many parts the rows are dealt to, at least 2.
        seed: decides which rows go together.
    """
    folds = tuple(inner_folds(labels, num_folds=num_folds, seed=seed))
    if len(folds) != 1 or len(labels) < HOLDOUT_FROM:
        return Layout(order=np.arange(len(labels)), folds=folds, num_sketch=0)
    ((fitted, tried),) = folds
    num_fitted, num_sketch = len(fitted), 0
    if num_fitted >= SKETCH_FROM:
        sketched = _sketch(labels[fitted], min(MAX_SKETCH, num_fitted // 4), seed=seed)
        num_sketch = int(sketched.sum())
        fitted = np.concatenate([fitted[sketched], fitted[~sketched]])
    return Layout(
        order=np.concatenate([fitted, tried]),
        folds=((slice(0, num_fitted), slice(num_fitted, len(labels))),),
        num_sketch=num_sketch,
    )


def inner_folds(labels: Integers, *, num_folds: int, seed: int) -> Iterator[tuple[Integers, Integers]]:
    """Yield pairs of (indices to fit on, indices to try on); together each pair is all rows.

    Every class is spread evenly over the folds, and has a row to fit on in each pair: a row that is the only
    one of its class is never tried on. From `HOLDOUT_FROM` rows on there is one pair, below that one a fold;
    none where every class has a single row.

    Args:
        labels: int64 of shape (N,), in [0, K).
        num_folds: how many parts the rows are dealt to, at least 2.
        seed: decides which rows go together.
    """
    counts = np.bincount(labels)
    by_class = _shuffled_by_class(labels, seed=seed)
    dealt = by_class[counts[labels[by_class]] > 1]
    fold = np.full(len(labels), -1)
    fold[dealt] = np.arange(len(dealt)) % num_folds
    for number in range(1 if len(labels) >= HOLDOUT_FROM else num_folds):
        tried = fold == number
        if tried.any():
            yield np.flatnonzero(~tried), np.flatnonzero(tried)


def _shuffled_by_class(labels: Integers, *, seed: int) -> Integers:
    """Return the indices of all rows, class after class, in random order within each."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class: Integers = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return by_class


def _sketch(labels: Integers, num: int, *, seed: int) -> npt.NDArray[np.bool_]:
    """Return which rows are about `num` of them with every class in its share, and with one row at least."""
    by_class = _shuffled_by_class(labels, seed=seed)
    chosen = np.zeros(len(labels), dtype=np.bool_)
    chosen[by_class[np.linspace(0, len(labels) - 1, num).astype(np.int64)]] = True
    chosen[by_class[np.unique(labels[by_class], return_index=True)[1]]] = True
    return chosen
