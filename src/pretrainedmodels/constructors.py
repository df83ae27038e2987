"""The 45 functions that build a network and load its weights, with the original library's signature."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pretrainedmodels.settings import Settings, entry_of, model_names, pretrained_settings

if TYPE_CHECKING:
    from torch import nn

    def __getattr__(name: str) -> Callable[..., nn.Module]:
        """Tell the type checker of the functions that the last line of this module makes."""


_ATTRIBUTES = ("input_space", "input_size", "input_range", "mean", "std")


def construct(name: str, num_classes: int, pretrained: str | None) -> "nn.Module":
    """Return one of the 45 networks in training mode, as torch makes them.

    It has the attributes `input_space`, `input_size`, `input_range`, `mean`, `std` and `last_linear`, and the
    methods `features`, `logits` and `forward`.

    Args:
        name: one of `model_names`.
        num_classes: K of `last_linear`, which is a new one with random weights where the weights were trained
            on another number of classes. The weights of "imagenet+background" also fit 1,000 classes: the
            background class is left out.
        pretrained: the weight set, a key of ``pretrained_settings[name]``, fetched when first asked for; None
            (or False) for random weights.

    Raises:
        UnknownModelError: (also a KeyError) there is no such weight set.
        WeightsError: (also an OSError) the weights cannot be had, or must not be trusted.
        InputError: (also a ValueError) `num_classes` is not 1 or more.
    """
    from headstart.core.errors import InputError  # late, as torch is: importing this library costs nothing
    from headstart.core.plain_progress import PlainProgress
    from headstart.models.ports import build_port, pretrained_port, replace_head

    tag, settings = _weight_set(name, pretrained)
    if num_classes < 1:
        raise InputError(f"num_classes is {num_classes}; it must be 1 or more")
    if not pretrained:
        network: Any = build_port(name, num_classes=num_classes)
    else:
        trained = settings["num_classes"]
        kept = 1000 if (num_classes, trained) == (1000, 1001) else trained
        network = pretrained_port(entry_of(name, tag), num_classes=kept, progress=PlainProgress())
        if num_classes != kept:
            replace_head(network, num_classes)
    for attribute in _ATTRIBUTES:
        setattr(network, attribute, copy.copy(settings[attribute]))
    return network  # type: ignore[no-any-return]


def _weight_set(name: str, pretrained: str | None) -> tuple[str, Settings]:
    """Return tag and settings of a weight set; those of the first where none is asked for.

    "imagenet", the default of every constructor, also stands for the only set of a network that has just one:
    dpn68b, dpn92 and dpn107 have "imagenet+5k" alone.
    """
    from headstart.core.errors import UnknownModelError

    sets = pretrained_settings[name]
    if not pretrained or (pretrained == "imagenet" and len(sets) == 1):
        return next(iter(sets.items()))
    if pretrained not in sets:
        raise UnknownModelError(
            f"{name} has no weights {pretrained!r}; it has {', '.join(map(repr, sets))}",
            hint="pretrained=None builds it with random weights",
        )
    return pretrained, sets[pretrained]


def _constructor(name: str) -> Callable[..., "nn.Module"]:
    def constructor(num_classes: int = 1000, pretrained: str | None = "imagenet") -> "nn.Module":
        return construct(name, num_classes, pretrained)

    constructor.__name__ = constructor.__qualname__ = name
    constructor.__doc__ = f"Return the network {name}; see `{__name__}.construct`."
    return constructor


globals().update({name: _constructor(name) for name in model_names})
