"""torchvision's networks in the form that `pretrainedmodels` gave them: `features`, `logits`, `last_linear`.

The layers are torchvision's own; they move into a module that names them as the original library did, so
that anyone's checkpoint loads with ``strict=True``. Unlike there, the methods belong to a class: the networks
can be pickled, copied and exported, and `num_classes` holds without weights too.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torchvision
from torch import nn
from torch.nn import functional


class AlexNet(nn.Module):
    """torchvision's AlexNet; `features` ends before the last ReLU, at the second hidden layer."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.avgpool, self._features = network.avgpool, network.features
        self.dropout0, self.linear0, self.relu0 = network.classifier[:3]
        self.dropout1, self.linear1, self.relu1, self.last_linear = network.classifier[3:]

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to the second hidden layer before its ReLU (N, 4096)."""
        x = self.avgpool(self._features(x)).flatten(1)  # (N, 256 * 6 * 6)
        x = self.relu0(self.linear0(self.dropout0(x)))
        features: torch.Tensor = self.linear1(self.dropout1(x))
        return features

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the second hidden layer to what `last_linear` gets (N, 4096)."""
        return functional.relu(features)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the second hidden layer to logits (N, K)."""
        logits: torch.Tensor = self.last_linear(self.pool(features))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


class VGG(nn.Module):
    """torchvision's VGG; `features` ends before the last ReLU, at the second hidden layer."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.avgpool, self._features = network.avgpool, network.features
        self.linear0, self.relu0, self.dropout0 = network.classifier[:3]
        self.linear1, self.relu1, self.dropout1, self.last_linear = network.classifier[3:]

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to the second hidden layer before its ReLU (N, 4096)."""
        x = self.avgpool(self._features(x)).flatten(1)  # (N, 512 * 7 * 7)
        x = self.dropout0(self.relu0(self.linear0(x)))
        features: torch.Tensor = self.linear1(x)
        return features

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the second hidden layer to what `last_linear` gets (N, 4096)."""
        return functional.relu(features)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the second hidden layer to logits (N, K)."""
        logits: torch.Tensor = self.last_linear(self.dropout1(self.pool(features)))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


class DenseNet(nn.Module):
    """torchvision's DenseNet; `features` ends before the last ReLU."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.features = network.features
        self.last_linear = network.classifier

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map (N, D, H / 32, W / 32) to pooled features (N, D)."""
        return functional.relu(features).mean((2, 3))

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        logits: torch.Tensor = self.last_linear(self.pool(features))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


class InceptionV3(nn.Module):
    """torchvision's Inception-v3 without its own conversion of the input.

    The auxiliary classifier is there for the tensor names alone: it keeps 1,000 classes and takes no part, so
    training mode gives logits, not a pair as in the original.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        for name, layer in network.named_children():
            if name not in ("avgpool", "dropout", "fc"):
                self.add_module(name, layer)
        self.feature_layers = [name for name in self._modules if name != "AuxLogits"]
        self.avgpool, self.dropout, self.last_linear = network.avgpool, network.dropout, network.fc

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to the last feature map, (N, 2048, 8, 8) for pictures of 299 pixels."""
        for name in self.feature_layers:
            x = self.get_submodule(name)(x)
        return x

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to pooled features (N, 2048)."""
        pooled: torch.Tensor = self.avgpool(features)
        return pooled.flatten(1)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        logits: torch.Tensor = self.last_linear(self.dropout(self.pool(features)))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


class ResNet(nn.Module):
    """torchvision's ResNet."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.inplanes: int = network.inplanes
        self.conv1, self.bn1, self.relu, self.maxpool, *rest = network.children()
        self.layer1, self.layer2, self.layer3, self.layer4, self.avgpool, self.last_linear = rest

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to the last feature map (N, D, H / 32, W / 32)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (N, 64, H/4, W/4)
        features: torch.Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to pooled features (N, D)."""
        pooled: torch.Tensor = self.avgpool(features)
        return pooled.flatten(1)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        logits: torch.Tensor = self.last_linear(self.pool(features))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


class SqueezeNet(nn.Module):
    """torchvision's SqueezeNet, with the classifying convolution as `last_linear` and logits of shape (N, K).

    The convolution classifies every position, a ReLU and the mean over the positions follow. Whatever is put
    in its place (a `Linear` on pooled features) gets the mean of the feature map instead. The original called
    the convolution `last_conv`; tensors of that name are renamed on loading.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.features = network.features
        self.dropout, self.last_linear, self.relu, self.avgpool = network.classifier
        self.last_linear.in_features = self.last_linear.in_channels
        self.last_linear.out_features = self.last_linear.out_channels
        # torch does not annotate this method.
        self.register_load_state_dict_pre_hook(_rename_last_conv)  # type: ignore[no-untyped-call]

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map (N, 512, H / 16, W / 16) to pooled features (N, 512)."""
        pooled: torch.Tensor = self.avgpool(features)
        return pooled.flatten(1)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map the last feature map to logits (N, K)."""
        features = self.dropout(features)
        if isinstance(self.last_linear, nn.Conv2d):
            return self.pool(self.relu(self.last_linear(features)))
        logits: torch.Tensor = self.last_linear(self.pool(features))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))


def _rename_last_conv(module: nn.Module, tensors: dict[str, torch.Tensor], prefix: str, *_: object) -> None:
    """Rename the original library's tensors in a state dict that is about to be loaded."""
    for name in ("weight", "bias"):
        if f"{prefix}last_conv.{name}" in tensors:
            tensors[f"{prefix}last_linear.{name}"] = tensors.pop(f"{prefix}last_conv.{name}")


FORMS: Mapping[str, type[nn.Module]] = {
    "alexnet": AlexNet,
    **dict.fromkeys(("densenet121", "densenet169", "densenet201", "densenet161"), DenseNet),
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"), ResNet),
    "inceptionv3": InceptionV3,
    **dict.fromkeys(("squeezenet1_0", "squeezenet1_1"), SqueezeNet),
    **dict.fromkeys(("vgg11", "vgg13", "vgg16", "vgg19"), VGG),
    **dict.fromkeys(("vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"), VGG),
}
"""From the original library's name to the class that gives torchvision's network its form."""


def build(architecture: str, *, num_classes: int) -> nn.Module:
    """Return one of the networks of `FORMS` with random weights from torch's generator."""
    form = FORMS[architecture]
    if form is InceptionV3:
        network = torchvision.models.inception_v3(init_weights=True, transform_input=False)
        network.fc = nn.Linear(network.fc.in_features, num_classes)
    else:
        network = torchvision.models.get_model(architecture, num_classes=num_classes)
    return form(network)
