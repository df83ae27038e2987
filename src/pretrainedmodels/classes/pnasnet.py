"""`PNASNet5Large` by the original's arguments."""

from headstart.architectures import pnasnet


class PNASNet5Large(pnasnet.Network):
    """A PNASNet-5 with K = `num_classes`."""

    def __init__(self, num_classes: int = 1001) -> None:
        super().__init__(pnasnet.CONFIGS["pnasnet5large"], num_classes=num_classes)
