"""Calibration after the fact, by one number."""

import math

import numpy as np
from scipy.optimize import minimize_scalar

from headstart.core.errors import InputError
from headstart.train.rows import Floats, Integers, blocks, softmax_in_place

HOTTEST = 20.0
"""Temperatures are looked for from 1 / this to this."""

_BLOCK_VALUES = 2**18  # logits at once: 2 MiB in float64, which a processor's cache holds
_FLOOR = math.log(np.finfo(np.float32).tiny)  # what came out as 0 in float32 was hardly less than this


def fit_temperature(logits: Floats, labels: Integers) -> float:
    """Return the temperature, from 0.05 to 20, by which logits must be divided for the lowest log loss.

    Above 1 makes the probabilities less sure. Fit it on predictions for pictures that the classifier was not
    fitted on. It is 1 where the data do not settle it: when all pictures are right (the surer the better),
    when hardly any is, or when the logits of each row are alike.

    Args:
        logits: floats of shape (N, K), or logarithms of probabilities. What lies more than 87 below the
            largest of its row, as does the logarithm of 0, counts as 87 below.
        labels: int64 of shape (N,), in [0, K).

    Raises:
        InputError: the arrays do not fit each other, or a logit is not a number.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599,
        section 4.2.
    """
    _check(logits, labels)
    parts = list(blocks(slice(0, len(labels)), max(1, _BLOCK_VALUES // logits.shape[1])))

    def of_part(part: slice, sharpness: float) -> float:
        scores = logits[part].astype(np.float64)
        scores = np.maximum(scores - scores.max(axis=1, keepdims=True), _FLOOR) * sharpness
        return float(softmax_in_place(scores, labels[part]).sum())

    def loss(log_temperature: float) -> float:
        return sum(of_part(part, math.exp(-log_temperature)) for part in parts) / len(labels)

    end = math.log(HOTTEST)
    found = minimize_scalar(loss, bounds=(-end, end), method="bounded", options={"xatol": 1e-4})
    at_an_end = end - abs(float(found.x)) < 1e-2
    if at_an_end or not float(found.fun) < loss(0.0):
        return 1.0
    return math.exp(float(found.x))


def _check(logits: Floats, labels: Integers) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or logits.size == 0:
        raise InputError(
            f"logits of shape {logits.shape} and labels of shape {labels.shape} were given, expected (N, K) "
            "and (N,) with at least one row"
        )
    if labels.dtype.kind not in "iu" or int(labels.min()) < 0 or int(labels.max()) >= logits.shape[1]:
        raise InputError(
            f"labels from {labels.min()} to {labels.max()} were given, expected integers from 0 to "
            f"{logits.shape[1] - 1}"
        )
    # The largest of a row is not-a-number where any of the row is.
    if logits.dtype.kind != "f" or not np.isfinite(logits.max(axis=1)).all():
        raise InputError(
            f"logits of dtype {logits.dtype}, or a row whose largest is not finite, expected finite floats"
        )
