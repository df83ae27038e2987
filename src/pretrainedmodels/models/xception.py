"""`pretrainedmodels.models.xception`: its constructors, classes and settings."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes
from pretrainedmodels.constructors import xception
from pretrainedmodels.settings import settings_of

if TYPE_CHECKING:
    from pretrainedmodels.classes.xception import Xception

__all__ = ["Xception", "pretrained_settings", "xception"]

pretrained_settings = settings_of("xception")

__getattr__ = lazy_attributes("pretrainedmodels.classes", {"Xception": "xception"})
