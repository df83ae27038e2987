"""Several networks on the same pixels, as one backbone."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from headstart.catalog.entry import Preprocessing


class InputMap(nn.Module):
    """What one network's input becomes for another: channel order, range, mean and std, in one affine map.

    The numbers are tensors of the module, so they are saved with it and are part of its digest. It is a
    convolution by single pixels because that keeps the layout in memory, and with it the network's very bits.

    Args:
        given: the normalisation that pictures come in.
        wanted: the normalisation that they leave in.
    """

    def __init__(self, given: Preprocessing, wanted: Preprocessing) -> None:
        super().__init__()
        order = (0, 1, 2) if given.input_space == wanted.input_space else (2, 1, 0)
        (low, high), (wanted_low, wanted_high) = given.input_range, wanted.input_range
        stretch = (wanted_high - wanted_low) / (high - low)
        matrix, shift = torch.zeros(3, 3, 1, 1), torch.zeros(3)
        for channel, source in enumerate(order):
            mean, std = wanted.mean[channel], wanted.std[channel]
            matrix[channel, source] = given.std[source] * stretch / std
            # Summed in this order, equal normalisations give exactly 0.
            shift[channel] = (given.mean[source] * stretch - mean + (wanted_low - low * stretch)) / std
        self.register_buffer("matrix", matrix)
        self.register_buffer("shift", shift)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) in one normalisation to the same in the other."""
        return functional.conv2d(x, self.get_buffer("matrix"), self.get_buffer("shift"))


class SideBySide(nn.Module):
    """Networks that see the same pixels; their features stand behind one another, in the networks' order.

    Pictures come in the first network's normalisation and are mapped to that of each other network. Size, fit
    and filter are one for all.

    Args:
        networks: each maps pictures to pooled features.
        preprocessings: of each network, in the same order.
    """

    def __init__(self, networks: Sequence[nn.Module], preprocessings: Sequence[Preprocessing]) -> None:
        super().__init__()
        maps = [InputMap(preprocessings[0], each) for each in preprocessings[1:]]
        mapped = [nn.Sequential(*pair) for pair in zip(maps, networks[1:], strict=True)]
        self.networks = nn.ModuleList([networks[0], *mapped])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to features (N, D), D the sum of the networks' widths."""
        return torch.cat([network(x) for network in self.networks], dim=1)
