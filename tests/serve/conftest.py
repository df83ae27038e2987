"""A service of a tiny network, on a port of the loopback address, as users reach it."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from running_service import Running, encoded

from headstart.data.pixels import prepare_picture
from headstart.models import Classifier, load
from headstart.models.neighbours import Neighbours, reduce_features
from headstart.preprocess import to_input


@pytest.fixture(scope="session")
def classifier(tiny_models: tuple[str, str]) -> Classifier:
    """A tiny network of seven classes."""
    return load(tiny_models[0])


@pytest.fixture(scope="session")
def neighbours(classifier: Classifier) -> Neighbours:
    """Four training pictures, those of the seeds 0 to 3, of the classes 0 to 3."""
    raws = [encoded(seed, size=(320, 240)) for seed in range(4)]
    pixels = [prepare_picture(raw, (classifier.preprocessing,), decoder="fast").pixels[0] for raw in raws]
    with torch.inference_mode():
        x = to_input(torch.from_numpy(np.stack(pixels)), classifier.preprocessing)
        features = classifier.features(x).numpy()
    mean, axes = features.mean(0) * 0, np.eye(features.shape[1], dtype=np.float32)
    return Neighbours(
        mean=mean,
        axes=axes,
        points=reduce_features(features, mean, axes).astype(np.float16),
        labels=np.arange(4),
        thumbnails=np.frombuffer(b"".join(raws), np.uint8),
        ends=np.cumsum([len(raw) for raw in raws]),
    )


@pytest.fixture(scope="module")
def start(classifier: Classifier) -> Iterator[Callable[..., Running]]:
    """Return a function that starts a service; it ends with the module."""
    running: list[Running] = []

    def begin(**settings: Any) -> Running:
        running.append(Running(settings.pop("classifier", classifier), **settings))
        return running[-1]

    yield begin
    for each in running:
        each.stop()


@pytest.fixture(scope="module")
def service(start: Callable[..., Running]) -> Running:
    """A service with its usual limits."""
    return start()


@pytest.fixture
def client(service: Running) -> Iterator[httpx2.Client]:
    """A client of it."""
    with service.client() as opened:
        yield opened
