"""`pretrainedmodels.models.nasnet`: its constructors and their settings."""

from pretrainedmodels.constructors import nasnetalarge
from pretrainedmodels.settings import settings_of

__all__ = ["nasnetalarge", "pretrained_settings"]

pretrained_settings = settings_of("nasnetalarge")
