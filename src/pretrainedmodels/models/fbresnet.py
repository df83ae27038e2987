"""`pretrainedmodels.models.fbresnet`: its constructors and their settings."""

from pretrainedmodels.constructors import fbresnet152
from pretrainedmodels.settings import settings_of

__all__ = ["fbresnet152", "pretrained_settings"]

pretrained_settings = settings_of("fbresnet152")
