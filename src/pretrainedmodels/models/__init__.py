"""The 45 constructors, and a module a family as the original library had them."""

from pretrainedmodels import constructors
from pretrainedmodels.models import (  # before the constructors, some of which have a module's name
    bninception,
    cafferesnet,
    dpn,
    fbresnet,
    inceptionresnetv2,
    inceptionv4,
    nasnet,
    nasnet_mobile,
    pnasnet,
    polynet,
    resnext,
    senet,
    torchvision_models,
    utils,
    xception,
)
from pretrainedmodels.settings import model_names

__all__ = [
    "bninception",
    "cafferesnet",
    "dpn",
    "fbresnet",
    "inceptionresnetv2",
    "inceptionv4",
    "nasnet",
    "nasnet_mobile",
    "pnasnet",
    "polynet",
    "resnext",
    "senet",
    "torchvision_models",
    "utils",
    "xception",
    *model_names,
]

globals().update({name: getattr(constructors, name) for name in model_names})
