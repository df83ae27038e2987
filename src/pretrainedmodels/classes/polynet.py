"""`PolyNet` by the original's arguments."""

from headstart.architectures import polynet


class PolyNet(polynet.Network):
    """A PolyNet with K = `num_classes`."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__(polynet.CONFIGS["polynet"], num_classes=num_classes)
