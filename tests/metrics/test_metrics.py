"""The metrics against scikit-learn, and against what they must be by definition."""

import numpy as np
import pytest
import sklearn.metrics as reference

from headstart import metrics
from headstart.core.errors import InputError


def predictions(*, n, num_classes, seed, sharpness=1.0):
    """Return labels drawn from the probabilities themselves, so that these are perfectly calibrated."""
    generator = np.random.default_rng(seed)
    logits = sharpness * generator.normal(size=(n, num_classes))
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = (probabilities.cumsum(axis=1) > generator.random((n, 1))).argmax(axis=1)
    return labels, probabilities


@pytest.mark.parametrize("num_classes", [2, 3, 40])  # 40: more classes than occur
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_agrees_with_scikit_learn(num_classes, seed):
    labels, probabilities = predictions(n=60, num_classes=num_classes, seed=seed)
    predicted = probabilities.argmax(axis=1)
    occurring = np.unique(labels)
    assert metrics.accuracy(labels, probabilities) == reference.accuracy_score(labels, predicted)
    assert metrics.balanced_accuracy(labels, probabilities) == pytest.approx(
        reference.recall_score(labels, predicted, labels=occurring, average="macro")
    )
    assert metrics.macro_f1(labels, probabilities) == pytest.approx(
        reference.f1_score(labels, predicted, average="macro", zero_division=0)
    )
    assert metrics.log_loss(labels, probabilities) == pytest.approx(
        reference.log_loss(labels, probabilities, labels=range(num_classes))
    )
    np.testing.assert_array_equal(
        metrics.confusion_matrix(labels, probabilities),
        reference.confusion_matrix(labels, predicted, labels=range(num_classes)),
    )


def test_rows_of_the_confusion_matrix_are_true_classes():
    probabilities = np.array([[0.1, 0.9, 0.0], [0.2, 0.7, 0.1]])
    matrix = metrics.confusion_matrix(np.array([0, 0]), probabilities)
    assert matrix.tolist() == [[0, 2, 0], [0, 0, 0], [0, 0, 0]]


def test_log_loss_of_a_sure_mistake_is_finite_and_the_same_in_any_precision():
    probabilities = np.array([[1.0, 0.0]])
    losses = [metrics.log_loss(np.array([1]), probabilities.astype(dtype)) for dtype in ("f2", "f4", "f8")]
    assert losses == [pytest.approx(23 * np.log(2))] * 3
    assert metrics.log_loss(np.array([0]), probabilities) == 0


def test_only_predicted_classes_count_in_macro_f1_but_not_in_balanced_accuracy():
    labels = np.array([0, 0, 0, 0])
    probabilities = np.eye(3)[[0, 0, 0, 1]]
    assert metrics.balanced_accuracy(labels, probabilities) == 0.75
    assert metrics.macro_f1(labels, probabilities) == pytest.approx((6 / 7 + 0) / 2)


@pytest.mark.parametrize("gap", [0.05, 0.2])
def test_calibration_error_finds_a_known_gap(gap):
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.7, 1, size=20_000)
    correct = generator.random(20_000) < confidence - gap
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.where(correct, 0, 1)
    assert metrics.calibration_error(labels, probabilities) == pytest.approx(gap, abs=0.01)


def test_calibration_error_is_debiased():
    """On few pictures of a perfect model the plain estimate is large; the debiased square is 0 on average."""
    debiased, plain = [], []
    for seed in range(200):
        labels, probabilities = predictions(n=150, num_classes=4, seed=seed)
        confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        bins, num_bins = metrics.confidence_bins(confidence)
        counts = np.bincount(bins, minlength=num_bins)
        num_correct = np.bincount(bins, weights=correct, minlength=num_bins)
        sums = np.bincount(bins, weights=confidence, minlength=num_bins)
        debiased.append(metrics.squared_calibration_error(counts, num_correct, sums))
        plain.append((counts * ((sums - num_correct) / counts) ** 2).sum() / counts.sum())
    assert np.mean(plain) > 0.015
    assert abs(np.mean(debiased)) < 3 * np.std(debiased) / np.sqrt(200)


def test_calibration_error_does_not_depend_on_the_order_of_the_pictures():
    labels, probabilities = predictions(n=400, num_classes=3, seed=0)
    probabilities = np.round(probabilities, 1)  # many equal confidences
    probabilities[:, 0] += 1 - probabilities.sum(axis=1)
    probabilities = probabilities.clip(0, 1)
    order = np.random.default_rng(0).permutation(400)
    assert metrics.calibration_error(labels, probabilities) == pytest.approx(
        metrics.calibration_error(labels[order], probabilities[order]), abs=1e-12
    )


def test_bins_hold_equal_mass():
    bins, num_bins = metrics.confidence_bins(np.random.default_rng(0).random(1500))
    assert num_bins == 15
    assert np.bincount(bins).tolist() == [100] * 15
    assert metrics.confidence_bins(np.full(100, 0.5))[1] <= 2
    assert metrics.confidence_bins(np.array([0.5]))[1] == 1


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        (np.array([0, 1]), np.array([[1.0, 0.0]]), "expected \\(N,\\) and \\(N, K\\)"),
        (np.array([], dtype=int), np.empty((0, 2)), "at least one row"),
        (np.array([0]), np.array([1.0]), "expected \\(N,\\) and \\(N, K\\)"),
        (np.array([0.0]), np.array([[1.0, 0.0]]), "dtype float64"),
        (np.array([0]), np.array([[1, 0]]), "expected integers and floats"),
        (np.array([2]), np.array([[1.0, 0.0]]), "labels from 2 to 2"),
        (np.array([-1]), np.array([[1.0, 0.0]]), "labels from -1 to -1"),
        (np.array([0]), np.array([[3.0, -2.0]]), "row sums"),
        (np.array([0]), np.array([[3.0, 2.0]]), "sums of 1"),
        (np.array([0]), np.array([[np.nan, 1.0]]), "nan"),
    ],
)
@pytest.mark.parametrize(
    "metric",
    [
        metrics.accuracy,
        metrics.balanced_accuracy,
        metrics.macro_f1,
        metrics.log_loss,
        metrics.calibration_error,
        metrics.confusion_matrix,
    ],
)
def test_refuses_arrays_that_do_not_fit(metric, labels, probabilities, message):
    with pytest.raises(InputError, match=message):
        metric(labels, probabilities)
