"""`Xception` by the original's arguments."""

from headstart.architectures import xception


class Xception(xception.Xception):
    """An Xception whose classifier is called `fc`, as in the file of its weights.

    As in the original it must be renamed to `last_linear` before the network gives logits; the constructor
    `xception` returns one that has `last_linear`.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__(xception.CONFIGS["xception"], num_classes=num_classes)
        self.fc = self.last_linear
        del self.last_linear
