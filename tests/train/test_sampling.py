"""The order of an epoch: a function of seed and epoch alone, in which nobody is forgotten."""

import numpy as np
import pytest

from headstart.train.sampling import class_weights, draw_epoch

LABELS = np.repeat([0, 1, 2], [60, 30, 9])


def test_every_picture_comes_once_in_an_order_of_its_own() -> None:
    orders = [
        draw_epoch(LABELS, seed=seed, epoch=epoch, balance="none") for seed in (0, 1) for epoch in (0, 1)
    ]
    for order in orders:
        assert np.array_equal(np.sort(order), np.arange(99))
    assert len({tuple(order) for order in orders}) == 4
    again = draw_epoch(LABELS, seed=0, epoch=0, balance="weights")
    assert np.array_equal(again, orders[0])


def test_balanced_sampling_shows_every_class_equally_often_and_no_picture_before_its_turn() -> None:
    order = draw_epoch(LABELS, seed=3, epoch=2, balance="sampling")
    assert len(order) == 99
    assert np.bincount(LABELS[order]).tolist() == [33, 33, 33]
    times = np.bincount(order, minlength=99)
    for label in range(3):
        own = times[label == LABELS]
        assert own.max() - own.min() <= 1
    assert np.array_equal(order, draw_epoch(LABELS, seed=3, epoch=2, balance="sampling"))


def test_balanced_sampling_where_the_classes_do_not_divide_the_pictures() -> None:
    labels = np.repeat([0, 1, 4], [5, 5, 1])
    found = np.bincount(labels[draw_epoch(labels, seed=0, epoch=0, balance="sampling")])
    assert found.sum() == 11
    assert found[[0, 1, 4]].max() - found[[0, 1, 4]].min() <= 1


def test_class_weights_are_one_on_average_and_make_classes_equal() -> None:
    weights = class_weights(LABELS, num_classes=4, balance="weights")
    assert weights[LABELS].mean() == pytest.approx(1)
    sums = [weights[label] * (label == LABELS).sum() for label in range(3)]
    assert sums == pytest.approx([33, 33, 33])
    assert np.isfinite(weights).all()
    for balance in ("none", "sampling"):
        assert class_weights(LABELS, num_classes=4, balance=balance).tolist() == [1, 1, 1, 1]
