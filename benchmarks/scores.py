"""Published scores of how well a network's features suit a task, as selection.py's baselines.

Each takes features, float of shape (n, D), or probabilities of the classes that the network was pretrained
on, float of shape (n, Z), and labels, int64 of shape (n,) in [0, K), of the same pictures. Higher is better.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.covariance import ledoit_wolf

_STEPS, _TOLERANCE, _EPSILON = 11, 1e-3, 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """All scores of one candidate; those of a head are -inf where there is none."""

    log_me: float
    h_score: float
    leep: float
    nce: float
    k_nn: float


def score(features: np.ndarray, probabilities: np.ndarray | None, labels: np.ndarray) -> Scores:
    """Return all scores."""
    return Scores(
        log_me=log_me(features, labels),
        h_score=h_score(features, labels),
        leep=leep(probabilities, labels) if probabilities is not None else -np.inf,
        nce=nce(probabilities.argmax(1), labels) if probabilities is not None else -np.inf,
        k_nn=k_nn(features, labels),
    )


def log_me(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the log evidence of a Bayesian linear model, a mean over classes and pictures.

    Source: You et al. 2021, https://arxiv.org/abs/2102.11005, with the fixed point of You et al. 2022,
        https://arxiv.org/abs/2110.10545, on the features as they are.
    """
    rows = features.astype(np.float64)
    n, width = rows.shape
    squares, left = np.linalg.eigh(rows @ rows.T if n <= width else rows.T @ rows)
    kept = squares > squares[-1] * 1e-12
    squares, left = squares[kept], left[:, kept]
    if n > width:
        left = rows @ left / np.sqrt(squares)
    return float(
        np.mean(
            [_evidence((labels == each).astype(float), squares, left, width) for each in np.unique(labels)]
        )
    )


def _evidence(target: np.ndarray, squares: np.ndarray, left: np.ndarray, width: int) -> float:
    n, projected = len(target), np.square(left.T @ target)
    outside = max(0.0, float(target @ target - projected.sum()))
    alpha = beta = 1.0
    for _ in range(_STEPS):
        ratio = alpha / beta
        gamma = (squares / (squares + ratio)).sum()
        weight = (squares * projected / np.square(squares + ratio)).sum()
        residual = (projected / np.square(1 + squares / ratio)).sum() + outside
        alpha, beta = gamma / (weight + _EPSILON), (n - gamma) / (residual + _EPSILON)
        if abs(alpha / beta - ratio) <= _TOLERANCE * ratio:
            break
    determinant = np.log(alpha + beta * squares).sum() + (width - len(squares)) * np.log(alpha)
    evidence = width * np.log(alpha) + n * np.log(beta) - determinant - n * np.log(2 * np.pi)
    return float((evidence - beta * residual - alpha * weight) / (2 * n))


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the regularised H-score: trace of (covariance, shrunk)^-1 (covariance of the class means).

    Source: Ibrahim, Ponomareva and Mazumder 2021, https://arxiv.org/abs/2110.06893.
    """
    rows = features.astype(np.float64)
    rows -= rows.mean(axis=0)
    covariance, shrinkage = ledoit_wolf(rows, assume_centered=True)
    classes, counts = np.unique(labels, return_counts=True)
    means = np.stack([rows[labels == each].mean(axis=0) for each in classes])  # (K, D)
    solved = np.linalg.solve(covariance + 1e-12 * np.eye(len(covariance)), means.T)  # (D, K)
    return float((1 - shrinkage) * (counts / len(rows) * (means * solved.T).sum(axis=1)).sum())


def leep(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean log likelihood of the labels by way of the network's own classes.

    Source: Nguyen et al. 2020, https://arxiv.org/abs/2002.12462.
    """
    joint = np.eye(labels.max() + 1)[labels].T @ probabilities / len(labels)  # (K, Z)
    given = joint / np.maximum(joint.sum(axis=0), 1e-30)
    return float(np.log(np.maximum((probabilities * given[labels]).sum(axis=1), 1e-30)).mean())


def nce(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Return minus the entropy, in nats, of the labels given the network's most probable own class.

    Source: Tran, Nguyen and Hassner 2019, https://arxiv.org/abs/1908.08142.
    """
    joint = np.zeros((labels.max() + 1, predicted.max() + 1))
    np.add.at(joint, (labels, predicted), 1 / len(labels))
    given = joint / np.maximum(joint.sum(axis=0), 1e-30)
    return float((joint * np.log(np.where(given > 0, given, 1))).sum())


def k_nn(features: np.ndarray, labels: np.ndarray, *, k: int = 10, temperature: float = 0.07) -> float:
    """Return the accuracy of the nearest neighbours by cosine, each picture left out of its own vote.

    Source: k, weights and temperature of Oquab et al. 2023, https://arxiv.org/abs/2304.07193.
    """
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    similarities = unit @ unit.T
    np.fill_diagonal(similarities, -np.inf)
    nearest = np.argsort(-similarities, axis=1)[:, : min(k, len(labels) - 1)]
    weights = np.exp(np.take_along_axis(similarities, nearest, axis=1) / temperature)
    votes = np.einsum("nk,nkc->nc", weights, np.eye(labels.max() + 1)[labels[nearest]])
    return float((votes.argmax(axis=1) == labels).mean())
