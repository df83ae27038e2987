"""`pretrainedmodels.models.resnext`: its constructors, classes and settings."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes
from pretrainedmodels.constructors import resnext101_32x4d, resnext101_64x4d
from pretrainedmodels.settings import settings_of

if TYPE_CHECKING:
    from pretrainedmodels.classes.resnext import ResNeXt101_32x4d, ResNeXt101_64x4d

__all__ = [
    "ResNeXt101_32x4d",
    "ResNeXt101_64x4d",
    "pretrained_settings",
    "resnext101_32x4d",
    "resnext101_64x4d",
]

pretrained_settings = settings_of("resnext101_32x4d", "resnext101_64x4d")

__getattr__ = lazy_attributes(
    "pretrainedmodels.classes", {"ResNeXt101_32x4d": "resnext", "ResNeXt101_64x4d": "resnext"}
)
