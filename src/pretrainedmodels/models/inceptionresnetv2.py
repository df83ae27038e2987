"""`pretrainedmodels.models.inceptionresnetv2`: its constructors and their settings."""

from pretrainedmodels.constructors import inceptionresnetv2
from pretrainedmodels.settings import settings_of

__all__ = ["inceptionresnetv2", "pretrained_settings"]

pretrained_settings = settings_of("inceptionresnetv2")
