"""Pictures in fixed parts, and one finished comparison that many tests look at."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import headstart as hs
from headstart.compare import CompareOptions, Comparison, compare
from headstart.data import Splits
from headstart.data.scan import scan
from headstart.evaluate import cost

OPTIONS = CompareOptions(device="cpu", plan="exact", resolutions=(64,))


@pytest.fixture(autouse=True)
def _short_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time each network once: no test here is about the figure."""
    monkeypatch.setattr(cost, "BUDGET_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep networks this small on one thread: several only wait for each other on busy machines."""
    with one_thread():
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="session")
def options() -> CompareOptions:
    """What every comparison here is made with: exact, and small pictures."""
    return OPTIONS


@pytest.fixture(scope="session")
def holdout(shapes: Path) -> Splits:
    """270 drawn pictures with given parts: 162 for training, 54 for validation, 54 for the test."""
    dataset = hs.open_dataset(shapes)
    half = dataset.select(range(0, len(dataset), 2))
    parts = ("train", "train", "train", "val", "test")
    given = replace(half, given_splits=tuple(parts[index % 5] for index in range(len(half))))
    return scan(given).dataset.split()


@pytest.fixture(scope="session")
def finished(
    tiny_models: tuple[str, str],
    holdout: Splits,
    tmp_path_factory: pytest.TempPathFactory,
) -> Comparison:
    """An undisturbed comparison of two models on `holdout`, the second one the reference."""
    with one_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr(cost, "BUDGET_SECONDS", 0.0)
        return compare(
            tiny_models,
            holdout,
            out=tmp_path_factory.mktemp("runs") / "finished",
            options=replace(OPTIONS, reference=tiny_models[1], command="headstart compare shapes"),
        )
