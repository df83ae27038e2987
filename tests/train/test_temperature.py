"""Temperature scaling: it undoes a known distortion, and keeps still where there is nothing to learn."""

import numpy as np
import pytest

from headstart.core.errors import InputError
from headstart.metrics import log_loss
from headstart.train import fit_temperature


def softmax(scores):
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def calibrated(*, n=5000, seed=0):
    """Return logits, and labels drawn from their softmax."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(n, 5))
    return logits, (softmax(logits).cumsum(axis=1) > generator.random((n, 1))).argmax(axis=1)


@pytest.mark.parametrize("factor", [0.3, 1, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_undoes_a_known_factor(factor, dtype):
    logits, labels = calibrated()
    assert fit_temperature((factor * logits).astype(dtype), labels) == pytest.approx(factor, rel=0.08)


def test_is_the_minimum_of_the_log_loss():
    logits, labels = calibrated(n=300)
    best = fit_temperature(3 * logits, labels)
    losses = [log_loss(labels, softmax(3 * logits / (best * factor))) for factor in (0.95, 1, 1.05)]
    assert losses[1] == min(losses)


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_blocks_of_any_height_say_the_same(rows, monkeypatch):
    logits, labels = calibrated(n=300)
    whole = fit_temperature(3 * logits, labels)
    monkeypatch.setattr("headstart.train.temperature._BLOCK_VALUES", 5 * rows)
    assert fit_temperature(3 * logits, labels) == pytest.approx(whole, rel=1e-6)


def test_logarithms_of_probabilities_do_as_well():
    logits, labels = calibrated(n=300)
    assert fit_temperature(np.log(softmax(2 * logits)), labels) == pytest.approx(
        fit_temperature(2 * logits, labels), rel=1e-3
    )


def test_a_true_class_of_probability_zero_is_one_bad_mistake_not_the_end():
    logits, labels = calibrated(n=300)
    logits[0, labels[0]] = -np.inf
    assert 1.1 < fit_temperature(logits, labels) < 5


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.eye(3), [0, 1, 2]),  # all right: the surer the better, without end
        (np.eye(3), [1, 2, 0]),  # all wrong: the less sure the better
        (np.zeros((3, 3)), [0, 1, 2]),
        (np.ones((4, 1)), [0, 0, 0, 0]),
        (np.array([[0.0, -np.inf]]), [1]),
        (np.array([[1.0, 2.0]]), [1]),
    ],
)
def test_is_one_where_the_data_settle_nothing(logits, labels):
    assert fit_temperature(logits, np.array(labels)) == 1.0


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.eye(3), np.array([0, 1]), "expected \\(N, K\\) and \\(N,\\)"),
        (np.empty((0, 3)), np.array([], int), "at least one row"),
        (np.eye(3), np.array([0, 1, 3]), "integers from 0 to 2"),
        (np.eye(3), np.array([0.0, 1.0, 2.0]), "integers from 0 to 2"),
        (np.full((1, 2), np.nan), np.array([0]), "not finite"),
        (np.full((1, 2), -np.inf), np.array([0]), "not finite"),
        (np.array([[np.inf, 0.0]]), np.array([0]), "not finite"),
        (np.eye(2, dtype=int), np.array([0, 1]), "dtype int64"),
    ],
)
def test_refuses_arrays_that_do_not_fit(logits, labels, message):
    with pytest.raises(InputError, match=message):
        fit_temperature(logits, labels)
