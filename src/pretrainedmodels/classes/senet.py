"""`SENet` by the original's arguments, and its blocks."""

from headstart.architectures import senet
from headstart.architectures.senet import (
    Bottleneck,
    SEBottleneck,
    SEModule,
    SEResNetBottleneck,
    SEResNeXtBottleneck,
)
from pretrainedmodels.classes.weights import load_pretrained
from pretrainedmodels.settings import Settings

__all__ = [
    "Bottleneck",
    "SEBottleneck",
    "SEModule",
    "SENet",
    "SEResNeXtBottleneck",
    "SEResNetBottleneck",
    "initialize_pretrained_model",
]


class SENet(senet.SENet):
    """A network of the family.

    Args:
        block: the kind of block; of another one's class, it is called as `Bottleneck` is.
        layers: number of blocks in each of the four stages.
        groups: groups of a block's 3x3 convolution.
        reduction: channels of a block over the width of its gate's hidden layer.
        dropout_p: share of the pooled features that training drops; None for no such layer.
        inplanes: channels of the stem's last convolution.
        input_3x3: three 3x3 convolutions for a stem, else one of 7x7.
        downsample_kernel_size: kernel size of the shortcuts that halve the size.
        downsample_padding: their padding; only the half of an odd kernel size fits, and is taken.
        num_classes: K.
    """

    def __init__(
        self,
        block: type[Bottleneck],
        layers: tuple[int, int, int, int],
        groups: int,
        reduction: int,
        dropout_p: float | None = 0.2,
        inplanes: int = 128,
        input_3x3: bool = True,
        downsample_kernel_size: int = 3,
        downsample_padding: int = 1,
        num_classes: int = 1000,
    ) -> None:
        config = senet.SENetConfig(
            block=block,
            depths=layers,
            groups=groups,
            reduction=reduction,
            stem_width=inplanes,
            deep_stem=input_3x3,
            downsample_kernel=downsample_kernel_size,
            dropout=dropout_p,
        )
        super().__init__(config, num_classes=num_classes)


def initialize_pretrained_model(model: SENet, num_classes: int, settings: Settings) -> None:
    """Load a weight set into `model`; see `pretrainedmodels.classes.weights.load_pretrained`."""
    load_pretrained(model, num_classes, settings)
