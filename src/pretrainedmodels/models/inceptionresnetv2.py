"""`pretrainedmodels.models.inceptionresnetv2`: its constructors, classes and settings."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes
from pretrainedmodels.constructors import inceptionresnetv2
from pretrainedmodels.settings import settings_of

if TYPE_CHECKING:
    from pretrainedmodels.classes.inceptionresnetv2 import InceptionResNetV2

__all__ = ["InceptionResNetV2", "inceptionresnetv2", "pretrained_settings"]

pretrained_settings = settings_of("inceptionresnetv2")

__getattr__ = lazy_attributes("pretrainedmodels.classes", {"InceptionResNetV2": "inceptionresnetv2"})
