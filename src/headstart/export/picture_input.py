"""From pixels of any size to a network's input, as a part of the network.

Neither ONNX nor torch has an operator that resizes as Pillow does, with all its filters, and runtimes differ
in those they have. But resizing, cutting out and filling up are linear along each axis: so each axis becomes
one matrix, made from the picture's size while the network runs, and the rest is two matrix products.
"""

from math import floor, pi

import torch
from torch import nn

from headstart.catalog.entry import Preprocessing

# A row of the matrix has weights for few of the picture's pixels. So the columns of the input are made in
# this many bands, each from the pixels that it needs: for large pictures that saves most of the work.
_BANDS = 8
_UNITS = 2.0**22  # Pillow's weights are whole numbers of this part of 1: ties between two levels rest on it
# How many pixels of the resized picture a filter reaches to each side, in Pillow's Resample.c.
_REACH = {"nearest": 1, "bilinear": 1, "bicubic": 2, "lanczos": 3}


class PictureInput(nn.Module):
    """Maps uint8 pictures (N, H, W, 3), red first, of any one size to a network's float32 input (N, 3, h, w).

    It gives what `headstart.preprocess` gives: Pillow rounds weights to 22 bits and levels after each axis,
    and so does this. Only where a picture is squashed Pillow may begin with the height, which this never
    does: then levels are off by one or two.

    Args:
        preprocessing: what is done to the pictures.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self._preprocessing = preprocessing
        low, high = preprocessing.input_range
        mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        # In the order of the network's channels, as are the colours that are filled up with.
        self.register_buffer("scale", ((high - low) / 255 / std).view(3, 1, 1))
        self.register_buffer("shift", ((low - mean) / std).view(3, 1, 1))
        levels = [round(255 * (mean - low) / (high - low)) for mean in preprocessing.mean]
        self.register_buffer("colour", torch.tensor(levels).clamp(0, 255).float().view(3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Resize, cut out or fill up, and normalise."""
        height, width = self._preprocessing.input_size
        rows, columns = torch.arange(pixels.shape[1]), torch.arange(pixels.shape[2])
        old_height, old_width = rows[-1] + 1, columns[-1] + 1  # sizes as tensors: they are known when it runs
        new_height, new_width = self._resized_size(old_height, old_width)
        x = pixels.permute(0, 2, 3, 1).flatten(2)  # (N, W, 3*H)
        x = self._resize_widths(x, columns, old_width, new_width)  # (N, w, 3*H)
        x = x.reshape(x.shape[0], width, 3, -1)  # (N, w, 3, H)
        matrix = self._weights(rows, self._places(height, new_height), old_height, new_height)  # (h, H)
        x = _to_levels(x.to(matrix.dtype) @ matrix.T).permute(0, 2, 3, 1)  # (N, 3, h, w)
        if self._preprocessing.input_space == "BGR":
            x = x.flip(1)
        if self._preprocessing.fit == "pad":
            is_inside = (
                _is_inside(self._places(height, new_height), new_height)[:, None]
                & _is_inside(self._places(width, new_width), new_width)[None]
            )
            x = torch.where(is_inside, x, self.get_buffer("colour"))
        return x * self.get_buffer("scale") + self.get_buffer("shift")

    def _resized_size(
        self, old_height: torch.Tensor, old_width: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (height, width) as `headstart.preprocess.pixels.resized_size` has them, without branches."""
        height, width = self._preprocessing.input_size
        whole = torch.ones_like(old_height)
        if self._preprocessing.fit == "squash":
            return height * whole, width * whole
        if self._preprocessing.fit == "pad":
            by_width = _rounded_quotient(width * old_height, old_width)
            by_height = _rounded_quotient(height * old_width, old_height)
            return (
                torch.maximum(torch.minimum(height * whole, by_width), whole),
                torch.maximum(torch.minimum(width * whole, by_height), whole),
            )
        height, width = (floor(side / self._preprocessing.crop_fraction) for side in (height, width))
        return (
            torch.maximum(height * whole, width * old_height // old_width),
            torch.maximum(width * whole, height * old_width // old_height),
        )

    def _places(self, size: int, new: torch.Tensor) -> torch.Tensor:
        """Return which places of the resized axis the input shows, int64 of shape (size,)."""
        if self._preprocessing.fit == "pad":
            return torch.arange(size) - (size - new) // 2
        return torch.arange(size) + _rounded_quotient(new - size, torch.full_like(new, 2))

    def _resize_widths(
        self, x: torch.Tensor, columns: torch.Tensor, old: torch.Tensor, new: torch.Tensor
    ) -> torch.Tensor:
        """Map (N, W, 3*H) to (N, w, 3*H), band by band."""
        width = self._preprocessing.input_size[1]
        reach = _REACH[self._preprocessing.interpolation]
        places = self._places(width, new)
        if self._preprocessing.fit == "pad":  # how much it shrinks depends on the height too: one band
            targets, sources = places[None], columns[None]
        else:
            per_band = -(-width // _BANDS)
            targets = (places[:1] + torch.arange(_BANDS * per_band)).view(_BANDS, per_band)
            start = targets[:, :1]
            first = ((start - reach) * old // new).minimum(start * old // new - reach) - 1
            # Resized, no picture is narrower than the input: that bounds what a band needs.
            length = (per_band + 2 * reach) * (x.shape[1] + width) // width + 2
            sources = first + torch.arange(length)
        weights = self._weights(sources, targets, old, new)  # (bands, per_band, length)
        inside = sources.clamp(min=0).minimum(old - 1)
        bands = x[:, inside.flatten()].reshape(x.shape[0], len(targets), -1, x.shape[2])
        # (bands, per_band, length) @ (N, bands, length, 3*H)
        made = weights @ bands.to(weights.dtype)
        return _to_levels(made.flatten(1, 2)[:, :width])

    def _weights(
        self, sources: torch.Tensor, targets: torch.Tensor, old: torch.Tensor, new: torch.Tensor
    ) -> torch.Tensor:
        """Return how much of each source pixel is in each target pixel, in units of 1 / `_UNITS`.

        Args:
            sources: int64 of shape (..., S), places in the picture; those outside of it get no weight.
            targets: int64 of shape (..., T), places in the resized picture.
            old: length of the picture's axis.
            new: length of the resized axis.

        Returns:
            float64 of shape (..., T, S), whole numbers; each row sums to about `_UNITS` where `sources` has
            all that it needs.
        """
        targets = targets.clamp(min=0).minimum(new - 1)[..., None]
        places = sources[..., None, :]
        if self._preprocessing.interpolation == "nearest":
            return _UNITS * (places == (2 * targets + 1) * old // (2 * new)).to(torch.float64)
        shrink = old.to(torch.float64) / new
        centres = (targets.to(torch.float64) + 0.5) * shrink
        weights = self._filter((places - centres + 0.5) / shrink.clamp(min=1))
        weights = torch.where(_is_inside(places, old), weights, 0.0)
        weights = weights / weights.sum(-1, keepdim=True)
        return torch.where(weights < 0, (_UNITS * weights - 0.5).ceil(), (_UNITS * weights + 0.5).floor())

    def _filter(self, x: torch.Tensor) -> torch.Tensor:
        """Return a filter's value at a distance. Source: Pillow, src/libImaging/Resample.c"""
        x = x.abs()
        if self._preprocessing.interpolation == "bilinear":
            return (1 - x).clamp(min=0)
        if self._preprocessing.interpolation == "bicubic":
            near = (1.5 * x - 2.5) * x * x + 1
            far = ((2.5 - 0.5 * x) * x - 4) * x + 2
            return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
        x = x.clamp(min=1e-6) * pi  # lanczos; so near to 0 the quotients below are 1
        windowed = x.sin() / x * ((x / 3).sin() / (x / 3))
        return torch.where(x < 3 * pi, windowed, 0.0)


def _to_levels(x: torch.Tensor) -> torch.Tensor:
    """Return the nearest grey level of sums of weighted pixels, halves upwards, as float32."""
    return (x / _UNITS + 0.5).floor().clamp(0, 255).to(torch.float32)


def _is_inside(places: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    return (places >= 0) & (places < length)


def _rounded_quotient(number: torch.Tensor, divisor: torch.Tensor) -> torch.Tensor:
    """Return the quotient of two whole numbers, rounded, halves to the even, as Python's `round` does."""
    below, rest = number // divisor, number % divisor
    is_up = (2 * rest > divisor) | ((2 * rest == divisor) & (below % 2 == 1))
    return below + is_up.to(torch.int64)
