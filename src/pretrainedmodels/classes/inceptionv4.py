"""`InceptionV4` by the original's arguments, and its convolution."""

from headstart.architectures import inceptionv4
from headstart.architectures.inceptionv4 import BasicConv2d

__all__ = ["BasicConv2d", "InceptionV4"]


class InceptionV4(inceptionv4.Network):
    """An Inception-v4 with K = `num_classes`."""

    def __init__(self, num_classes: int = 1001) -> None:
        super().__init__(inceptionv4.CONFIGS["inceptionv4"], num_classes=num_classes)
