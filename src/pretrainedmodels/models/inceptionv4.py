"""`pretrainedmodels.models.inceptionv4`: its constructors, classes and settings."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes
from pretrainedmodels.constructors import inceptionv4
from pretrainedmodels.settings import settings_of

if TYPE_CHECKING:
    from pretrainedmodels.classes.inceptionv4 import BasicConv2d, InceptionV4

__all__ = ["BasicConv2d", "InceptionV4", "inceptionv4", "pretrained_settings"]

pretrained_settings = settings_of("inceptionv4")

__getattr__ = lazy_attributes(
    "pretrainedmodels.classes", {"BasicConv2d": "inceptionv4", "InceptionV4": "inceptionv4"}
)
