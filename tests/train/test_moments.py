"""Moments of shards add up to those of all rows, however they are cut, in any order, at any offset."""

from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.train import moments
from headstart.train.moments import Moments, column_means

K = 4


def draw(n, *, num_features=6, offset=0.0, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, K - 1, n)  # the last class has no row
    return generator.normal(size=(n, num_features)) + labels[:, None] + offset, labels


def by_definition(features, labels):
    """Return the moments as the textbook has them, all rows in view."""
    mean = features.mean(axis=0)
    centred = features - mean
    sums = np.stack([centred[labels == label].sum(axis=0) for label in range(K)])
    return mean, centred.T @ centred, sums


def assert_equal(found, features, labels, *, tolerance=1e-11):
    mean, scatter, sums = by_definition(features, labels)
    size = len(features) * features.var(axis=0).max()
    np.testing.assert_array_equal(found.counts, np.bincount(labels, minlength=K))
    np.testing.assert_allclose(found.mean, mean, rtol=1e-13)
    np.testing.assert_allclose(found.scatter, scatter, atol=tolerance * size)
    np.testing.assert_allclose(found.class_sums, sums, atol=tolerance * size)


@pytest.mark.parametrize("height", [1, 7, 64, 1000])
@pytest.mark.parametrize("n", [1, 2, 64, 301])
def test_blocks_of_any_height_say_the_same(n, height, monkeypatch):
    monkeypatch.setattr(moments, "BLOCK_VALUES", 6 * height)
    features, labels = draw(n)
    assert_equal(Moments.of(features, labels, num_classes=K), features, labels)
    np.testing.assert_allclose(column_means(features), features.mean(axis=0), rtol=1e-12, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(cuts=st.sets(st.integers(1, 199), max_size=12), seed=st.integers(0, 2**32 - 1), by_label=st.booleans())
def test_shards_add_up_in_any_order(cuts, seed, by_label):
    features, labels = draw(200, seed=seed)
    if by_label:  # then most shards lack most classes
        order = np.argsort(labels, kind="stable")
        features, labels = features[order], labels[order]
    edges = [0, *sorted(cuts), 200]
    shards = [Moments.of(features[a:b], labels[a:b], num_classes=K) for a, b in pairwise(edges)]
    np.random.default_rng(seed).shuffle(shards)
    assert_equal(reduce(add, shards), features, labels)


@pytest.mark.parametrize("offset", [1e4, 1e8])
def test_an_offset_costs_no_digits_but_its_own(offset, monkeypatch):
    """Plain sums of squares would lose everything at 1e8: the squares are 1e16 times the variance."""
    monkeypatch.setattr(moments, "BLOCK_VALUES", 6 * 10)
    features, labels = draw(300, offset=offset)
    found = Moments.of(features, labels, num_classes=K)
    assert_equal(found, features, labels, tolerance=1e-15 * offset + 1e-11)
    assert np.linalg.eigvalsh(found.scatter)[0] > 0


def test_a_constant_feature_stays_constant(monkeypatch):
    monkeypatch.setattr(moments, "BLOCK_VALUES", 6 * 10)
    features, labels = draw(3000)
    features[:, 2] = 1 / 3
    found = Moments.of(features, labels, num_classes=K)
    assert np.sqrt(found.scatter[2, 2] / 3000) < 1e-12
