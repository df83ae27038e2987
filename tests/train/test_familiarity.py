"""Pictures unlike those of training: found, and false alarms as often as stated."""

import numpy as np
import pytest
from scipy.stats import binom

from headstart.models.familiarity import strangeness
from headstart.predict import batch_warning
from headstart.predict.unlike import BATCH_FALSE_ALARM_RATE, chance_of_so_many
from headstart.train.familiarity import FALSE_ALARM_RATE, fit_familiarity, fit_subspace

D = 40


def draw(n, generator, *, directions=None):
    """Features around 8 directions of 40, with noise in all."""
    directions = np.random.default_rng(99).normal(size=(8, D)) if directions is None else directions
    weights = generator.gamma(2, size=(n, len(directions)))
    return (weights @ directions + 1.5 * generator.normal(size=(n, D))).astype(np.float32)


def fit(features, **options):
    return fit_familiarity(features, np.arange(len(features)), **{"seed": 0, **options})


def test_false_alarms_are_as_rare_as_stated():
    generator = np.random.default_rng(0)
    alarms = num_pictures = 0
    for _ in range(40):
        found = fit(draw(300, generator))
        assert found.false_alarm_rate <= FALSE_ALARM_RATE
        alarms += found.is_unlike(draw(1000, generator)).sum()
        num_pictures += 1000
    assert 0.2 * FALSE_ALARM_RATE < alarms / num_pictures < 1.5 * FALSE_ALARM_RATE


def test_other_directions_are_unlike():
    generator = np.random.default_rng(0)
    found = fit(draw(300, generator))
    other = draw(500, generator, directions=np.random.default_rng(5).normal(size=(8, D)))
    assert found.is_unlike(other).mean() > 0.95
    assert found.is_unlike(7 * draw(500, generator)).mean() < 0.1  # length alone says nothing


def test_sets_like_the_training_pictures_are_rarely_warned_of():
    generator = np.random.default_rng(3)
    warned = 0
    for _ in range(150):
        found = fit(draw(150, generator))
        unlike = int(found.is_unlike(draw(200, generator)).sum())
        warned += bool(batch_warning(found, unlike, 200))
    assert warned <= binom.isf(1e-3, 150, BATCH_FALSE_ALARM_RATE)


def test_the_warning_counts():
    found = fit(draw(300, np.random.default_rng(0)))
    assert batch_warning(None, 5, 5) == batch_warning(found, 0, 0) == batch_warning(found, 1, 1) == ""
    assert batch_warning(found, 10, 1000) == ""
    said = batch_warning(found, 300, 1000)
    assert said.startswith("300 of 1000 pictures are unlike")
    assert f"{found.false_alarm_rate:.1%}" in said
    assert "1 in 1,000" in said
    chances = [chance_of_so_many(found, each, 1000) for each in range(0, 200, 20)]
    assert chances[0] == 1
    assert chances == sorted(chances, reverse=True)


@pytest.mark.parametrize(("n", "beyond"), [(19, None), (20, 1), (99, 1), (100, 1), (200, 2), (1000, 10)])
def test_few_pictures_have_the_strangest_for_a_limit(n, beyond):
    found = fit(draw(n, np.random.default_rng(0)))
    if beyond is None:
        assert found is None
        return
    assert (found.num_held_out, found.num_beyond) == (n, beyond)
    assert found.axes.shape == (min(64, n // 5, D // 2), D)
    assert np.allclose(found.axes @ found.axes.T, np.eye(len(found.axes)), atol=1e-5)


def test_the_same_content_is_held_out_together():
    generator = np.random.default_rng(0)
    different = draw(30, generator)
    copies = np.repeat(different, 20, axis=0)
    together = fit_familiarity(copies, np.repeat(np.arange(30), 20), seed=0)
    apart = fit_familiarity(copies, np.arange(600), seed=0)
    assert together.limit > 1.5 * apart.limit  # else copies on both sides make everything look familiar


def test_many_pictures_are_sampled_and_repeat():
    features = draw(6000, np.random.default_rng(0))
    first, again, other = fit(features), fit(features), fit(features, seed=1)
    assert first.num_held_out == 5000
    assert first.limit == again.limit != other.limit
    assert np.array_equal(first.axes, again.axes)


def test_strangeness_is_the_distance_from_the_subspace():
    features = draw(50, np.random.default_rng(0))
    mean, axes = fit_subspace(features, num_axes=5)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    nearest = mean + (unit - mean) @ axes.T @ axes
    assert np.allclose(strangeness(features, mean, axes), ((unit - nearest) ** 2).sum(1), atol=1e-6)
    assert np.isfinite(strangeness(np.zeros((1, D), np.float32), mean, axes)).all()
