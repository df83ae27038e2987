"""The linear probe: a real scikit-learn estimator, agreeing with scikit-learn's own logistic regression."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_info

from headstart.core.errors import InputError
from headstart.embed import matrix
from headstart.metrics import log_loss
from headstart.train import LinearProbe, probe
from headstart.train.sweep import sweep


@parametrize_with_checks([LinearProbe()])
def test_is_a_scikit_learn_classifier(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    """Return (features, labels) to fit on and to try on; a few of the 64 features are constant."""
    features, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    features, labels = features[order].astype(np.float32), labels[order]
    return features[:1000], labels[:1000], features[1000:], labels[1000:]


def blobs(*, n, num_features, num_classes, seed=0, spread=1.5):
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(num_classes, num_features))
    labels = np.arange(n) % num_classes
    features = centres[labels] + spread * generator.normal(size=(n, num_features))
    return features.astype(np.float32), labels


def reference(probe, features, labels, *, strength=None):
    """Return scikit-learn's fit of the same objective, as a function from features to probabilities."""
    mean, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale[scale == 0] = 1
    strength = probe.strength_ if strength is None else strength
    model = LogisticRegression(C=1 / (strength * len(labels)), tol=1e-8, max_iter=5000)
    model.fit((features - mean) / scale, labels)
    return lambda others: model.predict_proba((others - mean) / scale)


@pytest.mark.parametrize("strength", [1.0, 0.03, 0.0003])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_agrees_with_scikit_learn_at_the_same_strength(digits, strength, dtype):
    features, labels, others, truth = digits
    probe = LinearProbe(strengths=[strength]).fit(features.astype(dtype), labels)
    expected = reference(probe, features, labels)(others)
    found = probe.predict_proba(others.astype(dtype))
    assert np.abs(found - expected).max() < 0.01
    assert log_loss(truth, found) == pytest.approx(log_loss(truth, expected), rel=0.005)


@pytest.mark.parametrize("strength", [1.0, 0.001])
@pytest.mark.parametrize("n", [12, 60, 99, 150])
def test_few_rows_agree_with_scikit_learn_too(n, strength):
    """Up to half as many rows as features the solver works in the space that the rows span."""
    features, labels = blobs(n=n + 300, num_features=200, num_classes=3, spread=4)
    probe = LinearProbe(strengths=[strength]).fit(features[:n], labels[:n])
    expected = reference(probe, features[:n], labels[:n])(features[n:])
    assert np.abs(probe.predict_proba(features[n:]) - expected).max() < 0.01


def test_the_sweep_finds_a_strength_as_good_as_the_best(digits):
    features, labels, others, truth = digits
    probe = LinearProbe().fit(features, labels)
    losses = [
        log_loss(truth, reference(probe, features, labels, strength=strength)(others))
        for strength in (1, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0001)
    ]
    assert log_loss(truth, probe.predict_proba(others)) < 1.05 * min(losses)
    assert max(losses) > 2 * min(losses)  # so that the choice matters
    assert probe.score(others, truth) > 0.95


def test_says_what_it_tried_and_chose_the_best_of_it(digits):
    probe = LinearProbe().fit(*digits[:2])
    assert probe.strength_ == probe.strengths_[probe.inner_log_losses_.argmin()]
    assert (np.diff(probe.strengths_) < 0).all()
    assert probe.strengths_.shape == probe.inner_log_losses_.shape
    assert probe.inner_log_losses_[-2:].min() > probe.inner_log_losses_.min()  # it went past the best


def test_the_default_sweep_spans_eight_decades():
    """Features that tell all make the weakest penalty best: nothing ends the sweep early."""
    labels = np.arange(60) % 3
    probe = LinearProbe().fit(np.eye(3)[labels], labels)
    assert probe.strengths_[0] / probe.strengths_[-1] >= 0.999e8
    assert probe.strength_ == probe.strengths_[-1]


def test_noise_is_met_with_a_strong_penalty():
    generator = np.random.default_rng(0)
    probe = LinearProbe().fit(generator.normal(size=(300, 50)), generator.integers(0, 3, size=300))
    assert probe.strength_ >= 1
    assert probe.predict_proba(generator.normal(size=(100, 50))).max() < 0.6


def test_the_choice_does_not_trust_the_fit_itself():
    """More features than rows: any weak penalty fits the rows perfectly, held-out ones tell the truth."""
    features, labels = blobs(n=60, num_features=200, num_classes=3, spread=6)
    probe = LinearProbe().fit(features, labels)
    assert probe.strength_ > 0.01
    assert np.isfinite(probe.coef_).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_is_one_linear_layer_on_raw_features(digits, dtype):
    features, labels, others, _ = digits
    probe = LinearProbe().fit(features.astype(dtype), labels)
    assert (probe.coef_.dtype, probe.intercept_.dtype) == (dtype, dtype)
    assert (probe.coef_.shape, probe.intercept_.shape) == ((10, 64), (10,))
    scores = others.astype(dtype) @ probe.coef_.T + probe.intercept_
    np.testing.assert_array_equal(probe.decision_function(others.astype(dtype)), scores)
    np.testing.assert_array_equal(probe.predict(others.astype(dtype)), scores.argmax(axis=1))
    assert probe.predict_proba(others.astype(dtype)).dtype == dtype


def test_units_of_the_features_do_not_matter(digits):
    features, labels, others, _ = (each.astype(np.float64) for each in digits)
    factor = 10.0 ** np.random.default_rng(0).integers(-3, 4, size=64)
    plain = LinearProbe().fit(features, labels)
    scaled = LinearProbe().fit(features * factor + 5, labels)
    assert scaled.strength_ == plain.strength_
    np.testing.assert_allclose(
        scaled.predict_proba(others * factor + 5), plain.predict_proba(others), atol=5e-3
    )


def test_two_classes_have_two_rows_and_one_column_of_scores():
    features, labels = blobs(n=100, num_features=5, num_classes=2)
    probe = LinearProbe().fit(features, np.array(["no", "yes"])[labels])
    assert probe.coef_.shape == (2, 5)
    assert probe.decision_function(features).shape == (100,)
    np.testing.assert_array_equal(probe.decision_function(features) > 0, probe.predict(features) == "yes")
    assert probe.predict_proba(features).shape == (100, 2)


@pytest.mark.parametrize("n", [50, 1000, 6000])
def test_a_copy_in_a_file_gives_the_same_probe_bit_by_bit(n, monkeypatch, tmp_path):
    features, labels = blobs(n=n, num_features=30, num_classes=3, spread=4)
    expected = LinearProbe().fit(features, labels)
    with (tmp_path / "features").open("w+b") as file:
        mapped = np.memmap(file, np.float32, "w+", shape=features.shape)
    mapped[:] = features
    monkeypatch.setattr(matrix, "LARGEST_IN_MEMORY_BYTES", 0)
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path))
    found = LinearProbe().fit(mapped, labels)
    assert (tmp_path / "embeddings").exists()  # so it was there
    assert found.strength_ == expected.strength_
    np.testing.assert_array_equal(found.coef_, expected.coef_)
    np.testing.assert_array_equal(found.predict_proba(mapped), expected.predict_proba(features))


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_predicts_blocks_of_any_height_alike(digits, rows, monkeypatch):
    features, labels, others, _ = digits
    probe = LinearProbe(strengths=[0.01]).fit(features, labels)
    whole = probe.predict_proba(others)
    decided = probe.decision_function(others)
    monkeypatch.setattr("headstart.train.probe._PREDICTED_ROWS", rows)
    np.testing.assert_allclose(probe.predict_proba(others), whole, atol=1e-5)
    np.testing.assert_allclose(probe.decision_function(others), decided, atol=1e-4)
    np.testing.assert_array_equal(probe.predict(others), decided.argmax(axis=1))


def test_the_same_again_is_the_same(digits):
    first, second = (LinearProbe(seed=3).fit(*digits[:2]) for _ in range(2))
    np.testing.assert_array_equal(first.coef_, second.coef_)
    np.testing.assert_array_equal(first.inner_log_losses_, second.inner_log_losses_)
    assert (LinearProbe(seed=4).fit(*digits[:2]).inner_log_losses_[0] != first.inner_log_losses_[0]).any()


def test_blas_is_kept_to_one_thread_only_meanwhile(monkeypatch):
    def threads():
        return {
            pool["filepath"]: pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"
        }

    def watched(*arguments, **options):
        meanwhile.append(set(threads().values()))
        return sweep(*arguments, **options)

    before, meanwhile = threads(), []
    monkeypatch.setattr(probe, "sweep", watched)
    LinearProbe().fit(*blobs(n=60, num_features=3, num_classes=2))
    assert meanwhile == [{1}]
    assert threads() == before


def test_many_rows_are_tried_on_a_hold_out():
    features, labels = blobs(n=2500, num_features=20, num_classes=4)
    probe = LinearProbe().fit(features, labels)
    expected = reference(probe, features, labels)(features)
    np.testing.assert_allclose(probe.predict_proba(features), expected, atol=0.01)


def test_a_class_with_one_row_is_learnt():
    features, labels = blobs(n=90, num_features=10, num_classes=3, spread=0.3)
    features, labels = np.concatenate([features, features[:1] + 20]), np.append(labels, 3)
    probe = LinearProbe().fit(features, labels)
    assert probe.predict(features[-1:]).tolist() == [3]
    assert np.isfinite(probe.inner_log_losses_).all()


def test_one_row_a_class_is_enough():
    probe = LinearProbe().fit(np.eye(3), ["a", "b", "c"])
    assert probe.predict(np.eye(3)).tolist() == ["a", "b", "c"]
    assert probe.strength_ == probe.strengths_[0]
    assert probe.inner_log_losses_.tolist() == [np.inf]


@pytest.mark.parametrize("value", [0, 0.1, 1e6])
def test_constant_features_do_no_harm(value):
    features, labels = blobs(n=100, num_features=5, num_classes=3)
    for dtype in (np.float32, np.float64):
        wider = np.column_stack([features, np.full(100, value)]).astype(dtype)
        probe = LinearProbe().fit(wider, labels)
        np.testing.assert_allclose(probe.coef_[:, -1], 0, atol=1e-12)


def test_says_when_it_did_not_converge(digits):
    with pytest.warns(ConvergenceWarning, match="1 steps; raise max_iter"):
        LinearProbe(max_iter=1).fit(*digits[:2])


def test_refuses_one_class():
    with pytest.raises(InputError, match="all 4 rows are of one class, 'cat', expected two"):
        LinearProbe().fit(np.eye(4), ["cat"] * 4)


@pytest.mark.parametrize("strengths", [[], [0.1, 0], [-1], [np.nan], [np.inf], 0.1, [[0.1]]])
def test_refuses_impossible_strengths(strengths):
    with pytest.raises(InputError, match="numbers above 0"):
        LinearProbe(strengths=strengths).fit(np.eye(4), [0, 0, 1, 1])


@pytest.mark.parametrize("parameters", [{"num_folds": 1}, {"max_iter": 0}])
def test_refuses_impossible_limits(parameters):
    with pytest.raises(InputError, match="were given, expected"):
        LinearProbe(**parameters).fit(np.eye(4), [0, 0, 1, 1])
