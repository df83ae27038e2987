"""Whether a model is right as often as it says: before its temperature, and with it."""

import numpy as np
import numpy.typing as npt

from headstart import metrics
from headstart.compare.records import Calibration, ReliabilityBin
from headstart.evaluate.intervals import wilson

Floats = npt.NDArray[np.float32]

_FLOOR = 1e-12  # of probabilities, before their logarithm


def measure_calibration(
    labels: metrics.Labels, probabilities: Floats, temperature: float, *, is_scaled: bool, is_fresh: bool
) -> Calibration:
    """Return how well probabilities and facts agree, without and with a temperature.

    Args:
        labels: int64 of shape (N,), in [0, K).
        probabilities: float32 of shape (N, K).
        temperature: logits are divided by it.
        is_scaled: whether that was done to `probabilities` already.
        is_fresh: whether the pictures had no say in the temperature.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599:
        reliability diagrams and temperature scaling.
    """
    before = _scaled(probabilities, 1 / temperature) if is_scaled else probabilities
    after = probabilities if is_scaled else _scaled(probabilities, temperature)
    return Calibration(
        before=_bins(labels, before),
        after=_bins(labels, after),
        error_before=metrics.calibration_error(labels, before),
        error_after=metrics.calibration_error(labels, after),
        is_fresh=is_fresh,
    )


def _scaled(probabilities: Floats, temperature: float) -> Floats:
    """Return probabilities as they are when their logits are divided by a temperature."""
    powers = np.log(np.maximum(probabilities, _FLOOR)) / temperature
    raised = np.exp(powers - powers.max(axis=1, keepdims=True))
    scaled: Floats = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
    return scaled


def _bins(labels: metrics.Labels, probabilities: Floats) -> tuple[ReliabilityBin, ...]:
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    bins, num_bins = metrics.confidence_bins(confidence)
    members = [bins == index for index in range(num_bins)]
    return tuple(
        ReliabilityBin(
            confidence=float(confidence[each].mean()),
            accuracy=wilson(int(correct[each].sum()), int(each.sum())),
        )
        for each in members
        if each.any()
    )
