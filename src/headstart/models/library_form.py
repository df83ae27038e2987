"""A classifier as the network that its own library builds: so its tensors are of use without headstart."""

from dataclasses import dataclass

import torch
from torch import nn

from headstart.core.errors import ModelError
from headstart.models import ports, timm_models, torchvision_models
from headstart.models.classifier import Classifier
from headstart.models.folder import fixed_side
from headstart.models.networks import head_name
from headstart.models.parts import load_tensors


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LibraryForm:
    """A network of another library.

    Attributes:
        package: what to import: "timm".
        expression: Python that builds the network with random tensors: "timm.create_model('resnet18')".
        network: it, with the classifier's tensors, in eval mode; maps (N, 3, h, w) to logits (N, K).
    """

    package: str
    expression: str
    network: nn.Module


def library_form(classifier: Classifier) -> LibraryForm:
    """Return a classifier as its own library's network, whose state dict has that library's names.

    Raises:
        ModelError: no library builds it: it is several networks side by side, its features are taken inside
            of one, or its head is another than the library's.
    """
    if classifier.entry.members or classifier.feature_point != "pooled":
        raise _no_form(classifier)
    package, expression, network = _build(classifier)
    try:
        load_tensors(network, dict(_tensors(classifier, network)), network=classifier.network)
    except ModelError as error:
        raise _no_form(classifier) from error
    return LibraryForm(package=package, expression=expression, network=network.eval())


def _build(classifier: Classifier) -> tuple[str, str, nn.Module]:
    """Return a package, an expression and the network that it makes, with random tensors."""
    provider, _, architecture = classifier.network.partition("/")
    num_classes, side = len(classifier.class_names), fixed_side(classifier.entry)
    if provider == "timm":
        options = timm_models.size_option(architecture, side)
        built: nn.Module = timm_models.create(architecture, num_classes=num_classes, **options)
        function = "timm.create_model"
        given = {"num_classes": num_classes, **options}
    elif provider == "torchvision":
        options = torchvision_models.options_for(architecture, side)
        built = torchvision_models.create(architecture, num_classes, side)
        function = "torchvision.models.get_model"
        given = {"num_classes": num_classes, **options}
    else:
        built = ports.build_port(architecture, num_classes=num_classes)
        return provider, f"{provider}.{architecture}(num_classes={num_classes}, pretrained=None)", built
    words = ", ".join([repr(architecture), *(f"{name}={value!r}" for name, value in given.items())])
    return provider, f"{function}({words})", built


def _tensors(classifier: Classifier, network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the classifier's tensors under the names of its library's network."""
    if classifier.classify is not None:
        return classifier.classify.state_dict()
    tensors = classifier.backbone.state_dict()
    if isinstance(classifier.backbone, ports.PooledFeatures):
        tensors = {name.removeprefix("network."): tensor for name, tensor in tensors.items()}
    own = network.state_dict()
    name = head_name(classifier.network, own)
    head = {} if classifier.head is None else classifier.head.state_dict()
    for kind, tensor in head.items():
        wanted = own.get(f"{name}.{kind}", tensor)
        # A 1x1 convolution as a head is the same numbers with two more axes.
        fits = wanted.numel() == tensor.numel()
        tensors[f"{name}.{kind}"] = tensor.reshape(wanted.shape) if fits else tensor
    return tensors


def _no_form(classifier: Classifier) -> ModelError:
    return ModelError(
        f"no library but headstart builds the network of {classifier.name} as it is used here",
        hint="--format onnx or torch hold the network with its tensors",
    )
