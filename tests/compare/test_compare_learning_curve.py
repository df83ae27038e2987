"""Parts of the training pictures, the curve through them, and whether its intervals are honest."""

from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.datasets import load_digits

from headstart.compare.advice_records import LearningCurve
from headstart.compare.extrapolation import Measured, describe_curve
from headstart.compare.learning_curve import cross_validated_curve, draw_parts, learning_curve
from headstart.compare.power_law import fit_curves
from headstart.core.records import from_json, to_json
from headstart.evaluate import wilson

Integers = npt.NDArray[np.int64]


def digits(
    num_train: int, num_val: int
) -> tuple[npt.NDArray[np.float32], Integers, npt.NDArray[np.float32], Integers]:
    features, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))[: num_train + num_val]
    features, labels = features[order].astype(np.float32), labels[order].astype(np.int64)
    return features[:num_train], labels[:num_train], features[num_train:], labels[num_train:]


@pytest.mark.parametrize("labels", [np.arange(240) % 3, np.arange(9000) % 1000, np.arange(40) // 39])
def test_parts_are_stratified_disjoint_and_hold_every_class(labels: Integers) -> None:
    for divisor, drawn in draw_parts(labels, seed=3):
        kept = [set(rows.tolist()) for rows in drawn]
        assert all(len(np.unique(labels[rows])) == len(np.unique(labels)) for rows in drawn)
        assert all(
            len(rows) == pytest.approx(len(labels) / divisor, abs=1 + len(labels) / divisor / 10)
            for rows in drawn
        )
        shared = [one & other for one, other in combinations(kept, 2)]
        rare = {int(index) for index in np.flatnonzero(np.bincount(labels)[labels] < 16)}
        assert all(each <= rare for each in shared)


def test_parts_that_would_be_another_mixture_are_left_out() -> None:
    assert list(draw_parts(np.arange(1000), seed=0)) == []  # one picture a class
    two_each = [divisor for divisor, _ in draw_parts(np.repeat(np.arange(1000), 2), seed=0)]
    assert two_each == [] or max(two_each) == 2
    assert [divisor for divisor, _ in draw_parts(np.arange(400) % 2, seed=0)] == [8, 4, 2]
    assert [divisor for divisor, _ in draw_parts(np.arange(8000) % 2, seed=0)] == [16, 8, 4]


def test_curve_of_digits() -> None:
    train, train_labels, val, val_labels = digits(300, 200)
    curve = learning_curve(train, train_labels, val, val_labels, regularization=0.003, seed=0)
    assert curve is not None
    assert curve.sizes == (38, 75, 150, 300)
    assert curve.num_draws == (4, 2, 2, 1)
    assert all(one.value < other.value for one, other in pairwise(curve.accuracies))
    assert [each.num_train for each in curve.predictions] == [600, 1200]
    twice, four_times = curve.predictions
    assert 0 < twice.gain.value < four_times.gain.value < 1 - curve.accuracies[-1].value
    assert twice.gain.low <= 0.02 <= twice.gain.high  # on all digits it is 0.015 to 0.025
    assert len(curve.per_class) == 10
    assert sum(each.num_train for each in curve.per_class) == 300
    assert from_json(LearningCurve, to_json(curve)) == curve
    again = learning_curve(train, train_labels, val, val_labels, regularization=0.003, seed=0)
    assert again == curve


def test_what_the_probe_of_all_did_may_be_given() -> None:
    train, train_labels, val, val_labels = digits(160, 50)
    curve = learning_curve(
        train, train_labels, val, val_labels, regularization=0.01, correct=np.arange(50) < 47, seed=0
    )
    assert curve is not None
    assert curve.accuracies[-1].value == pytest.approx(0.94)


def test_cross_validated_curve() -> None:
    features, labels, _, _ = digits(150, 0)
    folds = np.stack([np.random.default_rng(seed).permutation(150) % 3 for seed in range(2)])
    curve = cross_validated_curve(features, labels, folds, regularization=0.01, seed=0)
    assert curve is not None
    assert curve.sizes[-1] == 100
    assert curve.accuracies[0].value < curve.accuracies[-1].value
    assert curve.accuracies[-1].n == 150
    given = cross_validated_curve(
        features, labels, folds, regularization=0.01, correct=np.full(150, 0.5), seed=0
    )
    assert given is not None
    assert given.accuracies[:-1] == curve.accuracies[:-1] or given.accuracies[-1].value == pytest.approx(0.5)
    few, halves = np.repeat([0, 1, 2], 2), np.tile(np.arange(6) % 2, (2, 1))
    assert cross_validated_curve(features[:6], few, halves, regularization=0.01, seed=0) is None


def test_one_picture_a_class_has_no_curve() -> None:
    train, _, val, _ = digits(100, 20)
    assert learning_curve(train, np.arange(100), val, np.arange(20), regularization=0.1, seed=0) is None


def drawn_curve(
    errors_at: tuple[float, ...], *, num_val: int, seed: int, labels: Integers | None = None
) -> LearningCurve:
    """Return the curve of made-up probes whose errors are by chance alone, pictures being hard or easy."""
    rng = np.random.default_rng(seed)
    hardness = rng.random(num_val)
    sizes, draws = (25, 50, 100, 200), (4, 2, 2, 1)
    measured = [
        Measured(
            size=size,
            errors=(hardness < error + rng.normal(0, 0.05, (num, num_val))).astype(float),
        )
        for size, error, num in zip(sizes, errors_at, draws, strict=True)
    ]
    labels = np.arange(num_val) % 2 if labels is None else labels
    return describe_curve(measured, labels, np.bincount(labels), seed=seed)


@pytest.mark.parametrize(("floor", "exponent"), [(0.0, 0.5), (0.2, 0.4), (0.02, 0.9)])
def test_intervals_cover_what_a_power_law_goes_on_to(floor: float, exponent: float) -> None:
    rest = 0.25 - floor
    errors = tuple(floor + rest * (size / 200) ** -exponent for size in (25, 50, 100, 200, 400, 800))
    covered = np.zeros((2, 2))
    for seed in range(60):
        curve = drawn_curve(errors[:4], num_val=400, seed=seed)
        for index, (prediction, then) in enumerate(zip(curve.predictions, errors[4:], strict=True)):
            covered[0, index] += prediction.gain.low <= errors[3] - then <= prediction.gain.high
            covered[1, index] += prediction.accuracy.low <= 1 - then <= prediction.accuracy.high
    assert (covered / 60 >= 0.88).all(), covered / 60


def test_more_validation_pictures_make_it_surer_and_a_flat_curve_promises_little() -> None:
    errors = tuple(0.25 * (size / 200) ** -0.5 for size in (25, 50, 100, 200))
    few, many = (drawn_curve(errors, num_val=num, seed=0).predictions[0].accuracy for num in (100, 5000))
    assert many.high - many.low < 0.7 * (few.high - few.low)
    surest = drawn_curve(errors, num_val=20_000, seed=0)
    measured, gain = surest.accuracies[-1], surest.predictions[0].gain
    plain = wilson(20_000 * measured.value, 20_000)
    assert measured.high - measured.low == pytest.approx(plain.high - plain.low, rel=0.05)
    assert gain.high - gain.low > 0.05  # another draw of training pictures may do more or less
    flat = drawn_curve((0.25,) * 4, num_val=2000, seed=0)
    assert flat.predictions[0].gain.value < 0.01
    assert flat.predictions[1].gain.high < 0.05


@pytest.mark.parametrize(("num_classes", "error"), [(2, 0.0), (2, 1.0), (1000, 0.3), (1000, 0.999)])
def test_extremes_stay_in_range(num_classes: int, error: float) -> None:
    labels = np.arange(num_classes)  # one picture of each
    curve = drawn_curve((error,) * 4, num_val=num_classes, seed=0, labels=labels)
    assert len(curve.per_class) == num_classes
    for prediction in curve.predictions:
        assert 0 <= prediction.accuracy.low <= prediction.accuracy.value <= prediction.accuracy.high <= 1
        assert prediction.gain.low <= prediction.gain.value <= prediction.gain.high
    for each in curve.per_class:
        assert -1 <= each.gain.low <= each.gain.value <= each.gain.high <= 1


def test_balanced_accuracy_counts_classes_alike() -> None:
    labels = np.repeat([0, 1], [90, 10])
    errors = np.broadcast_to(labels.astype(float), (1, 100))  # the small class is never found
    measured = [Measured(size=50, errors=errors), Measured(size=100, errors=errors)]
    plain = describe_curve(measured, labels, np.bincount(labels), seed=0)
    balanced = describe_curve(measured, labels, np.bincount(labels), metric="balanced_accuracy", seed=0)
    assert plain.accuracies[-1].value == pytest.approx(0.9)
    assert balanced.accuracies[-1].value == pytest.approx(0.5)
    width = balanced.accuracies[-1].high - balanced.accuracies[-1].low
    assert width > plain.accuracies[-1].high - plain.accuracies[-1].low


def test_what_is_known_of_the_error_before_counts() -> None:
    sizes, errors = np.array([50.0, 100.0]), np.array([0.6, 0.5])
    covariance = np.eye(2)
    alone = fit_curves(sizes, errors, covariance, guessing=0.9, seed=0)
    known = fit_curves(sizes, errors, covariance, guessing=0.9, usual=(0.1, 0.05), seed=0)
    assert np.median(alone.errors_at(100)) == pytest.approx(0.45, abs=0.1)
    assert np.median(known.errors_at(100)) == pytest.approx(0.1, abs=0.01)
