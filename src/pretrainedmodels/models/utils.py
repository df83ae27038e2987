"""`pretrainedmodels.models.utils`, for code that imports from it."""

from pretrainedmodels.settings import model_names, pretrained_settings

__all__ = ["model_names", "pretrained_settings"]
