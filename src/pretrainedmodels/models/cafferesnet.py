"""`pretrainedmodels.models.cafferesnet`: its constructors and their settings."""

from pretrainedmodels.constructors import cafferesnet101
from pretrainedmodels.settings import settings_of

__all__ = ["cafferesnet101", "pretrained_settings"]

pretrained_settings = settings_of("cafferesnet101")
