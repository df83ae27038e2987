"""Inner folds: disjoint, complete, stratified, with every class to fit on."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headstart.train.folds import inner_folds

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=80).map(
    lambda values: np.unique(values, return_inverse=True)[1]
)


@given(labels=LABELS, num_folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_every_row_that_can_be_is_tried_once(labels, num_folds, seed):
    pairs = list(inner_folds(labels, num_folds=num_folds, seed=seed))
    counts = np.bincount(labels)
    tried = np.concatenate([[], *(tried for _, tried in pairs)])
    assert sorted(tried) == np.flatnonzero(counts[labels] > 1).tolist()
    for fitted, tried in pairs:
        assert sorted([*fitted, *tried]) == list(range(len(labels)))
        assert set(labels[fitted]) == set(labels)
        assert (np.bincount(labels[tried], minlength=len(counts)) <= -(-counts // num_folds)).all()


def test_many_rows_give_one_stratified_fifth():
    labels = np.repeat([0, 1, 2], [1000, 900, 100])
    ((fitted, tried),) = inner_folds(labels, num_folds=5, seed=0)
    assert np.bincount(labels[tried]).tolist() == [200, 180, 20]
    assert len(fitted) == 1600


def test_the_seed_decides():
    labels = np.arange(50) % 5
    first, same, other = (
        [tried.tolist() for _, tried in inner_folds(labels, num_folds=5, seed=seed)] for seed in (0, 0, 1)
    )
    assert first == same
    assert first != other
