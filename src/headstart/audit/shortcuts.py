"""Can the class be told from what should say nothing of it?"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headstart.audit.records import Shortcut
from headstart.data.headers import Header
from headstart.evaluate import wilson

Integers = npt.NDArray[np.int64]
Table = npt.NDArray[np.float64]

_MAX_PICTURES = 10_000
_NUM_FOLDS = 5
_NUM_TREES = 100
# Guesses: a tenth above chance is no accident of collecting; nor is half of what a network has above chance.
_ABOVE_CHANCE = 0.1
_SHARE_OF_NETWORK = 0.5


def size_table(widths: Integers, heights: Integers, headers: Sequence[Header]) -> Table:
    """Return numbers about size and file format, float64 of shape (N, 5)."""
    return np.column_stack(
        [
            widths,
            heights,
            widths / heights,
            _numbered([header.file_format for header in headers]),
            _numbered([header.mode for header in headers]),
        ]
    )


def camera_table(headers: Sequence[Header]) -> Table:
    """Return numbers about what cameras wrote, float64 of shape (N, 4)."""
    return np.column_stack(
        [
            _numbered([header.camera for header in headers]),
            _numbered([header.software for header in headers]),
            [header.orientation for header in headers],
            [header.taken for header in headers],
        ]
    )


def measure_shortcut(
    source: str,
    table: Table,
    labels: Integers,
    groups: Integers,
    *,
    network_accuracy: float | None,
    seed: int,
) -> Shortcut | None:
    """Return how well the class is told from a table, or None where it cannot be: all rows are the same.

    Args:
        source: what the table is of.
        table: float64 of shape (N, F).
        labels: int64 of shape (N,).
        groups: int64 of shape (N,): what stays together in cross-validation.
        network_accuracy: what must be neared to be suspicious, where a picture's content may well say
            something; None where anything above chance is suspicious.
        seed: of the sample, the folds and the trees.
    """
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    if (table == table[0]).all():
        return None
    chosen = np.sort(np.random.default_rng(seed).permutation(len(labels))[:_MAX_PICTURES])
    counts = np.bincount(labels[chosen], minlength=int(labels.max()) + 1)
    chosen = chosen[counts[labels[chosen]] >= _NUM_FOLDS]
    if len(np.unique(labels[chosen])) < 2:
        return None
    num_folds = min(_NUM_FOLDS, len(np.unique(groups[chosen])))
    if num_folds < 2:
        return None
    trees = ExtraTreesClassifier(_NUM_TREES, min_samples_leaf=3, random_state=seed, n_jobs=-1)
    folds = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    told = cross_val_predict(trees, table[chosen], labels[chosen], groups=groups[chosen], cv=folds)
    accuracy = wilson(int((told == labels[chosen]).sum()), len(chosen))
    chance = float(np.bincount(labels[chosen]).max() / len(chosen))
    enough = chance + _ABOVE_CHANCE
    if network_accuracy is not None:
        enough = max(enough, chance + _SHARE_OF_NETWORK * (network_accuracy - chance))
    return Shortcut(source=source, accuracy=accuracy, chance=chance, is_suspicious=accuracy.low > enough)


def _numbered(texts: Sequence[str]) -> Integers:
    numbers: Integers = np.unique(np.array(texts, dtype=np.str_), return_inverse=True)[1].astype(np.int64)
    return numbers
