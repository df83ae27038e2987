"""Recipes: frozen records whose sizes follow the amount of data; what cannot be used is told with a hint."""

from dataclasses import FrozenInstanceError, asdict, replace
from typing import Any

import numpy as np
import pytest

from headstart.core.errors import InputError
from headstart.core.records import from_json, to_json
from headstart.train import RECIPES, Recipe, choose_recipe


def counts(num: int, num_classes: int = 10) -> np.ndarray:
    return np.full(num_classes, num // num_classes)


@pytest.mark.parametrize("name", RECIPES)
def test_each_is_a_frozen_record_that_survives_json(name: str) -> None:
    recipe = choose_recipe(name, counts(1000))
    assert recipe.name == name
    assert from_json(Recipe, to_json(recipe)) == recipe
    with pytest.raises(FrozenInstanceError):
        recipe.rate = 1.0  # type: ignore[misc]


def test_more_pictures_need_fewer_passes_larger_batches_and_mixing() -> None:
    sizes = [choose_recipe("default", counts(num)) for num in (300, 1_500, 8_000, 40_000, 200_000)]
    epochs = [each.epochs for each in sizes]
    assert epochs == sorted(epochs, reverse=True)
    assert len(set(epochs)) == 5
    assert [each.batch_size for each in sizes] == [32, 32, 32, 128, 128]
    assert [each.mixup > 0 for each in sizes] == [False, False, False, True, True]
    steps = [num / each.batch_size * each.epochs for num, each in zip((300, 8_000), sizes[::2], strict=False)]
    assert steps == sorted(steps)
    assert choose_recipe("scratch", counts(300)).epochs == 10 * epochs[0]


def test_unequal_classes_are_sampled_evenly() -> None:
    assert choose_recipe("default", np.array([30, 90])).balance == "none"
    assert choose_recipe("default", np.array([29, 90])).balance == "sampling"
    assert choose_recipe("default", np.array([0, 2])).balance == "none"


def test_what_sets_each_apart() -> None:
    found = {name: choose_recipe(name, counts(1000)) for name in RECIPES}
    assert {name: each.layers for name, each in found.items()} == {
        "default": "all",
        "last-layer": "last",
        "full": "all",
        "gradual": "gradual",
        "lora": "lora",
        "tutorial": "last",
        "scratch": "all",
    }
    starts = {name: each.start for name, each in found.items() if each.start != "probe"}
    assert starts == {"full": "fresh head", "tutorial": "fresh head", "scratch": "random"}
    assert found["default"].input_rate < 1 == found["full"].input_rate
    assert found["lora"].lora_rank > 0


def test_the_tutorial_is_its_protocol_whatever_the_pictures() -> None:
    recipe = choose_recipe("tutorial", counts(1000))
    assert recipe == choose_recipe("tutorial", np.array([1, 90_000]))
    expected = {
        "start": "fresh head",
        "layers": "last",
        "batch_norm": "trained",  # a frozen network in train mode: its statistics drift
        "optimizer": "adam",
        "rate": 1e-3,
        "schedule": "steps",
        "batch_size": 16,
        "epochs": 10,
        "patience": 0,
        "chosen_by": "accuracy",
        "normalization": "half",
        "resolution": 32,
        "weight_decay": 0.0,
        "warm_up": 0.0,
        "averaging": 0.0,
        "clipping": 0.0,
        "smallest_crop": 1.0,
        "flip": False,
        "colour": 0.0,
        "mixup": 0.0,
        "label_smoothing": 0.0,
        "balance": "none",
    }
    assert {name: value for name, value in asdict(recipe).items() if name in expected} == expected


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(InputError, match="no recipe 'defualt'") as caught:
        choose_recipe("defualt", counts(100))
    assert all(name in caught.value.hint for name in RECIPES)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"rate": 0.0},
        {"rate": -1e-3},
        {"rate": float("nan")},
        {"rate": float("inf")},
        {"input_rate": 0.0},
        {"patience": -1},
        {"weight_decay": -0.1},
        {"warm_up": 1.5},
        {"averaging": -0.1},
        {"averaging": float("nan")},
        {"clipping": -1.0},
        {"smallest_crop": 0.0},
        {"smallest_crop": 1.1},
        {"colour": 1.0},
        {"mixup": -0.1},
        {"label_smoothing": 1.0},
        {"resolution": -32},
        {"optimizer": "rmsprop"},
        {"layers": "first"},
        {"start": "nowhere"},
        {"schedule": "linear"},
        {"balance": "weight"},
        {"batch_norm": "thawed"},
        {"normalization": "imagenet"},
        {"chosen_by": "luck"},
        {"layers": "lora", "lora_rank": 0},
    ],
    ids=str,
)
def test_bad_values_are_told_with_a_hint(change: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        replace(choose_recipe("default", counts(100)), **change)
    value = next(iter(change.values()))
    assert str(value) in caught.value.message or "lora" in caught.value.message
    assert caught.value.hint
