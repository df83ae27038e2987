"""On an NVIDIA GPU: fine-tuning learns, fits the memory there is, and goes on from a checkpoint."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import headstart as hs
from headstart.data import Splits
from headstart.data.scan import scan
from headstart.models import Classifier
from headstart.train import Recipe, TuneOptions, choose_recipe, fine_tune

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

OPTIONS = TuneOptions(device="cuda")


@pytest.fixture(scope="module")
def digits() -> Splits:
    return scan(hs.open_dataset("digits")).dataset.split(seed=0)


@pytest.fixture(scope="module")
def network() -> Classifier:
    loaded = hs.load("efficientnet_lite0")
    return loaded.with_preprocessing(replace(loaded.preprocessing, input_size=(64, 64)))


@pytest.fixture(autouse=True)
def all_memory() -> Iterator[None]:
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def recipe(splits: Splits, **changes: object) -> Recipe:
    base = choose_recipe("default", splits.train.class_counts())
    return replace(base, epochs=2, flip=False, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_learns(digits: Splits, network: Classifier, precision: str) -> None:
    options = TuneOptions(device="cuda", precision=precision)  # type: ignore[arg-type]
    tuned = fine_tune(network, digits, recipe=recipe(digits), options=options)
    assert tuned.history is not None
    assert tuned.history.epochs[-1].accuracy > 0.93
    assert next(tuned.parameters()).device.type == "cpu"


def test_a_batch_that_does_not_fit_goes_in_parts(digits: Splits, network: Classifier) -> None:
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(min(1.0, 2.0e9 / total))
    large = network.with_preprocessing(replace(network.preprocessing, input_size=(224, 224)))
    tuned = fine_tune(large, digits, recipe=recipe(digits, batch_size=256), options=OPTIONS)
    assert tuned.history is not None
    assert any("out of memory" in note for note in tuned.history.notes)
    assert tuned.history.epochs[-1].accuracy > 0.8


def test_it_goes_on_from_a_checkpoint(digits: Splits, network: Classifier, tmp_path: Path) -> None:
    class Stop:
        def start(self, what: str, *, total: int | None = None, unit: str = "") -> None:
            if what == "epoch 2":
                raise KeyboardInterrupt

        def advance(self, count: int = 1) -> None: ...

        def note(self, text: str) -> None: ...

    with pytest.raises(KeyboardInterrupt):
        fine_tune(network, digits, recipe=recipe(digits), out=tmp_path, options=OPTIONS, progress=Stop())
    tuned = fine_tune(network, digits, recipe=recipe(digits), out=tmp_path, options=OPTIONS)
    assert tuned.history is not None
    assert [epoch.number for epoch in tuned.history.epochs] == [1, 2]
