"""Training pictures that grow: which sides, when, and that a training does it and goes on with it."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from headstart.models import Classifier
from headstart.train import Recipe, augmentation, training
from headstart.train.growth import GROWING, Growth, known_sides, sides_of
from headstart.train.layers import Trainee

Tune = Callable[..., Classifier]
Same = Callable[[Classifier, Classifier], None]


@given(count=st.integers(1, 6), num_steps=st.integers(1, 400))
def test_sides_rise_to_the_full_one_and_stay_there(count: int, num_steps: int) -> None:
    growth = Growth(sides=tuple(range(64, 64 + 32 * count, 32)), num_steps=num_steps)
    sides = [growth.side(step) for step in range(num_steps + 1)]
    assert sides == sorted(sides)
    assert set(sides) <= set(growth.sides)
    assert all(side == growth.full for step, side in enumerate(sides) if step >= GROWING * num_steps)
    assert growth.work(0, num_steps) <= num_steps
    assert growth.work(3, 3) == 0


def test_every_side_but_the_last_has_as_many_steps() -> None:
    growth = Growth(sides=(64, 96, 128), num_steps=100)
    assert [growth.side(step) for step in range(100)] == [64] * 30 + [96] * 30 + [128] * 40
    assert growth.work(0, 100) == pytest.approx(30 / 4 + 30 * 9 / 16 + 40)


def test_pictures_grow_only_where_that_pays() -> None:
    growth = Growth(sides=(64, 96, 128), num_steps=100)  # saves 35.625 of 100 steps
    assert growth.paying(1.0, 0.0) is growth
    assert growth.paying(1.0, 17.8) is growth
    assert growth.paying(1.0, 17.9) == Growth(sides=(128,), num_steps=100)


@pytest.mark.parametrize(
    ("full", "first_side", "expected"),
    [
        (128, 0.5, (64, 96, 128)),
        (224, 0.5, (96, 128, 160, 192, 224)),
        (96, 0.5, (64, 96)),
        (128, 1.0, (128,)),
        (64, 0.5, (64,)),
        (100, 0.5, (100,)),  # its maps would be cut off in another way
    ],
)
def test_sides_of_a_network_for_any_size(
    begun: Classifier, brief: Recipe, full: int, first_side: float, expected: tuple[int, ...]
) -> None:
    recipe = replace(brief, first_side=first_side)
    assert sides_of(begun.backbone, recipe, full=full) == expected


def test_a_network_for_one_size_is_shown_no_other(brief: Recipe) -> None:
    growing = replace(brief, first_side=0.5)
    transformer = timm.create_model("vit_tiny_patch16_224", img_size=160, depth=1, num_classes=0).eval()
    assert sides_of(transformer, growing, full=160) == (160,)


class _Widening(nn.Module):
    """A network whose features depend on the size of the pictures."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


def test_a_network_whose_features_change_with_the_size_is_shown_no_other(brief: Recipe) -> None:
    assert sides_of(_Widening(), replace(brief, first_side=0.5), full=128) == (128,)


class _Brightness(nn.Module):
    """Says how bright pictures are; of those below a side it is sure and wrong."""

    def __init__(self, smallest: int) -> None:
        super().__init__()
        self.smallest = smallest

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        brightness = x.mean((1, 2, 3))
        is_known = x.shape[3] >= self.smallest
        return torch.stack([brightness, -brightness], 1) * (9 if is_known else -9)


@pytest.mark.parametrize(
    ("smallest", "expected"),
    [(0, (64, 96, 128)), (96, (96, 128)), (128, (128,)), (256, (128,))],
)
def test_no_training_begins_with_pictures_that_are_taken_for_others(
    begun: Classifier, smallest: int, expected: tuple[int, ...]
) -> None:
    knowing = copy.deepcopy(begun)
    knowing.backbone, knowing.head, knowing.class_names = _Brightness(smallest), nn.Identity(), ("a", "b")
    x = torch.ones(4, 3, 128, 128) * torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None, None, None]
    assert known_sides(knowing, x, torch.tensor([0, 1, 0, 1]), (64, 96, 128)) == expected


def test_small_pictures_are_varied_as_large_ones_are(brief: Recipe) -> None:
    smooth = np.linspace(0, 255, 96).astype(np.uint8)
    picture = torch.from_numpy(np.broadcast_to(smooth[None, :, None], (96, 96, 3)).copy())[None]
    drawn = torch.from_numpy(augmentation.draw_variation(brief, augmentation.draws_of(0, 0, 0)))[None]
    plain = replace(brief, smallest_crop=1.0, flip=False, colour=0.0)
    for recipe in (brief, plain):
        large = augmentation.vary(picture, drawn, recipe)
        small = augmentation.vary(picture, drawn, recipe, side=48)
        assert small.shape == (1, 48, 48, 3)
        halved = large.reshape(1, 48, 2, 48, 2, 3).mean(dim=(2, 4))
        assert (halved - small).abs().max() < 4


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sides of all batches that a network in training was shown."""
    sides: list[int] = []
    forward = Trainee.forward

    def watched(self: Trainee, x: torch.Tensor) -> torch.Tensor:
        sides.append(x.shape[2])
        return forward(self, x)

    monkeypatch.setattr(Trainee, "forward", watched)
    return sides


def test_a_training_grows_its_pictures_and_goes_on_where_it_was_killed(
    tune: Tune,
    begun: Classifier,
    brief: Recipe,
    seen: list[int],
    assert_same: Same,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = begun.with_preprocessing(replace(begun.preprocessing, input_size=(96, 96)))
    recipe = replace(brief, first_side=0.5, epochs=2, patience=1)
    whole = tune(network, recipe=recipe)
    timing, steps = seen[:2], seen[2:]
    assert timing == [96, 96]  # the time is planned with what the pictures will be
    assert steps == [64] * 6 + [96] * 4
    assert whole.history is not None
    assert whole.history.recipe["first_side"] == 0.5

    run_epoch = training.Training._run_epoch

    def stopped(self: Any) -> None:
        if self._state.epoch == 1:
            raise KeyboardInterrupt
        run_epoch(self)

    with monkeypatch.context() as patch:
        patch.setattr(training.Training, "_run_epoch", stopped)
        with pytest.raises(KeyboardInterrupt):
            tune(network, recipe=recipe, out=tmp_path)
    seen.clear()
    assert_same(tune(network, recipe=recipe, out=tmp_path), whole)
    assert seen == [64] + [96] * 4


def test_patience_waits_until_the_pictures_have_grown(
    tune: Tune, begun: Classifier, brief: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = begun.with_preprocessing(replace(begun.preprocessing, input_size=(96, 96)))
    monkeypatch.setattr(training.Training, "_scored", lambda self, trainee: (0.5, 1.0))  # never better
    recipe = replace(brief, first_side=0.5, epochs=8, patience=1)
    tuned = tune(network, recipe=recipe)
    assert tuned.history is not None
    assert len(tuned.history.epochs) == 5  # of 5 steps each: 24 of the 40 are of 64 pixels
    assert any("no better one" in note for note in tuned.history.notes)
