"""`pretrainedmodels.models.dpn`: its constructors, classes and settings."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes
from pretrainedmodels.constructors import dpn68, dpn68b, dpn92, dpn98, dpn107, dpn131
from pretrainedmodels.settings import settings_of

if TYPE_CHECKING:
    from pretrainedmodels.classes.dpn import DPN, adaptive_avgmax_pool2d

__all__ = [
    "DPN",
    "adaptive_avgmax_pool2d",
    "dpn68",
    "dpn68b",
    "dpn92",
    "dpn98",
    "dpn107",
    "dpn131",
    "pretrained_settings",
]

pretrained_settings = settings_of("dpn68", "dpn68b", "dpn92", "dpn98", "dpn131", "dpn107")

__getattr__ = lazy_attributes("pretrainedmodels.classes", {"DPN": "dpn", "adaptive_avgmax_pool2d": "dpn"})
