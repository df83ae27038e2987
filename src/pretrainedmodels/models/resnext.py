"""`pretrainedmodels.models.resnext`: its constructors and their settings."""

from pretrainedmodels.constructors import resnext101_32x4d, resnext101_64x4d
from pretrainedmodels.settings import settings_of

__all__ = ["pretrained_settings", "resnext101_32x4d", "resnext101_64x4d"]

pretrained_settings = settings_of("resnext101_32x4d", "resnext101_64x4d")
