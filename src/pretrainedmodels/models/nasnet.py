"""`pretrainedmodels.models.nasnet`: its constructors, classes and settings."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes
from pretrainedmodels.constructors import nasnetalarge
from pretrainedmodels.settings import settings_of

if TYPE_CHECKING:
    from pretrainedmodels.classes.nasnet import NASNetALarge

__all__ = ["NASNetALarge", "nasnetalarge", "pretrained_settings"]

pretrained_settings = settings_of("nasnetalarge")

__getattr__ = lazy_attributes("pretrainedmodels.classes", {"NASNetALarge": "nasnet"})
