"""How much more pictures would help: probes on parts of the training part, and what follows from them.

The features are there already, so a part costs one fit of a probe. Its accuracy is that of pictures that no
probe saw, the same for all sizes: what they have in common by chance falls out of the differences.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from headstart.compare.advice_records import LearningCurve
from headstart.compare.extrapolation import Integers, Measured, describe_curve
from headstart.compare.metric import Metric
from headstart.compare.power_law import Floats
from headstart.embed.matrix import select_rows
from headstart.train import LinearProbe

Features = npt.NDArray[np.float32]

# The pieces that the rows are dealt to, in this order, so that halves and quarters of them get the same share
# of what does not come out even; every part is some pieces in a row.
_PIECES = np.array([0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15])
# (divisor, draws): parts of 1 / divisor of the rows. Many rows take longer, and vary less with the draw.
_FEW_ROWS, _MANY_ROWS = ((8, 4), (4, 2), (2, 2)), ((16, 2), (8, 2), (4, 1))
_MANY_FROM = 8000
# A row of each class is in every part; where this makes it larger by more than a tenth, it is left out.
_MAX_ADDED = 0.1


def learning_curve(
    features_train: Features,
    labels_train: Integers,
    features_val: Features,
    labels_val: Integers,
    *,
    regularization: float,
    correct: npt.ArrayLike | None = None,
    metric: Metric = "accuracy",
    seed: int,
    device: str = "cpu",
) -> LearningCurve | None:
    """Return the learning curve of a candidate with a validation part.

    Every probe has the strength that was chosen on all rows times the root of how many times fewer it has, as
    `headstart.train.sweep` expects the best to move; on digits and CIFAR-10 that was within 0.3 points of a
    strength chosen anew.

    Args:
        features_train: float32 of shape (N, D).
        labels_train: int64 of shape (N,), in [0, K).
        features_val: float32 of shape (V, D), of pictures that no probe is fitted on.
        labels_val: int64 of shape (V,).
        regularization: strength that was chosen on all training rows.
        correct: of shape (V,), how right the probe of all rows was on each validation picture; None fits it.
        metric: what the accuracies are.
        seed: of parts and draws.
        device: where probes are fitted, as in `LinearProbe`.

    Returns:
        The curve; None where the classes have too few pictures to be cut.
    """

    def wrong(rows: Integers, divisor: int) -> Floats:
        strength = regularization * divisor**0.5
        probe = LinearProbe(strengths=[strength], seed=seed, device=device)
        part = select_rows(features_train, rows)
        predicted = probe.fit(part, labels_train[rows]).predict(features_val)
        return np.asarray(predicted != labels_val, np.float64)

    parts = list(draw_parts(labels_train, seed=seed))
    if not parts:
        return None
    measured = [
        Measured(
            size=float(np.mean([len(rows) for rows in drawn])),
            errors=np.stack([wrong(rows, divisor) for rows in drawn]),
        )
        for divisor, drawn in parts
    ]
    everything = np.arange(len(labels_train))
    last = wrong(everything, 1) if correct is None else 1 - np.asarray(correct, np.float64)
    measured.append(Measured(size=float(len(everything)), errors=last[None]))
    counts = np.bincount(labels_train, minlength=int(labels_val.max()) + 1)
    return describe_curve(measured, labels_val, counts, metric=metric, seed=seed)


def cross_validated_curve(
    features: Features,
    labels: Integers,
    folds: Integers,
    *,
    regularization: float,
    correct: npt.ArrayLike | None = None,
    metric: Metric = "accuracy",
    seed: int,
    device: str = "cpu",
) -> LearningCurve | None:
    """Return the learning curve of a candidate without a validation part, over folds.

    In every fold of every drawing one part of each size is tried on the fold's pictures. The sizes are those
    of the folds' training parts.

    Args:
        features: float32 of shape (N, D).
        labels: int64 of shape (N,), in [0, K).
        folds: int64 of shape (R, N): the fold that each picture is tried in, in each of R drawings.
        regularization: strength that was chosen on the folds' training parts.
        correct: of shape (N,), how right the probes of whole training parts were, on average; None fits them.
        metric: what the accuracies are.
        seed: of parts and draws.
        device: where probes are fitted, as in `LinearProbe`.

    Returns:
        The curve; None where the classes have too few pictures to be cut.
    """
    errors: dict[int, Floats] = {}
    sizes: dict[int, list[int]] = {}
    for repeat, fold in np.ndindex(len(folds), int(folds.max()) + 1):
        tried = folds[repeat] == fold
        for divisor, rows in _rows_to_try(labels, ~tried, repeat, seed=seed):
            sizes.setdefault(divisor, []).append(len(rows))
            if divisor == 1 and correct is not None:
                continue
            probe = LinearProbe(strengths=[regularization * divisor**0.5], seed=seed, device=device)
            probe.fit(select_rows(features, rows), labels[rows])
            predicted = probe.predict(select_rows(features, np.flatnonzero(tried)))
            blank = np.full(folds.shape, np.nan)
            errors.setdefault(divisor, blank)[repeat, tried] = predicted != labels[tried]
    if correct is not None:
        errors[1] = 1 - np.asarray(correct, np.float64)[None]
    # A size that some fold had too few pictures for is left out.
    whole = [each for each in sorted(errors, reverse=True) if not np.isnan(errors[each]).any()]
    if len(whole) < 2:
        return None
    measured = [Measured(size=float(np.mean(sizes[each])), errors=errors[each]) for each in whole]
    counts = np.round(np.bincount(labels) * measured[-1].size / len(labels)).astype(np.int64)
    return describe_curve(measured, labels, counts, metric=metric, seed=seed)


def _rows_to_try(
    labels: Integers, seen: npt.NDArray[np.bool_], repeat: int, *, seed: int
) -> Iterator[tuple[int, Integers]]:
    """Yield (divisor, rows) of a fold's training part: one part of each size, in the end all."""
    rows = np.flatnonzero(seen)
    for divisor, drawn in draw_parts(labels[rows], seed=seed + repeat):
        yield divisor, rows[drawn[repeat % len(drawn)]]
    yield 1, rows


def draw_parts(labels: Integers, *, seed: int) -> Iterator[tuple[int, list[Integers]]]:
    """Yield (divisor, parts): indices of rows, the smallest parts first, without the part that is all rows.

    Parts of one size share no row, so that together they see as much of the rows as they can; some lie in a
    part of the next size. Every class has its share and at least one row, which may be in several parts.

    Args:
        labels: int64 of shape (N,), in [0, K).
        seed: decides which rows go together.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    piece = np.empty(len(labels), np.int64)
    piece[by_class] = _PIECES[np.arange(len(labels)) % len(_PIECES)]
    first = by_class[np.unique(labels[by_class], return_index=True)[1]]  # a row of each class
    for divisor, num_draws in _FEW_ROWS if len(labels) < _MANY_FROM else _MANY_ROWS:
        width = len(_PIECES) // divisor
        drawn = []
        for number in range(num_draws):
            begin = number * divisor // num_draws * width  # spread over the larger parts
            rows = np.flatnonzero((piece >= begin) & (piece < begin + width))
            missing = first[~np.isin(labels[first], labels[rows])]
            if len(rows) == 0 or len(missing) > _MAX_ADDED * len(rows):
                break
            drawn.append(np.concatenate([rows, missing]))
        else:
            yield divisor, drawn
