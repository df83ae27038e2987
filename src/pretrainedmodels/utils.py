"""From a picture's path to a network's input, as the settings of its weights ask for."""

import math
from collections.abc import Mapping
from os import PathLike
from types import SimpleNamespace
from typing import Any

import torch
from PIL import Image
from torch import nn
from torchvision import transforms

__all__ = ["Identity", "LoadImage", "LoadTransformImage", "ToRange255", "ToSpaceBGR", "TransformImage"]


def munchify(settings: Mapping[str, Any]) -> SimpleNamespace:
    """Return settings with attributes in place of keys; the original had it from the package munch."""
    return SimpleNamespace(**settings)


class ToSpaceBGR:
    """Swaps red and blue of a tensor (C, H, W), if `is_bgr`."""

    def __init__(self, is_bgr: bool) -> None:
        self.is_bgr = is_bgr

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the tensor (3, H, W) with its channels in the wanted order."""
        return tensor[[2, 1, 0]] if self.is_bgr else tensor


class ToRange255:
    """Stretches values from [0, 1] to [0, 255], if `is_255`."""

    def __init__(self, is_255: bool) -> None:
        self.is_255 = is_255

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the tensor in the wanted range; unlike the original, the one given stays as it is."""
        return tensor * 255 if self.is_255 else tensor


class TransformImage:
    """A picture to a network's input: resize, crop, flip, channel order, range, mean and std.

    Args:
        opts: a network of this library, or one of its settings: whatever has `input_size`, `input_space`,
            `input_range`, `mean` and `std`, as attributes or as keys.
        scale: the crop's side over the resized picture's.
        random_crop: crop anywhere in place of the middle, for training.
        random_hflip: mirror every second picture, for training.
        random_vflip: turn every second picture upside down, for training.
        preserve_aspect_ratio: resize the shorter side; False squashes the picture to the input's shape.
    """

    def __init__(
        self,
        opts: Any,
        scale: float = 0.875,
        random_crop: bool = False,
        random_hflip: bool = False,
        random_vflip: bool = False,
        preserve_aspect_ratio: bool = True,
    ) -> None:
        if isinstance(opts, Mapping):
            opts = munchify(opts)
        self.input_size = opts.input_size
        self.input_space = opts.input_space
        self.input_range = opts.input_range
        self.mean = opts.mean
        self.std = opts.std
        self.scale = scale
        self.random_crop = random_crop
        self.random_hflip = random_hflip
        self.random_vflip = random_vflip
        height, width = self.input_size[1:]
        resized: int | tuple[int, int] = math.floor(max(height, width) / scale)
        if not preserve_aspect_ratio:
            resized = (int(height / scale), int(width / scale))
        crop = transforms.RandomCrop if random_crop else transforms.CenterCrop
        steps = [transforms.Resize(resized), crop((height, width))]
        if random_hflip:
            steps.append(transforms.RandomHorizontalFlip())
        if random_vflip:
            steps.append(transforms.RandomVerticalFlip())
        self.tf = transforms.Compose(
            [
                *steps,
                transforms.ToTensor(),
                ToSpaceBGR(self.input_space == "BGR"),
                ToRange255(max(self.input_range) == 255),
                transforms.Normalize(mean=self.mean, std=self.std),
            ]
        )

    def __call__(self, img: Image.Image) -> torch.Tensor:
        """Return the picture as float32 of shape (3, H, W)."""
        tensor: torch.Tensor = self.tf(img)
        return tensor


class LoadImage:
    """Opens a picture in a colour space of Pillow's, "RGB" as a rule."""

    def __init__(self, space: str = "RGB") -> None:
        self.space = space

    def __call__(self, path_img: str | PathLike[str]) -> Image.Image:
        """Return the picture; raise OSError where it cannot be read."""
        with Image.open(path_img) as img:
            return img.convert(self.space)


class LoadTransformImage:
    """A picture's path to a network's input.

    Args:
        model: what `TransformImage` takes.
        scale: the crop's side over the resized picture's.
    """

    def __init__(self, model: Any, scale: float = 0.875) -> None:
        self.load = LoadImage()
        self.tf = TransformImage(model, scale=scale)

    def __call__(self, path_img: str | PathLike[str]) -> torch.Tensor:
        """Return the picture as float32 of shape (3, H, W)."""
        return self.tf(self.load(path_img))


class Identity(nn.Module):
    """Gives back what it gets, to take the place of a layer that is not wanted."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x`."""
        return x
