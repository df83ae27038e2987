"""Labels that may well be wrong, by a probe that never saw the picture in question."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.core.errors import MissingExtraError
from headstart.embed.matrix import select_rows
from headstart.train import LinearProbe

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

NUM_FOLDS = 5
_SURE = 0.8
"""What the probe must give another class. A weak probe doubts much that is right: of 4,000 clean pictures of
CIFAR-10 it doubts 369 without this, and 99 with it."""


def predict_out_of_fold(features: Floats, labels: Integers, groups: Integers, *, seed: int) -> Floats:
    """Return probabilities, float32 of shape (N, K), each by a probe fitted on other groups.

    Args:
        features: float32 of shape (N, D).
        labels: int64 of shape (N,), K classes, each in two groups or more.
        groups: int64 of shape (N,): what stays together.
        seed: of the folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    num_folds = min(NUM_FOLDS, count_groups(labels, groups))
    folds: Any = StratifiedKFold(num_folds, shuffle=True, random_state=seed).split(labels, labels)
    if len(np.unique(groups)) < len(groups):  # this one takes long
        grouped = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
        folds = grouped.split(labels, labels, groups)
    num_classes = int(labels.max()) + 1
    probabilities = np.full((len(labels), num_classes), 1 / num_classes, np.float32)
    for seen, held_out in folds:
        if not len(held_out) or len(np.unique(labels[seen])) < 2:  # a group that is larger than a fold
            continue
        probe = LinearProbe(seed=seed).fit(select_rows(features, seen), labels[seen])
        probabilities[held_out] = 0
        columns = probe.classes_.astype(np.int64)
        probabilities[held_out[:, None], columns] = probe.predict_proba(select_rows(features, held_out))
    return probabilities


def count_groups(labels: Integers, groups: Integers) -> int:
    """Return in how many groups the class lies that is in fewest."""
    pairs = np.unique(np.stack([labels, groups], axis=1), axis=0)
    return int(np.bincount(pairs[:, 0], minlength=int(labels.max()) + 1).min())


def find_label_suspects(labels: Integers, probabilities: Floats) -> Integers:
    """Return the indices of labels that may well be wrong, the likeliest first.

    Args:
        labels: int64 of shape (N,), in [0, K).
        probabilities: float32 of shape (N, K), of predictions that did not see the picture.

    Raises:
        MissingExtraError: cleanlab is not installed.

    Source: Northcutt, Jiang and Chuang 2021, "Confident Learning", https://arxiv.org/abs/1911.00068.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise MissingExtraError(
            "wrong labels are looked for by cleanlab, which is not installed",
            hint="pip install 'headstart[audit]'",
        ) from error
    with warnings.catch_warnings():
        # Of classes with few pictures it doubts less than there may be, and says so on every call.
        warnings.filterwarnings("ignore", "May not flag all label issues")
        doubted: Integers = find_label_issues(
            labels,
            probabilities,
            filter_by="both",
            return_indices_ranked_by="self_confidence",
            n_jobs=1,
        ).astype(np.int64)
    best = probabilities[doubted].argmax(axis=1)
    sure = (best != labels[doubted]) & (probabilities[doubted, best] >= _SURE)
    suspects: Integers = doubted[sure]
    return suspects
