"""`pretrainedmodels.models.senet`: its constructors, classes and settings."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes
from pretrainedmodels.constructors import (
    se_resnet50,
    se_resnet101,
    se_resnet152,
    se_resnext50_32x4d,
    se_resnext101_32x4d,
    senet154,
)
from pretrainedmodels.settings import settings_of

if TYPE_CHECKING:
    from pretrainedmodels.classes.senet import (
        Bottleneck,
        SEBottleneck,
        SEModule,
        SENet,
        SEResNetBottleneck,
        SEResNeXtBottleneck,
        initialize_pretrained_model,
    )

__all__ = [
    "Bottleneck",
    "SEBottleneck",
    "SEModule",
    "SENet",
    "SEResNeXtBottleneck",
    "SEResNetBottleneck",
    "initialize_pretrained_model",
    "pretrained_settings",
    "se_resnet50",
    "se_resnet101",
    "se_resnet152",
    "se_resnext50_32x4d",
    "se_resnext101_32x4d",
    "senet154",
]

pretrained_settings = settings_of(
    "senet154", "se_resnet50", "se_resnet101", "se_resnet152", "se_resnext50_32x4d", "se_resnext101_32x4d"
)

__getattr__ = lazy_attributes(
    "pretrainedmodels.classes",
    {
        "Bottleneck": "senet",
        "SEBottleneck": "senet",
        "SEModule": "senet",
        "SENet": "senet",
        "SEResNeXtBottleneck": "senet",
        "SEResNetBottleneck": "senet",
        "initialize_pretrained_model": "senet",
    },
)
