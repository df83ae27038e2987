"""The vote of the nearest neighbours against scikit-learn's search."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors

from headstart.train import neighbours
from headstart.train.neighbours import TEMPERATURE, Nearest, vote

features, labels = load_digits(return_X_y=True)
features, labels = features.astype(np.float32), labels.astype(np.int64)


def test_new_rows_get_the_votes_of_their_nearest() -> None:
    train, others = features[:500], features[1000:1100]
    both = np.concatenate([train, others])
    found = vote(both, train, labels[:500], num_classes=10, k=5)[500:]
    centred = train - train.mean(axis=0)
    search = NearestNeighbors(n_neighbors=5, metric="cosine").fit(centred)
    distances, indices = search.kneighbors(others - train.mean(axis=0))
    weights = np.exp((1 - distances) / TEMPERATURE)
    expected = np.zeros((100, 10))
    for row in range(100):
        np.add.at(expected[row], labels[indices[row]], weights[row] / weights[row].sum())
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert (found.argmax(axis=1) == labels[1000:1100]).mean() > 0.9


def test_nobody_votes_for_itself() -> None:
    """With labels by chance a row that saw its own label would be right; nobody else knows it."""
    chance = np.random.default_rng(0).integers(0, 10, 1500)
    found = vote(features[:1500], features[:1500], chance, num_classes=10)
    assert (found.argmax(axis=1) == chance).mean() < 0.15


def test_few_rows_have_few_neighbours() -> None:
    found = vote(features[:3], features[:3], labels[:3], num_classes=10)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 7, 5000])
@pytest.mark.parametrize("others", [1, 4, 33, 5000])
@pytest.mark.parametrize("offset", [0, 1000])
def test_blocks_of_any_height_say_the_same(
    rows: int, others: int, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    different = np.unique(features, axis=0, return_index=True)[1][:300]
    drawn, truth = features[different] + offset, labels[different]
    whole = vote(drawn, drawn[:90], truth[:90], num_classes=10)
    monkeypatch.setattr(neighbours, "ROWS_AT_ONCE", rows)
    monkeypatch.setattr(neighbours, "NEIGHBOURS_AT_ONCE", others)
    np.testing.assert_allclose(vote(drawn, drawn[:90], truth[:90], num_classes=10), whole, atol=1e-4)


def test_the_nearest_among_shards_are_the_nearest_among_all() -> None:
    generator = np.random.default_rng(0)
    similarities = generator.random((50, 101), np.float32)
    votes = generator.integers(0, 10, (50, 101))
    best = np.sort(similarities, axis=1)[:, -5:]
    shards = [
        Nearest.among(similarities[:, shard], votes[:, shard], k=5)
        for shard in (slice(0, 3), slice(3, 4), slice(4, 80), slice(80, 101))
    ]
    first, second, third, fourth = shards
    for added in (first + second + third + fourth, (fourth + second) + (third + first)):
        np.testing.assert_array_equal(np.sort(added.similarities, axis=1), best)
        at = (similarities[:, :, None] == added.similarities[:, None]).argmax(axis=1)
        np.testing.assert_array_equal(np.take_along_axis(votes, at, axis=1), added.labels)


def test_those_far_from_zero_are_told_apart() -> None:
    """Summed in float32, the mean of many rows far from zero is off by more than they differ."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, 40_000)
    drawn = (generator.normal(size=(40_000, 2)) + 4 * truth[:, None] + 5000).astype(np.float32)
    found = vote(drawn[:500], drawn, truth, num_classes=2)
    assert (found.argmax(axis=1) == truth[:500]).mean() > 0.99
