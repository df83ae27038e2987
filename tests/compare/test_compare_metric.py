"""The metric that fits the classes, what each picture adds to it, and intervals where some count more."""

import numpy as np
import pytest

from headstart import metrics
from headstart.compare.metric import choose_metric, per_picture_credit, picture_weights
from headstart.core.errors import InputError
from headstart.evaluate import paired_difference
from headstart.evaluate.weighted import weighted_difference


@pytest.mark.parametrize(
    ("counts", "metric"),
    [
        ((50, 50), "accuracy"),
        ((75, 25), "accuracy"),  # 3 to 1 just passes
        ((76, 25), "balanced_accuracy"),
        ((1, 1), "accuracy"),
        ((1, 4), "balanced_accuracy"),
        ((100,) * 1000, "accuracy"),
        ((1300,) * 999 + (13,), "balanced_accuracy"),
        ((30, 0, 30), "accuracy"),  # a class without pictures does not count
        ((), "accuracy"),
    ],
)
def test_metric_follows_the_largest_ratio(counts: tuple[int, ...], metric: str) -> None:
    assert choose_metric(counts).metric == metric


def test_reason_names_the_numbers() -> None:
    reason = choose_metric((900, 100)).reason
    assert "9.0 times" in reason
    assert "900 and 100" in reason
    assert "90 %" in reason
    assert "same number" in choose_metric((5, 5)).reason
    assert "3 times" in choose_metric((5, 6)).reason


@pytest.mark.parametrize("num_classes", [2, 1000])
def test_credit_has_the_metric_as_its_mean(num_classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(num_classes), rng.geometric(0.02, 3000) % num_classes])
    probabilities = rng.dirichlet(np.ones(num_classes), len(labels))
    probabilities[np.arange(len(labels)), labels] += rng.random(len(labels))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    correct = np.stack([probabilities.argmax(axis=1) == labels, np.zeros(len(labels))])
    for metric in ("accuracy", "balanced_accuracy"):
        credit = per_picture_credit(correct, labels, metric)
        assert credit.shape == correct.shape
        expected = getattr(metrics, metric)(labels, probabilities)
        assert credit.mean(axis=1) == pytest.approx([expected, 0])


def test_weights_are_of_mean_one_and_equal_for_accuracy() -> None:
    labels = np.array([0, 0, 0, 2])
    assert picture_weights(labels, "accuracy").tolist() == [1, 1, 1, 1]
    assert picture_weights(labels, "balanced_accuracy") == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])


def test_equal_weights_give_the_interval_of_paired_difference() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 60)) < [[0.8], [0.7]]
    plain = paired_difference(a, b, confidence=0.9)
    weighted = weighted_difference(a.astype(float) - b, np.full(60, 7.0), confidence=0.9)
    assert (weighted.value, weighted.low, weighted.high) == pytest.approx(
        (plain.value, plain.low, plain.high)
    )
    assert (weighted.n, weighted.confidence) == (60, 0.9)


def test_weighted_interval_covers_as_often_as_it_says() -> None:
    """Two classes, 9 to 1: the rarer decides half of the balanced accuracy on a tenth of the pictures."""
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], [180, 20])
    weights = picture_weights(labels, "balanced_accuracy")
    chances = np.array([[0.9, 0.6], [0.85, 0.75]])  # of A and B, by class
    truth = float((chances[0] - chances[1]).mean())
    covered = unweighted = 0
    for _ in range(600):
        common = rng.random(200) < 0.5  # half of the pictures are right or wrong for both alike
        a, b = rng.random((2, 200)) < chances[:, labels]
        b = np.where(common & (rng.random(200) < 0.5), b, b)
        difference = a.astype(float) - b
        found = weighted_difference(difference, weights)
        covered += found.low <= truth <= found.high
        plain = paired_difference(a, b)
        unweighted += plain.low <= truth <= plain.high
    assert 0.93 <= covered / 600 <= 0.99
    assert unweighted / 600 < 0.8


def test_one_picture_and_unfit_arrays() -> None:
    found = weighted_difference([1.0], [1.0])
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low < 0.5
    for differences, weights in (([], []), ([0.0, 1.0], [1.0]), ([2.0], [1.0]), ([0.0], [0.0])):
        with pytest.raises(InputError):
            weighted_difference(differences, weights)
    with pytest.raises(InputError):
        weighted_difference([float("nan")], [1.0])
