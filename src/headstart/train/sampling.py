"""Which training pictures make up which step: a function of seed and epoch alone."""

import numpy as np
import numpy.typing as npt

from headstart.train.recipe import Balance

Integers = npt.NDArray[np.int64]


def draw_epoch(labels: Integers, *, seed: int, epoch: int, balance: Balance) -> Integers:
    """Return the order of an epoch's pictures, int64 of shape (N,).

    Every picture comes once; with "sampling" every class comes equally often instead, the pictures of a small
    one several times, none of them twice before all others of its class have come once more.

    Args:
        labels: int64 of shape (N,).
        seed: of the draw.
        epoch: from 0.
        balance: as in `Recipe`.
    """
    draws = np.random.default_rng([seed, epoch])
    if balance != "sampling":
        return draws.permutation(len(labels))
    classes = np.unique(labels)
    shares = np.array_split(np.arange(len(labels)), len(classes))
    chosen = [
        _repeated(np.flatnonzero(labels == label), len(share), draws)
        for label, share in zip(classes, shares, strict=True)
    ]
    return draws.permutation(np.concatenate(chosen))


def class_weights(labels: Integers, *, num_classes: int, balance: Balance) -> npt.NDArray[np.float32]:
    """Return what a picture of each class counts in the loss, float32 of shape (K,), 1 on average of all."""
    if balance != "weights":
        return np.ones(num_classes, np.float32)
    counts = np.bincount(labels, minlength=num_classes)
    weights: npt.NDArray[np.float32] = (
        len(labels) / (len(np.unique(labels)) * np.maximum(counts, 1))
    ).astype(np.float32)
    return weights


def _repeated(pictures: Integers, count: int, draws: np.random.Generator) -> Integers:
    """Return `count` of the pictures, each as often as any other or once more."""
    rounds = -(-count // len(pictures))
    return np.concatenate([draws.permutation(pictures) for _ in range(rounds)])[:count]
