"""The vote of the nearest neighbours against scikit-learn's search."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors

from headstart.train.neighbours import TEMPERATURE, vote

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
