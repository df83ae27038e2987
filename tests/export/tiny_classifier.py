"""A network of random weights that tells pictures apart, and what became of it."""

from dataclasses import dataclass
from pathlib import Path

import torch

import headstart as hs
from headstart.export import Exported
from headstart.models import Classifier
from headstart.preprocess import with_resolution

CLASSES = ("cross", "disc", "square <é>")


def make_tiny(name: str = "timm/test_efficientnet", *, fit: str = "crop") -> Classifier:
    """Return a network of random weights whose probabilities differ widely from picture to picture."""
    classifier = hs.load(name, weights=None, num_classes=3)
    small = with_resolution(classifier.preprocessing, 64, fit=fit)  # type: ignore[arg-type]
    head = classifier.head
    assert isinstance(head, torch.nn.Linear)
    head.weight.data = torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(0)) * 3
    return classifier.with_head(head, CLASSES).with_preprocessing(small).with_temperature(1.7)


@dataclass(frozen=True, kw_only=True)
class Made:
    exported: Exported
    classifier: Classifier
    pictures: Path
