"""`InceptionResNetV2` by the original's arguments."""

from headstart.architectures import inceptionresnetv2


class InceptionResNetV2(inceptionresnetv2.Network):
    """An Inception-ResNet-v2 with K = `num_classes`."""

    def __init__(self, num_classes: int = 1001) -> None:
        super().__init__(inceptionresnetv2.CONFIGS["inceptionresnetv2"], num_classes=num_classes)
