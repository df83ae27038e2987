"""`BNInception` by the original's arguments."""

from torch.utils import model_zoo

from headstart.architectures import bninception

__all__ = ["BNInception", "model_zoo"]


class BNInception(bninception.Network):
    """A BN-Inception with K = `num_classes`."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__(bninception.CONFIGS["bninception"], num_classes=num_classes)
