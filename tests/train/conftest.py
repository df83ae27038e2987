"""Fine-tunings that take a second: digits of 32 pixels, and a network of half a million weights."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import headstart as hs
from headstart.data import Splits
from headstart.data.scan import scan
from headstart.embed import embed
from headstart.models import Classifier
from headstart.models.history import History
from headstart.train import LinearProbe, Recipe, TuneOptions, fine_tune, fold_probe

Tune = Callable[..., Classifier]

PARTS = ("train", "train", "val")

BRIEF = Recipe(
    name="brief",
    start="fresh head",
    epochs=3,
    batch_size=16,
    rate=2e-3,
    input_rate=0.2,
    weight_decay=0.02,
    warm_up=0.1,
    averaging=0.1,
    clipping=1.0,
    smallest_crop=0.5,
    flip=True,
    colour=0.2,
    label_smoothing=0.05,
)

FAST = TuneOptions(device="cpu", precision="fp32")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep networks this small on one thread: several only wait for each other on busy machines."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def brief() -> Recipe:
    """All that the default recipe does, over in 15 steps."""
    return BRIEF


@pytest.fixture(scope="session")
def fast() -> TuneOptions:
    """Float32 on the processor."""
    return FAST


@pytest.fixture(scope="session")
def few_digits() -> Splits:
    """80 digits to train on and 40 for validation; none is locked away."""
    dataset = hs.open_dataset("digits").select(range(120))
    given = tuple(PARTS[index % 3] for index in range(len(dataset)))
    return scan(replace(dataset, given_splits=given)).dataset.split()


@pytest.fixture(scope="session")
def begun(
    tiny_models: tuple[str, str], few_digits: Splits, tmp_path_factory: pytest.TempPathFactory
) -> Classifier:
    """A small convolutional network with a probe for its head, for pictures of 32 pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_HOME", str(tmp_path_factory.mktemp("home")))
        network = hs.load(tiny_models[1])
        network = network.with_preprocessing(replace(network.preprocessing, input_size=(32, 32)))
        embedded = embed(network, few_digits.train)
        probe = LinearProbe().fit(embedded.rows(few_digits.train.ids), few_digits.train.labels)
    return network.with_head(fold_probe(probe), few_digits.train.class_names)


@pytest.fixture
def tune(begun: Classifier, few_digits: Splits) -> Tune:
    """A function that fine-tunes `begun`; settings of the recipe, options and all else by keyword."""

    def run(
        model: Classifier = begun,
        pictures: Splits = few_digits,
        *,
        recipe: Recipe = BRIEF,
        out: Path | None = None,
        options: TuneOptions = FAST,
        **others: object,
    ) -> Classifier:
        return fine_tune(model, pictures, recipe=recipe, out=out, options=options, **others)  # type: ignore[arg-type]

    return run


def digest(classifier: Classifier) -> str:
    """Return the sha256 of all tensors, head included."""
    sha = hashlib.sha256()
    for name, tensor in sorted(classifier.state_dict().items()):
        sha.update(name.encode())
        sha.update(np.ascontiguousarray(tensor.detach().numpy()).tobytes())
    return sha.hexdigest()


def lasting(classifier: Classifier) -> History:
    """Return the history without what a clock told."""
    history = classifier.history
    assert history is not None
    return replace(
        history, epochs=tuple(replace(each, seconds=0.0, pictures_per_second=0.0) for each in history.epochs)
    )


@pytest.fixture(scope="session")
def assert_same() -> Callable[[Classifier, Classifier], None]:
    """A function that asserts that two fine-tuned networks and their histories are the same, bit for bit."""

    def check(found: Classifier, expected: Classifier) -> None:
        assert lasting(found) == lasting(expected)
        assert digest(found) == digest(expected)

    return check
