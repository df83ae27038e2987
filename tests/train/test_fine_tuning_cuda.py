"""On an NVIDIA GPU: fine-tuning learns, fits the memory there is, and goes on from a checkpoint."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import headstart as hs
from headstart.data import Splits
from headstart.data.scan import scan
from headstart.models import Classifier
from headstart.models.history import History
from headstart.train import Recipe, TuneOptions, choose_recipe, fine_tune
from headstart.train.replay import Replay, Work

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
    large = network.with_preprocessing(replace(network.preprocessing, input_size=(128, 128)))

    def train() -> History:
        tuned = fine_tune(large, digits, recipe=recipe(digits, batch_size=256), options=OPTIONS)
        assert tuned.history is not None
        return tuned.history

    whole = train()
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + 1.2e9) / total))
    in_parts = train()
    assert any("out of memory" in note for note in in_parts.notes)
    assert not any("out of memory" in note for note in whole.notes)
    for one, other in zip(in_parts.epochs, whole.epochs, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=0.05)
        assert one.accuracy == pytest.approx(other.accuracy, abs=0.06)


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


def small_network() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(8, 4)).cuda()


def work_on(network: nn.Module) -> Work:
    def work(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        summed = network(tensors[0]).logsumexp(1).square().sum()
        (summed * tensors[1]).backward()
        return summed.detach()

    return work


def test_replayed_work_trains_as_the_work_itself() -> None:
    network = small_network()
    twin = copy.deepcopy(network)
    runs = (Replay(work_on(network), network), work_on(twin))
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (network, twin)]
    shapes = [(8, 3, 16, 16)] * 4 + [(8, 3, 24, 24)] * 4 + [(5, 3, 24, 24)] + [(8, 3, 16, 16)] * 2
    for number, shape in enumerate(shapes):
        if number == 6:  # fewer layers from here on
            for each in (network, twin):
                each[0].weight.requires_grad_(False)
        x = torch.randn(shape, device="cuda", generator=torch.Generator("cuda").manual_seed(number))
        losses = []
        for run, optimizer in zip(runs, optimizers, strict=True):
            optimizer.zero_grad()
            losses.append(float(run([x, torch.tensor(1 / len(x), device="cuda")])))
            optimizer.step()
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for mine, other in zip(network.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.allclose(mine.double(), other.double(), rtol=1e-3, atol=1e-5)


def test_only_what_comes_twice_in_a_row_is_recorded() -> None:
    network = small_network()
    work, sizes = work_on(network), []

    def counted(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        sizes.append(len(tensors[0]))
        return work(tensors)

    replay, one = Replay(counted, network), torch.ones((), device="cuda")
    for count in (8, 8, 8, 3, 8, 3, 8):
        network.zero_grad()
        replay([torch.zeros(count, 3, 16, 16, device="cuda"), one])
    # Once as it is, twice to record; the smaller ones as they are.
    assert sizes == [8, 8, 8, 3, 3]


def test_what_cannot_be_recorded_is_done_as_it_is() -> None:
    network = small_network()
    work = work_on(network)

    def waiting(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        # Asked for its result while it is recorded, the GPU has none.
        return work(tensors) * float(tensors[0].sum().isfinite())

    replay = Replay(waiting, network)
    x = torch.randn(4, 3, 16, 16, device="cuda")
    gradients = []
    for _ in range(3):
        network.zero_grad()
        replay([x, torch.ones((), device="cuda")])
        gradients.append(network[0].weight.grad.clone())
    assert torch.allclose(gradients[0], gradients[2], rtol=1e-3, atol=1e-5)
