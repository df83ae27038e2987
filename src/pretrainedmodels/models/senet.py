"""`pretrainedmodels.models.senet`: its constructors and their settings."""

from pretrainedmodels.constructors import (
    se_resnet50,
    se_resnet101,
    se_resnet152,
    se_resnext50_32x4d,
    se_resnext101_32x4d,
    senet154,
)
from pretrainedmodels.settings import settings_of

__all__ = [
    "pretrained_settings",
    "se_resnet50",
    "se_resnet101",
    "se_resnet152",
    "se_resnext50_32x4d",
    "se_resnext101_32x4d",
    "senet154",
]

pretrained_settings = settings_of(
    "senet154", "se_resnet50", "se_resnet101", "se_resnet152", "se_resnext50_32x4d", "se_resnext101_32x4d"
)
