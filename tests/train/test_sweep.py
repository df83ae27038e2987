"""The choice of strength on many rows: that of a sweep through all strengths, each run to the end."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info, threadpool_limits

from headstart.core.errors import InputError
from headstart.train import LinearProbe, probe
from headstart.train.folds import lay_out
from headstart.train.logistic import Curvature, fit_weights
from headstart.train.rows import HostRows, Weights
from headstart.train.sweep import Plan, sweep

STRENGTHS = tuple(np.logspace(1, -5, 13).tolist())


def features_and_labels(*, n=7000, num_features=60, num_classes=5, noise=1.0, shares=None, seed=0):
    """Return correlated, standardised features and labels of a noisy linear model."""
    generator = np.random.default_rng(seed)
    behind = generator.normal(size=(n, num_features)) * np.arange(1, num_features + 1) ** -0.7
    mixed = behind @ np.linalg.qr(generator.normal(size=(num_features, num_features)))[0]
    features = np.maximum(mixed + 0.1 * generator.normal(size=mixed.shape), -0.2)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    scores = 3 * behind @ generator.normal(size=(num_features, num_classes))
    scores += noise * generator.gumbel(size=scores.shape)
    if shares is not None:
        scores += 4 * np.log(shares)
    labels = np.unique(scores.argmax(axis=1), return_inverse=True)[1]
    return features.astype(np.float32), labels


@threadpool_limits.wrap(limits=1, user_api="blas")  # as in the probe: two BLAS hinder each other
def exhaustive(features, labels, layout, *, strengths):
    """Return the held-out log loss of every strength, each run to the end in float64."""
    rows = HostRows(features[layout.order].astype(np.float64), labels[layout.order])
    ((fitted, tried),) = layout.folds
    num_classes = labels.max() + 1
    weights = Weights(coef=np.zeros((num_classes, features.shape[1])), intercept=np.zeros(num_classes))
    curvature, losses = Curvature.of(rows.features), []
    for strength in strengths:
        weights = fit_weights(
            rows[fitted],
            strength=strength,
            start=weights,
            curvature=curvature,
            tolerance=1e-11,
            max_iter=3000,
        ).weights
        losses.append(float(rows[tried].cross_entropies(weights).mean()))
    return np.array(losses)


PROBLEMS = {
    "usual": ({}, STRENGTHS),
    "few rows for the features": ({"num_features": 200, "noise": 4.0}, STRENGTHS),
    "hardly a signal": ({"noise": 100.0}, STRENGTHS),
    "the strongest is best": ({"noise": 100.0}, STRENGTHS[7:]),
    "the weakest is best": ({"noise": 0.3}, STRENGTHS[:6]),
    "imbalanced": ({"shares": np.array([0.6, 0.25, 0.1, 0.03, 0.02])}, STRENGTHS[:9]),
    "two classes": ({"num_classes": 2, "noise": 5.0}, STRENGTHS),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_choice_is_as_good_as_that_of_an_exhaustive_sweep(name):
    made_so, strengths = PROBLEMS[name]
    features, labels = features_and_labels(**made_so)
    layout = lay_out(labels, num_folds=5, seed=0)
    assert layout.num_sketch > 0
    losses = exhaustive(features, labels, layout, strengths=strengths)
    found = LinearProbe(strengths=strengths).fit(features, labels)
    assert losses[strengths.index(found.strength_)] <= 1.001 * losses.min()
    expected = {"the strongest is best": [0], "the weakest is best": [len(strengths) - 1]}
    assert losses.argmin() in expected.get(name, range(1, len(strengths) - 1))


@pytest.mark.parametrize("misled", [0, len(STRENGTHS) - 1])
def test_a_sketch_that_misleads_is_corrected(misled, monkeypatch):
    """Wherever it begins, it ends with the same choice, between two neighbours that are worse."""
    features, labels = features_and_labels()
    expected = LinearProbe(strengths=STRENGTHS).fit(features, labels)
    monkeypatch.setattr("headstart.train.sweep._expected_best", lambda *_, **__: misled)
    found = LinearProbe(strengths=STRENGTHS).fit(features, labels)
    assert found.strength_ == expected.strength_
    at = found.inner_log_losses_.argmin()
    assert 0 < at < len(found.strengths_) - 1
    assert found.inner_log_losses_.shape == found.strengths_.shape
    assert (np.diff(found.strengths_) < 0).all()
    assert set(np.round(np.log10(found.strengths_), 6)) <= set(np.round(np.log10(STRENGTHS), 6))


def test_only_strengths_around_the_best_see_all_rows():
    features, labels = features_and_labels()
    found = LinearProbe().fit(features, labels)
    assert 3 <= len(found.strengths_) <= 6
    at = found.inner_log_losses_.argmin()
    assert found.strength_ == found.strengths_[at]
    assert 0 < at < len(found.strengths_) - 1


def test_three_hundred_classes():
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(300, 40))
    labels = np.arange(9000) % 300
    features = (centres[labels] + 0.7 * generator.normal(size=(9000, 40))).astype(np.float32)
    found = LinearProbe().fit(features[:6000], labels[:6000])
    assert found.coef_.shape == (300, 40)
    assert found.score(features[6000:], labels[6000:]) > 0.8


def test_classes_of_one_row_among_many_are_in_the_sketch():
    labels = np.append(np.arange(8000) % 4 * 3, [1, 2, 4, 5, 7, 8])  # between the large ones: 0, 3, 6 and 9
    layout = lay_out(labels, num_folds=5, seed=0)
    assert sorted(layout.order) == list(range(8006))
    sketched = np.bincount(labels[layout.order][: layout.num_sketch])
    assert len(sketched) == 10
    assert (sketched > 0).all()
    assert np.ptp(sketched[::3]) <= 2
    assert layout.num_sketch < 8006 / 4


def test_memory_is_one_copy_of_the_features():
    """NumPy's arrays are what tracemalloc sees; the sample of 8,192 rows is beside the copy, for any N."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(60_000, 100)).astype(np.float32)
    labels = (features[:, 0] > 0).astype(np.int64)
    tracemalloc.start()
    LinearProbe(strengths=[0.1, 0.01, 0.001]).fit(features, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.75 * features.nbytes


@pytest.mark.parametrize("n", [300, 6000])
def test_the_device_changes_rounding_only(n):
    features, labels = features_and_labels(n=n)
    expected = LinearProbe(strengths=STRENGTHS).fit(features, labels)
    # A second name of the processor's, which goes the way that an accelerator goes.
    found = LinearProbe(strengths=STRENGTHS, device="cpu:0").fit(features, labels)
    assert found.strength_ == expected.strength_
    np.testing.assert_allclose(found.predict_proba(features), expected.predict_proba(features), atol=5e-3)
    assert found.get_params()["device"] == "cpu:0"


def test_refuses_a_device_that_is_not_there():
    with pytest.raises(InputError, match="device of 'warp' was given"):
        LinearProbe(device="warp").fit(np.eye(4), [0, 0, 1, 1])


def test_without_folds_the_middle_is_taken():
    rows = HostRows(np.eye(3), np.arange(3))
    plan = Plan(strengths=(1.0, 0.1, 0.01), curvature=Curvature.of(rows.features), max_iter=9)
    assert sweep(rows, lay_out(rows.labels, num_folds=5, seed=0), plan=plan).strength == 0.1


def test_threads_are_what_blas_and_torch_may_use(monkeypatch):
    def allow(num_threads):
        blas = {"user_api": "blas", "num_threads": num_threads}
        monkeypatch.setattr(probe, "_libraries", lambda: SimpleNamespace(info=lambda: [blas]))

    allow(64)
    import torch

    assert probe._num_threads() == torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    assert probe._num_threads() == 5
    allow(1)
    assert probe._num_threads() == 1


def test_blas_has_one_thread_while_a_probe_is_fitted_and_its_own_again_afterwards(monkeypatch):
    def of_blas():
        return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]

    seen = []
    fit = LinearProbe._fit_standardised

    def watched(self, *arguments, **options):
        seen.append(of_blas())
        return fit(self, *arguments, **options)

    monkeypatch.setattr(LinearProbe, "_fit_standardised", watched)
    features, labels = features_and_labels(n=60)
    with threadpool_limits(limits=2, user_api="blas"):
        for _ in range(2):  # the second time the libraries are known
            LinearProbe().fit(features, labels)
        assert set(of_blas()) == {2}
    assert all(set(each) == {1} for each in seen)
    assert len(seen) == 2


@pytest.mark.parametrize("num_features", [60, 900])
def test_a_near_start_saves_steps_and_leads_to_the_same(num_features):
    features, labels = features_and_labels(n=400, num_features=num_features)
    features = features * 3 + 1  # not standardised: the start is that of raw features
    first = LinearProbe(strengths=[0.03]).fit(features[:320], labels[:320])
    start = np.column_stack([first.coef_, first.intercept_])
    cold, warm = LinearProbe(strengths=[0.03]), LinearProbe(strengths=[0.03])
    cold.fit(features, labels)
    warm.fit(features, labels, start=start)
    np.testing.assert_allclose(warm.predict_proba(features), cold.predict_proba(features), atol=0.004)
    again = LinearProbe(strengths=[0.03], max_iter=1)
    with pytest.warns(ConvergenceWarning):
        again.fit(features, labels, start=np.column_stack([cold.coef_, cold.intercept_]))
    # It began there: after one step it is still there, where a fit from nothing is far away.
    np.testing.assert_allclose(again.predict_proba(features), cold.predict_proba(features), atol=0.004)


@pytest.mark.parametrize("start", [np.zeros((5, 60)), np.full((5, 61), np.nan)])
def test_refuses_a_start_that_does_not_fit(start):
    features, labels = features_and_labels(n=60)
    with pytest.raises(InputError, match=r"a start of shape \(5, 6\d\) was given"):
        LinearProbe(strengths=[1.0]).fit(features, labels, start=start)
