"""The choice of a penalty's strength by the log loss of rows that were held out."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from headstart.train.logistic import (
    Curvature,
    Floats,
    Integers,
    Weights,
    cross_entropies,
    fit_weights,
    logits,
)

SWEEP_TOLERANCE = 1e-4
"""For comparing strengths: on EfficientNet-Lite0 features of CIFAR-10 the log losses are within 0.3 % of
those of a run to the end, and the choice is the same."""

CLEARLY_WORSE = 1.02
"""A strength whose log loss is this many times the best one is past the best."""

PATIENCE = 2
"""Strengths in a row that are clearly worse before the sweep ends."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sweep:
    """What a sweep found.

    Attributes:
        strength: the chosen one.
        start: weights near those of all rows at that strength.
        strengths: those that were tried, strongest first.
        log_losses: of the held-out rows at each, in nats; infinite where none could be held out.
    """

    strength: float
    start: Weights
    strengths: tuple[float, ...]
    log_losses: tuple[float, ...]


def sweep(
    features: Floats,
    labels: Integers,
    *,
    strengths: tuple[float, ...],
    folds: list[tuple[Integers, Integers]],
    curvature: Curvature,
    max_iter: int,
) -> Sweep:
    """Try strengths from strong to weak, each fit starting from the last, until it has clearly got worse.

    Args:
        features: floats of shape (N, D), standardised.
        labels: int64 of shape (N,), in [0, K).
        strengths: strongest first, at least one.
        folds: pairs of (indices to fit on, indices to hold out); the pairs of one strength are fitted in
            threads of their own. None: the middle strength is taken untried.
        curvature: of the features.
        max_iter: limit of solver steps for one fit.
    """
    nothing = _nothing_learned(features, labels)
    if not folds:
        middle = strengths[len(strengths) // 2]
        return Sweep(strength=middle, start=nothing, strengths=(middle,), log_losses=(np.inf,))
    parts = [_Part(features, labels, fitted=fitted, held_out=held_out) for fitted, held_out in folds]
    current = best_weights = [nothing] * len(parts)
    losses: list[float] = []
    with ThreadPoolExecutor(max_workers=min(len(parts), os.cpu_count() or 1)) as pool:
        for strength in strengths:
            fits = [
                pool.submit(part.fit, start, strength=strength, curvature=curvature, max_iter=max_iter)
                for part, start in zip(parts, current, strict=True)
            ]
            current = [fit.result() for fit in fits]
            losses.append(_mean_loss(zip(parts, current, strict=True)))
            if losses[-1] == min(losses):
                best_weights = current
            if all(loss > CLEARLY_WORSE * min(losses) for loss in losses[-PATIENCE:]):
                break
    return Sweep(
        strength=strengths[int(np.argmin(losses))],
        start=_mean_weights(best_weights),
        strengths=strengths[: len(losses)],
        log_losses=tuple(losses),
    )


class _Part:
    """One fold: the rows it is fitted on and those it is tried on."""

    def __init__(self, features: Floats, labels: Integers, *, fitted: Integers, held_out: Integers) -> None:
        self.features, self.labels = features[fitted], labels[fitted]
        self.tried, self.tried_labels = features[held_out], labels[held_out]

    def fit(self, start: Weights, *, strength: float, curvature: Curvature, max_iter: int) -> Weights:
        return fit_weights(
            self.features,
            self.labels,
            strength=strength,
            start=start,
            curvature=curvature,
            tolerance=SWEEP_TOLERANCE,
            max_iter=max_iter,
        ).weights


def _mean_loss(fitted: Iterable[tuple[_Part, Weights]]) -> float:
    entropies = [cross_entropies(logits(part.tried, weights), part.tried_labels) for part, weights in fitted]
    return float(np.concatenate(entropies).mean())


def _nothing_learned(features: Floats, labels: Integers) -> Weights:
    """Return the layer that predicts the classes' shares for all: the optimum of an infinite penalty."""
    counts = np.bincount(labels)
    return Weights(
        coef=np.zeros((len(counts), features.shape[1]), dtype=features.dtype),
        intercept=np.log(counts / len(labels)).astype(features.dtype),
    )


def _mean_weights(weights: list[Weights]) -> Weights:
    """Return the mean over the folds: near the optimum of all rows, which every fold has most of."""
    return Weights(
        coef=np.mean([each.coef for each in weights], axis=0),
        intercept=np.mean([each.intercept for each in weights], axis=0),
    )
