"""Training pictures that begin small and grow: most of what a network learns first can be seen on them.

Source: Howard 2018, "Training Imagenet in 3 hours for USD 25" (progressive resizing),
https://www.fast.ai/posts/2018-04-30-dawnbench-fastai.html; Tan and Le 2021, "EfficientNetV2",
https://arxiv.org/abs/2104.00298.
"""

from dataclasses import dataclass, replace
from math import log
from typing import TypeAlias

import torch
from torch import nn
from torch.nn import functional

from headstart.embed.fuse import find_norms
from headstart.models import Classifier
from headstart.train.recipe import Recipe

Sides: TypeAlias = tuple[int, ...]

GROWING = 0.6
"""Share of a training's steps over which its pictures grow."""

_SMALLEST = 64  # pixels: the last maps of most networks are then 2 by 2
_STEP = 32  # pixels: what most networks divide a side by, so that no map is cut off


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How large the pictures are at each step of a training.

    Attributes:
        sides: in pixels, rising; the last is that of the trained network.
        num_steps: of the whole training.
    """

    sides: Sides
    num_steps: int

    @property
    def full(self) -> int:
        """Side of the trained network's pictures, in pixels."""
        return self.sides[-1]

    def side(self, step: int) -> int:
        """Return the side at a step, counted from 0."""
        share = step / (GROWING * max(1, self.num_steps))
        return self.sides[min(int(share * (len(self.sides) - 1)), len(self.sides) - 1)]

    def paying(self, step_seconds: float, side_seconds: float) -> "Growth":
        """Return this growth, or none where making ready for smaller pictures takes longer than they save.

        Args:
            step_seconds: of a step with pictures of full side.
            side_seconds: until a step with pictures of another side is as fast as it will be.
        """
        saved = step_seconds * (self.num_steps - self.work(0, self.num_steps))
        if saved > side_seconds * (len(self.sides) - 1):
            return self
        return replace(self, sides=self.sides[-1:])

    def work(self, start: int, stop: int) -> float:
        """Return what the steps from `start` to before `stop` cost, in steps of full side."""
        return sum((self.side(step) / self.full) ** 2 for step in range(start, stop))


def sides_of(backbone: nn.Module, recipe: Recipe, *, full: int) -> Sides:
    """Return the sides that training pictures have in turn, in pixels, rising to `full`.

    There is but one where the recipe lets nothing grow, or where the network would not do the same with
    smaller pictures: where it takes one size alone, or pads otherwise.

    Args:
        backbone: float32 on the processor, in eval mode, its norms not folded.
        recipe: says with what share of the side the pictures begin.
        full: side of the network's pictures.
    """
    first = max(_SMALLEST, int(recipe.first_side * full) // _STEP * _STEP)
    if full % _STEP or first >= full:
        return (full,)
    expected = _behaviour(backbone, full)
    if expected is None or _behaviour(backbone, first) != expected:
        return (full,)
    return (*range(first, full, _STEP), full)


def known_sides(classifier: Classifier, x: torch.Tensor, labels: torch.Tensor, sides: Sides) -> Sides:
    """Return the largest sides at which a network knows its training pictures better than by guessing.

    A head that was fitted at the full side may be sure and wrong with smaller pictures, and a training that
    begins there unlearns what the network knew: a probe of scanned digits at 224 pixels has a log loss of 0.5
    there, and of 143 at 96.

    Args:
        classifier: in eval mode, on the processor.
        x: pictures as it takes them, of the full side: float32 of shape (N, 3, H, W).
        labels: int64 of shape (N,), in [0, K).
        sides: in pixels, rising to the full one, which is always kept.
    """
    guessing = log(len(classifier.class_names))
    known = sides[-1:]
    for side in reversed(sides[:-1]):
        small = functional.interpolate(x, (side, side), mode="bilinear", antialias=True)
        with torch.inference_mode():
            loss = functional.cross_entropy(classifier(small), labels)
        if not float(loss) < guessing:
            break
        known = (side, *known)
    return known


def _behaviour(backbone: nn.Module, side: int) -> object:
    """Return what must be the same at all sides: the width of the features, and how convolutions pad."""
    try:
        paddings = {name: found.paddings for name, found in find_norms(backbone, side=side).items()}
        with torch.inference_mode():
            width = backbone(torch.zeros(1, 3, side, side)).shape[1:]
    except (AssertionError, RuntimeError):  # what networks of one size raise
        return None
    return width, paddings
