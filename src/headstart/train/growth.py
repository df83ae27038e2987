"""Training pictures that begin small and grow: most of what a network learns first can be seen on them.

Source: Howard 2018, "Training Imagenet in 3 hours for USD 25" (progressive resizing),
https://www.fast.ai/posts/2018-04-30-dawnbench-fastai.html; Tan and Le 2021, "EfficientNetV2",
https://arxiv.org/abs/2104.00298.
"""

from dataclasses import dataclass

import torch
from torch import nn

from headstart.embed.fuse import find_norms
from headstart.train.recipe import Recipe

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

    sides: tuple[int, ...]
    num_steps: int

    @property
    def full(self) -> int:
        """Side of the trained network's pictures, in pixels."""
        return self.sides[-1]

    def side(self, step: int) -> int:
        """Return the side at a step, counted from 0."""
        share = step / (GROWING * max(1, self.num_steps))
        return self.sides[min(int(share * (len(self.sides) - 1)), len(self.sides) - 1)]

    def work(self, start: int, stop: int) -> float:
        """Return what the steps from `start` to before `stop` cost, in steps of full side."""
        return sum((self.side(step) / self.full) ** 2 for step in range(start, stop))


def sides_of(backbone: nn.Module, recipe: Recipe, *, full: int) -> tuple[int, ...]:
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


def _behaviour(backbone: nn.Module, side: int) -> object:
    """Return what must be the same at all sides: the width of the features, and how convolutions pad."""
    try:
        paddings = {name: found.paddings for name, found in find_norms(backbone, side=side).items()}
        with torch.inference_mode():
            width = backbone(torch.zeros(1, 3, side, side)).shape[1:]
    except (AssertionError, RuntimeError):  # what networks of one size raise
        return None
    return width, paddings
