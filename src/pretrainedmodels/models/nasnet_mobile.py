"""`pretrainedmodels.models.nasnet_mobile`: its constructors, classes and settings."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes
from pretrainedmodels.constructors import nasnetamobile
from pretrainedmodels.settings import settings_of

if TYPE_CHECKING:
    from pretrainedmodels.classes.nasnet import NASNetAMobile

__all__ = ["NASNetAMobile", "nasnetamobile", "pretrained_settings"]

pretrained_settings = settings_of("nasnetamobile")

__getattr__ = lazy_attributes("pretrainedmodels.classes", {"NASNetAMobile": "nasnet"})
