"""`ResNeXt101_32x4d` and `ResNeXt101_64x4d` by the original's arguments."""

from headstart.architectures import resnext


class ResNeXt101_32x4d(resnext.Network):  # noqa: N801  # the original's name
    """A ResNeXt of 32 paths of 4 channels with K = `num_classes`."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__(resnext.CONFIGS["resnext101_32x4d"], num_classes=num_classes)


class ResNeXt101_64x4d(resnext.Network):  # noqa: N801  # the original's name
    """A ResNeXt of 64 paths of 4 channels with K = `num_classes`."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__(resnext.CONFIGS["resnext101_64x4d"], num_classes=num_classes)
