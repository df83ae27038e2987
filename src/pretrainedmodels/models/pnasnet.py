"""`pretrainedmodels.models.pnasnet`: its constructors, classes and settings."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes
from pretrainedmodels.constructors import pnasnet5large
from pretrainedmodels.settings import settings_of

if TYPE_CHECKING:
    from pretrainedmodels.classes.pnasnet import PNASNet5Large

__all__ = ["PNASNet5Large", "pnasnet5large", "pretrained_settings"]

pretrained_settings = settings_of("pnasnet5large")

__getattr__ = lazy_attributes("pretrainedmodels.classes", {"PNASNet5Large": "pnasnet"})
