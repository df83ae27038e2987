"""A classifier of three shapes that is made in no time."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import headstart as hs
from headstart.models import Classifier

CLASSES = ("square", "cross", "disc")


@pytest.fixture(scope="session")
def classifier(tiny_models: tuple[str, str]) -> Classifier:
    """A tiny network with a random head for the classes of `shapes`, in another order."""
    network = hs.load(tiny_models[1])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = nn.Linear(network.feature_dim, len(CLASSES))
    small = replace(network.preprocessing, input_size=(64, 64))
    return network.with_preprocessing(small).with_head(head, CLASSES, temperature=0.5)
