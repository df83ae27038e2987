"""`pretrainedmodels.models.polynet`: its constructors and their settings."""

from pretrainedmodels.constructors import polynet
from pretrainedmodels.settings import settings_of

__all__ = ["polynet", "pretrained_settings"]

pretrained_settings = settings_of("polynet")
