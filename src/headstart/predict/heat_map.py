"""Heat maps: where in a picture a network sees what speaks for a class.

Grad-CAM on the last map of the network that still has places. Which map that is, is seen, not listed: every
module's result is watched while the pictures go through, and the last one counts whose places have an effect
on the class. Where these places are a transformer's tokens, each has looked at all others by then, and its
place says little; what counts there is what the pixels of each patch contribute, by integrated gradients. Of
transformers that were trained to find a digit among noise, the hottest of 64 places was on the digit in 100 %
of pictures, with Grad-CAM in 71 % (class token) and 92 % (mean of tokens), with 96 and 92 % of the heat in
place of 26 and 49 %.

Sources: Selvaraju et al. 2017, Grad-CAM, https://arxiv.org/abs/1610.02391; Sundararajan et al. 2017,
integrated gradients, https://arxiv.org/abs/1703.01365.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from headstart.core.errors import InputError, ModelError
from headstart.models import Classifier
from headstart.models.feature_points import PointFeatures, whole_network
from headstart.models.parts import sharing_copy
from headstart.models.side_by_side import SideBySide

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

_BATCH_SIZE = 4  # the results of all modules are kept, for pictures of any size
_NUM_STEPS = 8  # from grey to the picture; 16 and 32 found the same places
# Small pictures end as maps of a place or two, which show nothing; an earlier map is taken if there is one.
_FINE_SIDE, _MIN_SIDE = 4, 2
# Tokens that stand for no patch: one for the class, one for a teacher, some to calculate with.
_MAX_EXTRA_TOKENS = 16
# From cold to hot: levels of red, green and blue that grow lighter and stay apart for the colour-blind.
_RAMP = np.array([(40, 11, 84), (148, 38, 104), (229, 92, 48), (252, 180, 26), (252, 255, 164)], np.float32)
_MAX_COVER = 0.65


def heat_maps(classifier: Classifier, pictures: torch.Tensor, classes: Sequence[int]) -> Floats:
    """Return for each picture where the network sees what speaks for a class.

    It says where, not why, and is as coarse as the network's last map, or a transformer's patches. Of
    networks side by side, and of features of several points, it is the sum of what each of them sees.

    Args:
        classifier: must have classes. It is left as it is; several threads may use it at once.
        pictures: preprocessed, of shape (N, 3, H, W), on any device.
        classes: for each picture the index of a class in the classifier's `class_names`.

    Returns:
        float32 of shape (N, h, w) in [0, 1], a grid over the whole input; 1 is the strongest place of each
        picture. All 0 where nothing in the picture speaks for the class.

    Raises:
        InputError: there is not one class for each picture, or no class of such an index.
        ModelError: the network has no classifier, or no map of which the heat could be read.

    Example:
        >>> import headstart as hs, torch
        >>> classifier = hs.load("efficientnet_lite0", weights=None, num_classes=2)
        >>> heat_maps(classifier, torch.zeros(1, 3, 224, 224), [1]).shape
        (1, 7, 7)

    Source: Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391, section 3; for tokens Sundararajan et al.
        2017, https://arxiv.org/abs/1703.01365, section 3, added up over each patch.
    """
    classifier = classifier.with_logits_as_features()
    _check(classifier, pictures, classes)
    with torch.inference_mode(False), torch.enable_grad():
        network = sharing_copy(classifier)  # hooks on the classifier itself would be seen by other threads
        like = next(network.parameters())
        wanted = torch.tensor(list(classes), device=like.device)
        heats = [
            _heat(network, some.to(like).clone(), own)
            for some, own in zip(_batches(pictures), _batches(wanted), strict=True)
        ]
    heat = functional.relu(torch.cat(_on_one_grid(heats)))  # (N, h, w)
    strongest = heat.amax((1, 2), keepdim=True)
    scaled: Floats = torch.where(strongest > 0, heat / strongest, 0.0).cpu().numpy()
    return scaled


def overlay_heat_map(pixels: Pixels, heat_map: Floats) -> Pixels:
    """Return a picture with a heat map laid over it: the hotter a place, the lighter and denser its colour.

    Args:
        pixels: the picture as it went into the network (`to_pixels` makes it), uint8 of shape (H, W, 3).
        heat_map: of it, float32 of shape (h, w) in [0, 1].

    Returns:
        uint8 of shape (H, W, 3).
    """
    height, width = pixels.shape[:2]
    smooth = Image.fromarray(heat_map).resize((width, height), Image.Resampling.BICUBIC)
    heat = np.asarray(smooth, np.float32).clip(0, 1)  # (H, W)
    steps = np.linspace(0, 1, len(_RAMP))
    colour = np.stack([np.interp(heat, steps, channel) for channel in _RAMP.T], axis=2)  # (H, W, 3)
    cover = _MAX_COVER * heat[..., None]
    laid: Pixels = ((1 - cover) * pixels + cover * colour).round().astype(np.uint8)
    return laid


def _check(classifier: Classifier, pictures: torch.Tensor, classes: Sequence[int]) -> None:
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not len(pictures):
        raise InputError(f"heat maps are of pictures of shape (N, 3, H, W), not {tuple(pictures.shape)}")
    if len(classes) != len(pictures):
        raise InputError(f"{len(classes)} classes for {len(pictures)} pictures; each picture needs one")
    unknown = [each for each in classes if not 0 <= each < len(classifier.class_names)]
    if unknown:
        last = len(classifier.class_names) - 1
        raise InputError(f"{classifier.name} has no class {unknown[0]}: its classes are 0 to {last}")


def _batches(rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.split(rows, _BATCH_SIZE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Places:
    """A module's result whose rows belong to places of the picture.

    Attributes:
        result: as the module returned it, part of the graph.
        grid: height and width of the map.
        num_extra: tokens in front that belong to no place.
        channels_first: whether the axes are (N, C, h, w).
    """

    result: torch.Tensor
    grid: tuple[int, int]
    num_extra: int = 0
    channels_first: bool = False

    def laid_out(self, values: torch.Tensor) -> torch.Tensor:
        """Return values of the shape of `result`, that itself or its gradient, as (N, h, w, C)."""
        if self.channels_first:
            return values.permute(0, 2, 3, 1)
        if values.ndim == 3:
            return values[:, self.num_extra :].reshape(len(values), *self.grid, -1)
        return values


class _Watch:
    """Hooks that keep every result with places, in the order in which modules end.

    Attributes:
        places: what was seen.
        widths: D of each network that was run.
    """

    def __init__(self, backbone: nn.Module, size: tuple[int, int], num_pictures: int) -> None:
        whole = whole_network(backbone)
        self._backbone = backbone
        self._networks = list(whole.networks) if isinstance(whole, SideBySide) else [whole]
        self._size, self._num = size, num_pictures
        self._grid = size
        self.places: list[_Places] = []
        self.widths: list[int] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch what happens inside the block."""
        handles = [module.register_forward_hook(self._see) for module in self._backbone.modules()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _see(self, module: nn.Module, given: tuple[Any, ...], result: object) -> None:
        if not isinstance(result, torch.Tensor):
            return
        if module in self._networks:
            self.widths.append(result.shape[1])
            self._grid = self._size  # the next network begins anew
        elif len(result) == self._num and result.requires_grad:
            found = self._read_map(result) if result.ndim == 4 else self._read_tokens(result, given)
            self.places += [found] if found else []

    def _read_map(self, result: torch.Tensor) -> _Places | None:
        """Return what a tensor of four axes is; maps never grow, so a matrix of attention is none."""
        first, last = (result.shape[2], result.shape[3]), (result.shape[1], result.shape[2])
        fits = [self._covers(grid) for grid in (first, last)]
        if all(fits) or not any(fits):
            return None
        self._grid = grid = first if fits[0] else last
        return _Places(result=result, grid=grid, channels_first=fits[0])

    def _covers(self, grid: tuple[int, int]) -> bool:
        """Say whether a grid has the picture's shape, but for rounding, and is no finer than the last one."""
        (height, width), (full_height, full_width) = grid, self._size
        in_shape = abs(height * full_width - width * full_height) < max(full_height, full_width)
        return in_shape and min(grid) >= _MIN_SIDE and height <= self._grid[0] and width <= self._grid[1]

    def _read_tokens(self, result: torch.Tensor, given: tuple[Any, ...]) -> _Places | None:
        """Return what a tensor of three axes is; tokens keep their shape on their way through a module."""
        passes = bool(given) and isinstance(given[0], torch.Tensor) and given[0].shape == result.shape
        if result.ndim != 3 or not passes:
            return None
        num_tokens, (height, width) = result.shape[1], self._grid
        if 0 <= num_tokens - height * width <= _MAX_EXTRA_TOKENS:
            return _Places(result=result, grid=self._grid, num_extra=num_tokens - height * width)
        # Fewer than there were patches, without ever having been a map again.
        height = round(sqrt(num_tokens * self._size[0] / self._size[1]))
        grid = (height, num_tokens // max(height, 1))
        if num_tokens != grid[0] * grid[1] or not self._covers(grid):
            return None
        return _Places(result=result, grid=grid)


def _heat(network: Classifier, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Return the maps of a few pictures before negative values are cut off, (n, h, w)."""
    watch = _Watch(network.backbone, (x.shape[2], x.shape[3]), len(x))
    with watch.watching():
        features = network.features(x.requires_grad_())
    if not watch.places:
        raise ModelError(
            f"no heat map: {network.name} has no map of places at {x.shape[2]}x{x.shape[3]} pixels",
            hint="a larger resolution may help; some networks mix places from the beginning",
        )
    score = network.logits(features).gather(1, classes[:, None]).sum()
    (slope,) = torch.autograd.grad(score, features, retain_graph=True)  # (n, D)
    widths = _widths(network.backbone, watch)
    parts = zip(torch.split(features, widths, dim=1), torch.split(slope, widths, dim=1), strict=True)
    heats = []
    for number, (part, own_slope) in enumerate(parts):
        last = _last_places(watch.places, part, own_slope)
        if last is not None and last[0].result.ndim == 3:
            heats.append(_integrated(network, x, last[0].grid, own_slope, widths, number))
        elif last is not None:
            heats.append(_grad_cam(*last))
        else:
            heats.append(features.new_zeros(len(features), *_last_first(watch.places)[0].grid))
    return torch.stack(_on_one_grid(heats)).sum(0).detach()


def _on_one_grid(heats: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return maps (n, h, w) with the height and width of the finest of them."""
    finest = max((tuple(each.shape[1:]) for each in heats), key=lambda grid: grid[0] * grid[1])
    return [functional.interpolate(each[:, None], finest, mode="bilinear")[:, 0] for each in heats]


def _widths(backbone: nn.Module, watch: _Watch) -> list[int]:
    """Return the widths of the parts of the features that come from maps of their own, in order."""
    if not isinstance(backbone, PointFeatures):
        return watch.widths
    means = [each.width for each in backbone.maps]
    return [*watch.widths, *means] if backbone.point == "concat" else means


def _last_places(
    places: list[_Places], features: torch.Tensor, slope: torch.Tensor
) -> tuple[_Places, torch.Tensor] | None:
    """Return the last places that bear on a direction in features (n, d), and the gradient of their result.

    The gradient is laid out as (n, h, w, C). None where nothing bears on it.
    """
    for each in _last_first(places) if slope.any() else ():
        (gradient,) = torch.autograd.grad(features, each.result, slope, retain_graph=True, allow_unused=True)
        if gradient is not None and gradient.any():
            return each, each.laid_out(gradient)
    return None


def _last_first(places: list[_Places]) -> list[_Places]:
    """Return places as they are looked at: the last ones first, those of coarse maps at the end."""
    return sorted(reversed(places), key=lambda each: min(each.grid) < _FINE_SIDE)


def _grad_cam(places: _Places, gradient: torch.Tensor) -> torch.Tensor:
    """Return Grad-CAM, (n, h, w), on places with a gradient of shape (n, h, w, C)."""
    weights = gradient.mean((1, 2), keepdim=True)
    return (weights * places.laid_out(places.result)).sum(3)


def _integrated(
    network: Classifier,
    x: torch.Tensor,
    grid: tuple[int, int],
    slope: torch.Tensor,
    widths: list[int],
    number: int,
) -> torch.Tensor:
    """Return what each place of a grid contributes to a direction in features, (n, h, w).

    It is the gradient by the pixels, averaged on the way from grey (zeros, as a network takes pictures) to
    the picture, times what a pixel differs from grey.

    Args:
        network: maps pictures to features.
        x: the pictures, (n, 3, H, W).
        grid: height and width of what is returned.
        slope: the direction, (n, d), in the part of the features that is meant.
        widths: of all parts.
        number: of that part.
    """
    total = torch.zeros_like(x)
    for step in range(_NUM_STEPS):
        between = (x.detach() * ((step + 0.5) / _NUM_STEPS)).requires_grad_()
        part = torch.split(network.features(between), widths, dim=1)[number]
        total += torch.autograd.grad(part, between, slope)[0]
    contributed = (x.detach() * total).sum(1, keepdim=True)
    return functional.adaptive_avg_pool2d(contributed, grid)[:, 0]
