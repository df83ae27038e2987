"""`NASNetALarge` and `NASNetAMobile` by the original's arguments."""

from dataclasses import replace

from headstart.architectures.nasnet import CONFIGS, NASNet
from headstart.core.errors import InputError


class NASNetALarge(NASNet):
    """A NASNet-A of 18 cells.

    Args:
        num_classes: K.
        stem_filters: width of the first convolution.
        penultimate_filters: width of the pooled features, a multiple of 24.
        filters_multiplier: by how much a reduction widens the cells; only 2.
    """

    _NAME = "nasnetalarge"

    def __init__(
        self,
        num_classes: int = 1001,
        stem_filters: int = 96,
        penultimate_filters: int = 4032,
        filters_multiplier: int = 2,
    ) -> None:
        if filters_multiplier != 2:
            raise InputError(f"filters_multiplier is {filters_multiplier}; only 2 is implemented")
        config = replace(CONFIGS[self._NAME], stem_width=stem_filters, width=penultimate_filters // 24)
        super().__init__(config, num_classes=num_classes)


class NASNetAMobile(NASNetALarge):
    """A NASNet-A of 12 cells; the arguments are those of `NASNetALarge`."""

    _NAME = "nasnetamobile"

    def __init__(
        self,
        num_classes: int = 1001,
        stem_filters: int = 32,
        penultimate_filters: int = 1056,
        filters_multiplier: int = 2,
    ) -> None:
        super().__init__(num_classes, stem_filters, penultimate_filters, filters_multiplier)
