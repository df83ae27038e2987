"""`FBResNet` by the original's arguments, and its block."""

from headstart.architectures import fbresnet
from headstart.architectures.fbresnet import Bottleneck
from headstart.core.errors import InputError

__all__ = ["Bottleneck", "FBResNet"]


class FBResNet(fbresnet.FBResNet):
    """A network of any depth.

    Args:
        block: `Bottleneck`, the only kind there is.
        layers: number of blocks in each of the four stages.
        num_classes: K.
    """

    def __init__(
        self, block: type[Bottleneck], layers: tuple[int, int, int, int], num_classes: int = 1000
    ) -> None:
        if block is not Bottleneck:
            raise InputError(f"block is {block!r}; Bottleneck is the only kind there is")
        super().__init__(fbresnet.FBResNetConfig(depths=layers), num_classes=num_classes)
