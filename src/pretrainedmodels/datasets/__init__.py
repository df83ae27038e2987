"""The data sets that the original library had: Pascal VOC 2007 for multi-label classification."""

from pretrainedmodels.datasets import utils, voc
from pretrainedmodels.datasets.voc import Voc2007Classification

__all__ = ["Voc2007Classification", "utils", "voc"]
