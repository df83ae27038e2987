"""`pretrainedmodels.models.nasnet_mobile`: its constructors and their settings."""

from pretrainedmodels.constructors import nasnetamobile
from pretrainedmodels.settings import settings_of

__all__ = ["nasnetamobile", "pretrained_settings"]

pretrained_settings = settings_of("nasnetamobile")
