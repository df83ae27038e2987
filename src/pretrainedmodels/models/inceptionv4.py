"""`pretrainedmodels.models.inceptionv4`: its constructors and their settings."""

from pretrainedmodels.constructors import inceptionv4
from pretrainedmodels.settings import settings_of

__all__ = ["inceptionv4", "pretrained_settings"]

pretrained_settings = settings_of("inceptionv4")
