"""`pretrainedmodels.models.fbresnet`: its constructors, classes and settings."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes
from pretrainedmodels.constructors import fbresnet152
from pretrainedmodels.settings import settings_of

if TYPE_CHECKING:
    from pretrainedmodels.classes.fbresnet import Bottleneck, FBResNet

__all__ = ["Bottleneck", "FBResNet", "fbresnet152", "pretrained_settings"]

pretrained_settings = settings_of("fbresnet152")

__getattr__ = lazy_attributes("pretrainedmodels.classes", {"Bottleneck": "fbresnet", "FBResNet": "fbresnet"})
