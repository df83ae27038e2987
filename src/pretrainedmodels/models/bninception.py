"""`pretrainedmodels.models.bninception`: its constructors, classes and settings."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes
from pretrainedmodels.constructors import bninception
from pretrainedmodels.settings import settings_of

if TYPE_CHECKING:
    from pretrainedmodels.classes.bninception import BNInception

__all__ = ["BNInception", "bninception", "pretrained_settings"]

pretrained_settings = settings_of("bninception")

__getattr__ = lazy_attributes(
    "pretrainedmodels.classes", {"BNInception": "bninception", "model_zoo": "bninception"}
)
