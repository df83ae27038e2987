"""The functions by which programs gave torchvision's own networks the original's form."""

from types import MethodType
from typing import Any

from headstart.models.torchvision_ports import ResNet
from pretrainedmodels.classes.weights import load_pretrained

__all__ = ["load_pretrained", "modify_resnets"]


def modify_resnets(model: Any) -> Any:
    """Return torchvision's ResNet `model` with `last_linear` for `fc`, and with `features` and `logits`.

    The methods are the instance's own, so that it cannot be pickled; what `resnet50()` returns can.
    """
    model.last_linear, model.fc = model.fc, None
    for method in ("features", "pool", "logits", "forward"):
        setattr(model, method, MethodType(getattr(ResNet, method), model))
    return model
