"""Training pictures, varied: what happens to one depends on seed, epoch and picture alone.

So it is the same in whichever thread, process or order pictures are made, and after a run was killed. It is
drawn for each picture by itself, and done to a whole batch at once, where the network is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from headstart.train.recipe import Recipe

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

NUM_DRAWN = 8
"""Numbers that say how a picture is varied: top, left, height and width of the part that is shown, as shares
of the picture; -1 if it is mirrored, else 1; factors of brightness, contrast and saturation."""

_ASPECT = (3 / 4, 4 / 3)  # of a crop. Source: Szegedy et al. 2014, https://arxiv.org/abs/1409.4842
_UNCHANGED = np.array([0, 0, 1, 1, 1, 1, 1, 1], np.float32)
_GREY = (0.299, 0.587, 0.114)  # of red, green, blue. Source: ITU-R BT.601


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixing:
    """What a training picture is mixed with.

    Attributes:
        partner: index of the other picture.
        share: of this one, in [0.5, 1].
    """

    partner: int
    share: float


def draws_of(seed: int, epoch: int, picture: int, purpose: int = 0) -> np.random.Generator:
    """Return the random numbers of one picture in one epoch."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch, picture, purpose])))


def draw_variation(recipe: Recipe, draws: np.random.Generator) -> Floats:
    """Return how a picture is varied, float32 of shape (NUM_DRAWN,).

    Source: crops of random area and aspect ratio: Szegedy et al. 2014, https://arxiv.org/abs/1409.4842.
    """
    drawn = _UNCHANGED.copy()
    if recipe.smallest_crop < 1:
        area, aspect = draws.uniform(recipe.smallest_crop, 1), np.exp(draws.uniform(*np.log(_ASPECT)))
        height, width = min(1.0, np.sqrt(area / aspect)), min(1.0, np.sqrt(area * aspect))
        drawn[:4] = draws.uniform(0, 1 - height), draws.uniform(0, 1 - width), height, width
    if recipe.flip and draws.random() < 0.5:
        drawn[4] = -1
    if recipe.colour:
        drawn[5:] = draws.uniform(1 - recipe.colour, 1 + recipe.colour, 3)
    return drawn


def vary(pixels: torch.Tensor, drawn: torch.Tensor, recipe: Recipe, *, side: int = 0) -> torch.Tensor:
    """Return varied pictures, float32 of shape (N, H, W, 3), from 0 to 255.

    Args:
        pixels: uint8 of shape (N, H, W, 3), red first.
        drawn: float32 of shape (N, NUM_DRAWN), on the same device.
        recipe: says what of it is done at all.
        side: height and width of what is returned; 0 for those of `pixels`.
    """
    pictures = pixels.permute(0, 3, 1, 2).float()  # (N, 3, H, W)
    size = (side, side) if side else (pictures.shape[2], pictures.shape[3])
    if recipe.smallest_crop < 1 or recipe.flip:
        pictures = _cut_out(pictures, drawn, size)
    elif size != pictures.shape[2:]:
        pictures = functional.interpolate(pictures, size, mode="bilinear", antialias=True)
    if recipe.colour:
        pictures = _recolour(pictures, drawn)
    return pictures.permute(0, 2, 3, 1)


def augment(pixels: Pixels, recipe: Recipe, draws: np.random.Generator) -> Pixels:
    """Return one picture as it is trained on, uint8 of the same shape (H, W, 3).

    Args:
        pixels: uint8 of shape (H, W, 3).
        recipe: how much it is varied.
        draws: that picture's random numbers.
    """
    drawn = torch.from_numpy(draw_variation(recipe, draws))
    varied: Pixels = vary(torch.from_numpy(pixels)[None], drawn[None], recipe)[0].round().byte().numpy()
    return varied


def draw_mixing(recipe: Recipe, draws: np.random.Generator, *, num_pictures: int) -> Mixing | None:
    """Return what a picture is mixed with, None where the recipe mixes nothing.

    Source: Zhang et al. 2018, "mixup", https://arxiv.org/abs/1710.09412.
    """
    if not recipe.mixup:
        return None
    share = float(draws.beta(recipe.mixup, recipe.mixup))
    return Mixing(partner=int(draws.integers(num_pictures)), share=max(share, 1 - share))


def _cut_out(pictures: torch.Tensor, drawn: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return the drawn parts of pictures (N, 3, H, W), mirrored or not, as pictures of that size."""
    top, left, height, width, mirror = drawn[:, :5].unbind(1)
    theta = drawn.new_zeros(
        len(drawn), 2, 3
    )  # from places in the result to places in the picture, in [-1, 1]
    theta[:, 0, 0], theta[:, 0, 2] = mirror * width, 2 * left + width - 1
    theta[:, 1, 1], theta[:, 1, 2] = height, 2 * top + height - 1
    grid = functional.affine_grid(theta, [*pictures.shape[:2], *size], align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def _recolour(pictures: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """Return pictures (N, 3, H, W) of other brightness, contrast and saturation, in this order."""
    brightness, contrast, saturation = drawn[:, 5:, None, None, None].unbind(1)
    pictures = (pictures * brightness).clamp_(0, 255)
    middle = _grey(pictures).mean(dim=(2, 3), keepdim=True)
    pictures = torch.lerp(middle, pictures, contrast).clamp_(0, 255)
    return torch.lerp(_grey(pictures), pictures, saturation).clamp_(0, 255)


def _grey(pictures: torch.Tensor) -> torch.Tensor:
    """Return the grey levels of pictures (N, 3, H, W), of shape (N, 1, H, W)."""
    red, green, blue = (share * pictures[:, at : at + 1] for at, share in enumerate(_GREY))
    return red + green + blue
