"""`pretrainedmodels.models.bninception`: its constructors and their settings."""

from pretrainedmodels.constructors import bninception
from pretrainedmodels.settings import settings_of

__all__ = ["bninception", "pretrained_settings"]

pretrained_settings = settings_of("bninception")
