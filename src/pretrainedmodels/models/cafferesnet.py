"""`pretrainedmodels.models.cafferesnet`: its constructors, classes and settings."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes
from pretrainedmodels.constructors import cafferesnet101
from pretrainedmodels.settings import settings_of

if TYPE_CHECKING:
    from pretrainedmodels.classes.cafferesnet import Bottleneck, ResNet

__all__ = ["Bottleneck", "ResNet", "cafferesnet101", "pretrained_settings"]

pretrained_settings = settings_of("cafferesnet101")

__getattr__ = lazy_attributes(
    "pretrainedmodels.classes", {"Bottleneck": "cafferesnet", "ResNet": "cafferesnet"}
)
