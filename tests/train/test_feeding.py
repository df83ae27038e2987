"""Batches: whose pictures are in which, and that their number and order change nothing about a picture."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from headstart.data import Splits
from headstart.embed.decoding import Decoding
from headstart.models import Classifier
from headstart.train import Recipe
from headstart.train.augmentation import vary
from headstart.train.feeding import Fed, Feeder
from headstart.train.processes import Alone

Feed = Callable[..., list[Fed]]


@dataclass
class Place(Alone):
    """One of several processes, as far as pictures are dealt."""

    rank: int
    count: int


@pytest.fixture
def decoding(few_digits: Splits, begun: Classifier) -> Decoding:
    return Decoding(source=few_digits.train.source, preprocessing=begun.preprocessing, decoder="fast")


@pytest.fixture
def feed(few_digits: Splits, decoding: Decoding, brief: Recipe) -> Feed:
    """A function that returns the batches of an epoch."""

    def run(
        epoch: int = 0, start: int = 0, *, rank: int = 0, count: int = 1, seed: int = 0, **changes: object
    ) -> list[Fed]:
        recipe = replace(brief, **changes)  # type: ignore[arg-type]
        place = Place(rank, count)
        with Feeder(few_digits.train, decoding, recipe, seed=seed, device="cpu", processes=place) as feeder:
            return list(feeder.batches(epoch, start))

    return run


def by_picture(batches: list[Fed]) -> dict[str, tuple[bytes, ...]]:
    """Return, for each picture, everything that is said about it."""
    told: dict[str, tuple[bytes, ...]] = {}
    for fed in batches:
        rows = {
            name: value
            for name in ("pixels", "targets", "shares", "drawn", "partners", "partners_drawn")
            if (value := getattr(fed.batch, name, None)) is not None
        }
        for row, each in enumerate(fed.ids):
            told[each] = tuple(value[row].tobytes() for value in rows.values())
    return told


@pytest.mark.parametrize("mixup", [0.0, 0.3])
def test_a_picture_is_made_the_same_whatever_the_batch_the_rank_and_the_start(
    mixup: float, feed: Feed, few_digits: Splits
) -> None:
    expected = by_picture(feed(mixup=mixup))
    assert set(expected) == set(few_digits.train.ids)
    assert by_picture(feed(mixup=mixup, batch_size=7)) == expected
    dealt = [by_picture(feed(mixup=mixup, rank=rank, count=3)) for rank in range(3)]
    assert sum(map(len, dealt)) == len(expected)
    assert dealt[0] | dealt[1] | dealt[2] == expected
    assert by_picture(feed(start=3, mixup=mixup)).items() <= expected.items()
    assert by_picture(feed(1, mixup=mixup)) != expected
    assert by_picture(feed(mixup=mixup, seed=1)) != expected


@pytest.mark.parametrize("mixup", [0.0, 0.3])
def test_what_is_looked_at_is_what_is_trained_on(
    mixup: float, decoding: Decoding, few_digits: Splits, brief: Recipe
) -> None:
    recipe = replace(brief, mixup=mixup, colour=0.3, smallest_crop=0.5)
    train = few_digits.train
    with Feeder(train, decoding, recipe, seed=0, device="cpu", processes=Alone()) as feeder:
        for fed in feeder.batches(1):
            batch = fed.batch
            shown = vary(torch.from_numpy(batch.pixels), torch.from_numpy(batch.drawn), recipe)
            if batch.partners is not None and batch.partners_drawn is not None:
                other = vary(torch.from_numpy(batch.partners), torch.from_numpy(batch.partners_drawn), recipe)
                shown = torch.lerp(other, shown, torch.from_numpy(batch.shares)[:, None, None, None])
            for row, picture_id in enumerate(fed.ids):
                looked_at = feeder.varied(train.ids.index(picture_id), 1)
                assert looked_at is not None
                assert np.abs(shown[row].numpy() - looked_at).max() <= 1.0


def test_an_epoch_that_goes_on_has_the_batches_that_were_left(feed: Feed) -> None:
    whole = feed()
    rest = feed(start=2)
    assert [fed.number for fed in rest] == [2, 3, 4]
    assert [fed.ids for fed in rest] == [fed.ids for fed in whole[2:]]


def test_ranks_share_every_batch_evenly(feed: Feed) -> None:
    ranks = [feed(rank=rank, count=2, batch_size=23) for rank in range(2)]
    for first, second in zip(*ranks, strict=True):
        assert abs(len(first.ids) - len(second.ids)) <= 1
        assert first.batch.num_together == second.batch.num_together == len(first.ids) + len(second.ids)


def test_a_rank_without_a_picture_gets_one_that_counts_nothing(feed: Feed) -> None:
    last = feed(rank=1, count=2, batch_size=79)[-1]
    assert last.ids == ()
    assert len(last.batch.pixels) == 1
    assert np.abs(last.batch.targets).sum() == 0


def test_targets_are_smoothed_and_weighted(feed: Feed, few_digits: Splits) -> None:
    train = few_digits.train
    labels = dict(zip(train.ids, train.labels, strict=True))
    counts = train.class_counts()
    total = 0.0
    for fed in feed(label_smoothing=0.1, balance="weights"):
        for target, each in zip(fed.batch.targets, fed.ids, strict=True):
            weight = len(train) / (10 * counts[labels[each]])
            assert target.sum() == pytest.approx(weight, rel=1e-5)
            assert target[labels[each]] == pytest.approx(0.91 * weight, rel=1e-5)
            total += float(target.sum())
    assert total == pytest.approx(len(train), rel=1e-5)
