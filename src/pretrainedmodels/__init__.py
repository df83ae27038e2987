"""`pretrainedmodels`, maintained: what it always offered, with weights that can be had and its faults mended.

    >>> import pretrainedmodels
    >>> model = pretrainedmodels.se_resnet50(num_classes=10, pretrained=None)
    >>> model.last_linear.in_features, model.input_size
    (2048, [3, 224, 224])

The networks, their weights and the catalogue belong to `headstart`. Importing this builds nothing and imports
no torch. What differs from version 0.7.4 is told in docs/migrating.md.
"""

from typing import Any

from pretrainedmodels import constructors, models
from pretrainedmodels.settings import model_names, pretrained_settings
from pretrainedmodels.version import __version__

__all__ = ["__version__", "datasets", "model_names", "models", "pretrained_settings", "utils", *model_names]

# In the module's own dictionary, for old code says pretrainedmodels.__dict__["se_resnet50"]().
globals().update({name: getattr(constructors, name) for name in model_names})


def __getattr__(name: str) -> Any:
    """Import `utils` and `datasets`, which need torchvision, when they are first asked for."""
    if name in ("datasets", "utils"):
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
