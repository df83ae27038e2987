"""`pretrainedmodels.models.polynet`: its constructors, classes and settings."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes
from pretrainedmodels.constructors import polynet
from pretrainedmodels.settings import settings_of

if TYPE_CHECKING:
    from pretrainedmodels.classes.polynet import PolyNet

__all__ = ["PolyNet", "polynet", "pretrained_settings"]

pretrained_settings = settings_of("polynet")

__getattr__ = lazy_attributes("pretrainedmodels.classes", {"PolyNet": "polynet"})
