"""`pretrainedmodels.models.utils`: the settings of all families together."""

from pretrainedmodels.models.bninception import pretrained_settings as bninception_settings
from pretrainedmodels.models.cafferesnet import pretrained_settings as cafferesnet_settings
from pretrainedmodels.models.dpn import pretrained_settings as dpn_settings
from pretrainedmodels.models.fbresnet import pretrained_settings as fbresnet_settings
from pretrainedmodels.models.inceptionresnetv2 import pretrained_settings as inceptionresnetv2_settings
from pretrainedmodels.models.inceptionv4 import pretrained_settings as inceptionv4_settings
from pretrainedmodels.models.nasnet import pretrained_settings as nasnet_settings
from pretrainedmodels.models.nasnet_mobile import pretrained_settings as nasnet_mobile_settings
from pretrainedmodels.models.pnasnet import pretrained_settings as pnasnet_settings
from pretrainedmodels.models.polynet import pretrained_settings as polynet_settings
from pretrainedmodels.models.resnext import pretrained_settings as resnext_settings
from pretrainedmodels.models.senet import pretrained_settings as senet_settings
from pretrainedmodels.models.torchvision_models import pretrained_settings as torchvision_models_settings
from pretrainedmodels.models.xception import pretrained_settings as xception_settings
from pretrainedmodels.settings import model_names, pretrained_settings

__all__ = ["all_settings", "model_names", "pretrained_settings"]

all_settings = [
    fbresnet_settings,
    bninception_settings,
    resnext_settings,
    inceptionv4_settings,
    inceptionresnetv2_settings,
    torchvision_models_settings,
    nasnet_mobile_settings,
    nasnet_settings,
    dpn_settings,
    xception_settings,
    senet_settings,
    cafferesnet_settings,
    pnasnet_settings,
    polynet_settings,
]
"""The settings of each family, in the order of `model_names`."""
