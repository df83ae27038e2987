"""`pretrainedmodels.models.xception`: its constructors and their settings."""

from pretrainedmodels.constructors import xception
from pretrainedmodels.settings import settings_of

__all__ = ["pretrained_settings", "xception"]

pretrained_settings = settings_of("xception")
