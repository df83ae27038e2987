"""`pretrainedmodels.models.dpn`: its constructors and their settings."""

from pretrainedmodels.constructors import dpn68, dpn68b, dpn92, dpn98, dpn107, dpn131
from pretrainedmodels.settings import settings_of

__all__ = ["dpn68", "dpn68b", "dpn92", "dpn98", "dpn107", "dpn131", "pretrained_settings"]

pretrained_settings = settings_of("dpn68", "dpn68b", "dpn92", "dpn98", "dpn131", "dpn107")
