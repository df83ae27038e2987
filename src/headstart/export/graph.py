"""What is exported, as modules: pictures to input, input to probabilities, or both."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from headstart.export.picture_input import PictureInput
from headstart.models import Classifier

Arrays = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
"""What a file is given: uint8 pictures (N, H, W, 3), or float32 input (N, 3, h, w)."""

Floats = npt.NDArray[np.float32]
Run = Callable[[Arrays], Floats]
"""Runs a file: what it is given, to probabilities (N, K)."""

PIXELS, INPUT, PROBABILITIES = "pixels", "input", "probabilities"
"""The names of what goes in, of either kind, and of what comes out."""


class Probabilities(nn.Module):
    """Maps a network's input (N, 3, h, w) to calibrated probabilities (N, K)."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier.with_logits_as_features()
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return float32 of shape (N, K), rows sum to 1."""
        return self.classifier.probabilities(self.classifier.features(x))


def whole_graph(classifier: Classifier, *, include_preprocessing: bool) -> nn.Module:
    """Return the module from a file's input to probabilities."""
    network = Probabilities(classifier)
    if not include_preprocessing:
        return network
    return nn.Sequential(PictureInput(classifier.preprocessing), network).eval()


def trace(module: nn.Module, example: torch.Tensor) -> torch.export.ExportedProgram:
    """Return a module as a program for any number of pictures, and for any size where they are pixels.

    Args:
        module: in eval mode, on the CPU.
        example: its input, with two or more of whatever may be any number.
    """
    free = range(3) if example.dtype == torch.uint8 else range(1)
    shapes = ({axis: torch.export.Dim.DYNAMIC for axis in free},)
    with torch.no_grad():
        return torch.export.export(module, (example,), dynamic_shapes=shapes, strict=False)


def example_pixels() -> torch.Tensor:
    """Return two grey pictures, uint8 of shape (2, H, W, 3), of a size that no network has."""
    return torch.full((2, 283, 251, 3), 128, dtype=torch.uint8)


def example_input(classifier: Classifier) -> torch.Tensor:
    """Return a network's input for two pictures, float32 of shape (2, 3, h, w)."""
    return torch.zeros(2, 3, *classifier.preprocessing.input_size)
