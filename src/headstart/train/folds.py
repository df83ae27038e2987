"""Which rows a probe is fitted on and which it is tried on, inside the training part."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

HOLDOUT_FROM = 2000
"""From as many rows on one fold is enough to choose by: 400 rows tell strengths half a decade apart."""


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
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    dealt = by_class[counts[labels[by_class]] > 1]
    fold = np.full(len(labels), -1)
    fold[dealt] = np.arange(len(dealt)) % num_folds
    for number in range(1 if len(labels) >= HOLDOUT_FROM else num_folds):
        tried = fold == number
        if tried.any():
            yield np.flatnonzero(~tried), np.flatnonzero(tried)
