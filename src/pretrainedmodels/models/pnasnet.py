"""`pretrainedmodels.models.pnasnet`: its constructors and their settings."""

from pretrainedmodels.constructors import pnasnet5large
from pretrainedmodels.settings import settings_of

__all__ = ["pnasnet5large", "pretrained_settings"]

pretrained_settings = settings_of("pnasnet5large")
