"""Features from earlier in a network: the mean of a feature map that a stage hands to the next.

Which module that is, is seen, not listed: one example picture goes through the network, and where the
resolution falls from 1/16 or 1/8 of the picture's, what the falling module was given is the last map of that
resolution. Modules are looked at from the outside to the inside, so it is a whole stage's output and nothing
from inside a block.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

from headstart.core.errors import InputError, ModelError
from headstart.models.side_by_side import SideBySide

FEATURE_POINTS = ("pooled", "stride16", "stride8", "concat")

# From point to level: a map of level n has about 1/2^n of the picture's height and width.
_LEVELS: Mapping[str, int] = {"stride16": 4, "stride8": 3}
# A map that fewer layers worked on after its resolution was reached is a step of a stem, no stage's output:
# LeViT and XCiT cut the picture into patches by a few convolutions, with a batch norm and an activation each.
_MIN_LAYERS = 3
# With two pictures, a tensor of windows, heads or tokens does not pass for a map of one picture.
_NUM_EXAMPLES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMap:
    """A place in a network where a feature map can be seen.

    Attributes:
        module: name of the module that is given the map, and makes a coarser one of it; of several maps (DPN
            and NASNet hand over two) all are meant.
        width: number of channels, of several maps together.
        channels_last: whether the map's axes are (N, H, W, C) and not (N, C, H, W).
    """

    module: str
    width: int
    channels_last: bool = False


class PointFeatures(nn.Module):
    """A network whose features are taken at another point than its end.

    The network runs whole; its own output is left away or put first. One pass at a time: two threads that use
    the same instance would get each other's maps.

    Attributes:
        point: one of `FEATURE_POINTS`, not "pooled".
        network: maps pictures to pooled features. It gets hooks and must belong to nobody else.
        maps: whose means are the features, in order; behind the pooled ones for "concat".
    """

    def __init__(self, network: nn.Module, point: str, maps: tuple[FeatureMap, ...]) -> None:
        super().__init__()
        self.point = point
        self.network = network
        self.maps = maps
        self._taps = [_Tap(each) for each in maps]
        places = [_find_module(network, each.module) for each in maps]
        self._handles = [
            place.register_forward_pre_hook(tap) for place, tap in zip(places, self._taps, strict=True)
        ]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to features (N, D)."""
        pooled = self.network(x)
        means = [tap.take() for tap in self._taps]
        return torch.cat([pooled, *means] if self.point == "concat" else means, dim=1)

    def release(self) -> nn.Module:
        """Take the hooks out of the network and return it; this module is of no use afterwards."""
        for handle in self._handles:
            handle.remove()
        return self.network


class _Tap:
    """A hook on a module that averages the maps which the module is given.

    It averages at once: what comes later may work in place. It is no closure, so a copy of the network and
    of its taps belongs together.
    """

    def __init__(self, place: FeatureMap) -> None:
        self._axes = (1, 2) if place.channels_last else (2, 3)
        self._means: torch.Tensor | None = None

    def __call__(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        """Keep the means, (N, width), of the maps that `module` is given."""
        means = [each.mean(self._axes) for each in _tensors(given) if each.ndim == 4]
        self._means = torch.cat(means, dim=1)

    def take(self) -> torch.Tensor:
        """Return the means, and let go of them."""
        means, self._means = self._means, None
        if means is None:
            raise ModelError("the network did not run the module that features are taken at")
        return means


def whole_network(backbone: nn.Module) -> nn.Module:
    """Return what maps pictures to pooled features, wherever the features of `backbone` are taken."""
    return backbone.network if isinstance(backbone, PointFeatures) else backbone


def place_feature_point(
    network: nn.Module, point: str, *, size: tuple[int, int]
) -> tuple[tuple[FeatureMap, ...], int]:
    """Return the maps that make up a feature point, and the width D of its features.

    Args:
        network: float32 on the CPU, in eval mode; maps (N, 3, *size) to pooled features. Of networks side by
            side each one's maps are taken.
        point: one of `FEATURE_POINTS`.
        size: height and width of the example, in pixels: those that the network was made for.

    Raises:
        InputError: there is no such point.
        ModelError: the network has no such maps.
    """
    if point not in FEATURE_POINTS:
        raise InputError(f"{point!r} is no feature point; they are {', '.join(FEATURE_POINTS)}")
    if isinstance(network, SideBySide):
        return _place_side_by_side(network, point, size=size)
    calls, pooled_width = _watch(network, size)
    found = {name: place for name, level in _LEVELS.items() if (place := _last_map(calls, level))}
    if point == "pooled":
        return (), pooled_width
    if point == "concat" and found:
        return tuple(found.values()), pooled_width + sum(each.width for each in found.values())
    if point not in found:
        there = ", ".join(["pooled", *found, *(["concat"] if found else [])])
        raise ModelError(
            f"the network has no feature map for the feature point {point}; it has {there}",
            hint="networks of one resolution, such as most transformers, have no earlier stages: use pooled",
        )
    return (found[point],), found[point].width


def _place_side_by_side(
    network: SideBySide, point: str, *, size: tuple[int, int]
) -> tuple[tuple[FeatureMap, ...], int]:
    maps: list[FeatureMap] = []
    width = 0
    for name, each in network.networks.named_children():
        places, own_width = place_feature_point(each, point, size=size)
        maps += [replace(place, module=f"networks.{name}.{place.module}") for place in places]
        width += own_width
    return tuple(maps), width


@dataclass(frozen=True, slots=True, kw_only=True)
class _Map:
    """A tensor that looks like a feature map."""

    level: int
    width: int
    channels_last: bool
    serial: int


@dataclass(slots=True, kw_only=True)
class _Call:
    """One run of a module.

    Attributes:
        module: its name.
        is_layer: whether it has no modules in it.
        depth: how many other modules' runs it is part of.
        on_maps: whether it and all that it is part of were given tensors of four axes; inside the others
            (transformers' blocks) a map is only a passing form of something else.
        given: what it was given, None for a tensor of four axes that is no map.
        gave: what it returned.
    """

    module: str
    is_layer: bool
    depth: int
    on_maps: bool
    given: list[_Map | None]
    gave: list[_Map | None] = field(default_factory=list)

    def is_given(self, level: int) -> bool:
        """Say whether it is given maps, all of this level and with the same order of axes."""
        layouts = {(each.level, each.channels_last) if each else None for each in self.given}
        return layouts in ({(level, False)}, {(level, True)})

    def meets(self, level: int) -> bool:
        """Say whether it is given or makes a map of this level."""
        return any(each is not None and each.level == level for each in (*self.given, *self.gave))

    def falls_from(self, level: int) -> bool:
        """Say whether it makes maps of the next level of maps of this one."""
        gave = {each.level if each else None for each in self.gave}
        return self.on_maps and self.is_given(level) and gave == {level + 1}


def _last_map(calls: list[_Call], level: int) -> FeatureMap | None:
    """Return the last map of a level before the resolution falls further, None where there is none."""
    falling = [call for call in calls if call.falls_from(level)]
    outermost = min((call.depth for call in falling), default=0)
    falling = [call for call in falling if call.depth == outermost]
    place = falling[0] if len(falling) == 1 else _fork(calls, falling, level)
    if place is None or sum(call.module == place.module for call in calls) > 1:
        return None
    layers = [call for call in calls[: calls.index(place)] if call.is_layer]
    reached = next((index for index, call in enumerate(layers) if call.meets(level)), len(layers))
    if len(layers) - reached - 1 < _MIN_LAYERS:
        return None
    maps = [each for each in place.given if each is not None]
    width = sum(each.width for each in maps)
    return FeatureMap(module=place.module, width=width, channels_last=maps[0].channels_last)


def _fork(calls: list[_Call], falling: list[_Call], level: int) -> _Call | None:
    """Return the first of the calls that share the map at which branches part, None where there is none.

    BN-Inception has no modules for its blocks, so that the resolution falls in several branches side by side;
    what each of them is given is the branch's, not the network's.
    """
    sharing: dict[tuple[int, ...], list[_Call]] = {}
    for call in calls[: calls.index(falling[-1])] if falling else []:
        if call.depth == falling[-1].depth and call.is_given(level):
            sharing.setdefault(tuple(each.serial for each in call.given if each), []).append(call)
    forks = [sharers[0] for sharers in sharing.values() if len(sharers) > 1]
    return forks[-1] if forks else None


@torch.no_grad()
def _watch(network: nn.Module, size: tuple[int, int]) -> tuple[list[_Call], int]:
    """Return every run of a module while an example goes through, in order, and the features' width."""
    names = {module: name for name, module in network.named_modules()}
    calls: list[_Call] = []
    running: list[_Call] = []
    numbers = itertools.count()
    # Not by id: that is given again when a tensor is gone.
    serials: MutableMapping[torch.Tensor, int] = WeakIdKeyDictionary()

    def read(value: object) -> list[_Map | None]:
        tensors = [each for each in _tensors(value) if each.ndim == 4]
        return [_read_map(each, size, serials.setdefault(each, next(numbers))) for each in tensors]

    def before(module: nn.Module, value: object) -> None:
        given = read(value)
        call = _Call(
            module=names[module],
            is_layer=not any(True for _ in module.children()),
            depth=len(running),
            on_maps=bool(given) and all(each.on_maps for each in running[-1:]),
            given=given,
        )
        calls.append(call)
        running.append(call)

    def after(module: nn.Module, _: object, value: object) -> None:
        running.pop().gave = read(value)

    handles = []
    for module in names:
        handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    try:
        features = network(torch.zeros(_NUM_EXAMPLES, 3, *size))
    finally:
        for handle in handles:
            handle.remove()
    return calls, int(features.shape[1])


def _read_map(tensor: torch.Tensor, size: tuple[int, int], serial: int) -> _Map | None:
    """Return what kind of feature map of a picture of `size` a tensor of four axes is, None if it is none."""
    first = _level((tensor.shape[2], tensor.shape[3]), size)
    last = _level((tensor.shape[1], tensor.shape[2]), size)
    if len(tensor) != _NUM_EXAMPLES or (first is not None and last is not None):
        return None  # with both, height, width and channels are one number, and the axes cannot be told apart
    if first is not None:
        return _Map(level=first, width=tensor.shape[1], channels_last=False, serial=serial)
    if last is not None:
        return _Map(level=last, width=tensor.shape[3], channels_last=True, serial=serial)
    return None


def _level(axes: tuple[int, int], size: tuple[int, int]) -> int | None:
    """Return n where `axes` are about 1/2^n of `size`, None where they have another shape.

    Networks that do not pad lose some rows on the way: 299 pixels become 17, not 19, at 1/16.
    """
    (height, width), (full_height, full_width) = axes, size
    if abs(height * full_width - width * full_height) >= max(full_height, full_width):
        return None
    return round(math.log2(full_height / height))


def _find_module(network: nn.Module, name: str) -> nn.Module:
    """Return a module by its name, which may come from a file.

    Raises:
        ModelError: the network has no such module.
    """
    try:
        return network.get_submodule(name)
    except AttributeError as error:
        raise ModelError(f"the network has no module {name!r} to take features at") from error


def _tensors(value: object) -> Iterator[torch.Tensor]:
    """Yield the tensors in a value, also those in tuples and lists in it."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _tensors(each)
