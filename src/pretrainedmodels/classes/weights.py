"""The function by which programs loaded a weight set into a network that they had built themselves."""

from typing import Any

from headstart.catalog.entry import ModelEntry
from headstart.core.errors import InputError
from headstart.core.plain_progress import PlainProgress
from headstart.weights import fetch, read_tensors
from pretrainedmodels.settings import Settings, entry_of, pretrained_settings


def load_pretrained(model: Any, num_classes: int, settings: Settings) -> Any:
    """Return `model` with the tensors and the attributes of a weight set.

    Args:
        model: a network whose tensors have the names of the file, as `SENet` or torchvision's own ResNet.
        num_classes: K of its head, which must be that of the weights.
        settings: of the weight set, as they stand in `pretrained_settings`.

    Raises:
        InputError: there is no such weight set, or it has another number of classes.
        WeightsError: the weights cannot be had, or must not be trusted.
    """
    entry = _entry_with(settings)
    if num_classes != entry.weights.num_classes:
        raise InputError(f"num_classes is {num_classes}; these weights have {entry.weights.num_classes}")
    model.load_state_dict(read_tensors(fetch(entry.weights, progress=PlainProgress()).path))
    for attribute in ("input_space", "input_size", "input_range", "mean", "std"):
        setattr(model, attribute, settings[attribute])
    return model


def _entry_with(settings: Settings) -> ModelEntry:
    for name, sets in pretrained_settings.items():
        for tag, known in sets.items():
            if known == settings:
                return entry_of(name, tag)
    raise InputError(
        "these settings are not one of the weight sets in pretrainedmodels.pretrained_settings",
        hint="load the tensors of a file of yours with model.load_state_dict",
    )
