"""Varied pictures: what happens to one depends on seed, epoch and picture alone."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from headstart.train import Recipe
from headstart.train import augmentation as variation
from headstart.train.augmentation import augment, draw_mixing, draw_variation, draws_of

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def picture() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def vary(picture: Pixels, brief: Recipe) -> Callable[..., Pixels]:
    return lambda index, seed=0, epoch=0: augment(picture, brief, draws_of(seed, epoch, index))


def test_depends_on_seed_epoch_and_picture_alone(picture: Pixels, vary: Callable[..., Pixels]) -> None:
    one_by_one = [vary(index) for index in range(40)]
    shuffled = random.Random(0).sample(range(40), 40)
    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(shuffled, pool.map(vary, shuffled), strict=True))
    for index, expected in enumerate(one_by_one):
        assert np.array_equal(found[index], expected)
    kinds = {vary(i, seed=s, epoch=e).tobytes() for i in (0, 1) for s in (0, 1) for e in (0, 1)}
    assert len(kinds) == 8


def test_a_batch_is_varied_as_its_pictures_are_one_by_one(picture: Pixels, brief: Recipe) -> None:
    drawn = torch.from_numpy(np.stack([draw_variation(brief, draws_of(0, 1, each)) for each in range(9)]))
    pictures = torch.from_numpy(np.stack([np.roll(picture, each) for each in range(9)]))
    together = variation.vary(pictures, drawn, brief)
    assert together.shape == pictures.shape
    for index in range(9):
        alone = variation.vary(pictures[index : index + 1], drawn[index : index + 1], brief)
        assert torch.equal(together[index], alone[0])


def test_shape_and_kind_stay_and_the_given_picture_too(picture: Pixels, vary: Callable[..., Pixels]) -> None:
    before = picture.copy()
    found = vary(7)
    assert (found.shape, found.dtype) == (picture.shape, np.uint8)
    assert np.array_equal(picture, before)


def test_nothing_is_varied_where_the_recipe_varies_nothing(picture: Pixels, brief: Recipe) -> None:
    plain = replace(brief, smallest_crop=1.0, flip=False, colour=0.0)
    assert np.array_equal(augment(picture, plain, draws_of(0, 0, 0)), picture)


def test_half_of_the_pictures_are_mirrored(picture: Pixels, brief: Recipe) -> None:
    flipping = replace(brief, smallest_crop=1.0, flip=True, colour=0.0)
    mirrored = 0
    for index in range(400):
        found = augment(picture, flipping, draws_of(1, 0, index))
        is_mirrored = np.array_equal(found, picture[:, ::-1])
        assert is_mirrored or np.array_equal(found, picture)
        mirrored += is_mirrored
    assert 160 < mirrored < 240


def test_crops_keep_the_share_of_the_area(brief: Recipe) -> None:
    rows = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None] * 4, (64, 64, 3)).copy()
    cropping = replace(brief, smallest_crop=0.5, flip=False, colour=0.0)
    spans = np.array(
        [np.ptp(augment(rows, cropping, draws_of(0, 0, index)).astype(int)) / 252 for index in range(200)]
    )
    assert spans.min() > 0.5  # of the height: half of the area at an aspect of 4 by 3 is 0.61 high
    assert spans.max() > 0.95
    assert spans.std() > 0.05


def test_pictures_are_mixed_with_any_other_and_keep_the_larger_share(brief: Recipe) -> None:
    mixing = replace(brief, mixup=0.2)
    found = [draw_mixing(mixing, draws_of(0, 0, index, 2), num_pictures=10) for index in range(200)]
    assert draw_mixing(brief, draws_of(0, 0, 0, 2), num_pictures=10) is None
    assert all(each is not None and 0.5 <= each.share <= 1 for each in found)
    assert {each.partner for each in found if each is not None} == set(range(10))
    assert found[3] == draw_mixing(mixing, draws_of(0, 0, 3, 2), num_pictures=10)
