"""Pixels to the numbers a network was trained on."""

import torch

from headstart.catalog.entry import Preprocessing


def to_input(
    pixels: torch.Tensor, preprocessing: Preprocessing, *, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Return a batch of pixels as network input.

    Args:
        pixels: of shape (N, H, W, 3), red first, from 0 to 255, on the device of the network: uint8, or
            float32, which may be written over.
        preprocessing: says range, channel order, mean and std.
        dtype: what the network computes in; the scaling itself is always done in float32.

    Returns:
        `dtype` of shape (N, 3, H, W), in channels-last memory layout.
    """
    low, high = preprocessing.input_range
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    num, height, width, channels = pixels.shape
    # Without waiting: else a GPU would have to end the batch before.
    scale = ((high - low) / 255 / std).repeat(width).to(pixels.device, non_blocking=True)
    shift = ((low - mean) / std).repeat(width).to(pixels.device, non_blocking=True)
    if preprocessing.input_space == "BGR":
        pixels = pixels.flip(3)
    # Row by row: an inner loop over three channels alone would cost twice as much time.
    rows = pixels.reshape(num * height, width * channels).to(torch.float32)
    rows = rows.mul_(scale).add_(shift)
    images = rows.to(dtype).view(num, height, width, channels)
    return images.permute(0, 3, 1, 2)  # (N, 3, H, W), channels-last
