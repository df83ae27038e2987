"""One face for every network: pictures to features to logits to probabilities."""

import copy
import hashlib

import torch
from torch import nn

from headstart.catalog.entry import ModelEntry, Preprocessing
from headstart.core.errors import InputError, ModelError
from headstart.models.familiarity import Familiarity
from headstart.models.feature_points import PointFeatures, place_feature_point, whole_network
from headstart.models.history import History
from headstart.models.parts import Parts


class Classifier(nn.Module):
    """A network with its head, its classes and its own preprocessing; never one without the others.

    Attributes:
        backbone: maps pictures to features; pooled ones, if they were not taken at another point.
        head: the affine layer of shape (K, D); the identity where the features are the logits; or None.
        classify: the whole network for one that gives logits without such a head, or None.
        class_names: K names in the order of the logits; () without a classifier.
        preprocessing: what the pictures go through first.
        entry: the catalogue's row that it comes from.
        feature_dim: D.
        temperature: logits are divided by it before they become probabilities.
        threshold: where the largest probability is below it, the answer is "unknown"; None where no threshold
            is known.
        familiarity: what it knows of its training pictures' features; None where it knows nothing.
        network: the code that computes it: "timm/tf_efficientnet_lite0", of several side by side with "+"
            between.
        license: of the weights; "" where unknown.
        history: how it was fine-tuned; None for a network whose weights are as they were published.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        entry: ModelEntry,
        preprocessing: Preprocessing,
        class_names: tuple[str, ...],
        temperature: float = 1.0,
        threshold: float | None = None,
    ) -> None:
        super().__init__()
        if isinstance(parts.head, nn.Linear) and parts.head.out_features != len(class_names):
            raise InputError(
                f"{len(class_names)} class names for a head of {parts.head.out_features} classes"
            )
        self.backbone = parts.backbone
        self.head = parts.head
        self.classify = parts.classify
        self.feature_dim = parts.feature_dim
        self.network = parts.network
        self.entry = entry
        self.preprocessing = preprocessing
        self.class_names = class_names if parts.has_classifier else ()
        self.temperature = temperature
        self.threshold = threshold
        self.familiarity: Familiarity | None = None
        self.history: History | None = None
        self.eval()

    @property
    def name(self) -> str:
        """Full name of the row it comes from."""
        return self.entry.name

    @property
    def license(self) -> str:
        """Licence of the weights, "" where unknown."""
        return self.entry.weights.license

    @property
    def feature_point(self) -> str:
        """Where in the network the features are taken: "pooled" is its end."""
        return self.backbone.point if isinstance(self.backbone, PointFeatures) else "pooled"

    @property
    def num_params(self) -> int:
        """Number of parameters, head included."""
        return sum(parameter.numel() for parameter in self.parameters())

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map preprocessed pictures (N, 3, H, W) to features (N, D)."""
        features: torch.Tensor = self.backbone(x)
        return features

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (N, D) to logits (N, K).

        Raises:
            ModelError: the network has no head.
        """
        if self.head is not None:
            logits: torch.Tensor = self.head(features)
            return logits
        if self.classify is not None:
            raise ModelError(
                f"the logits of {self.name} cannot be computed from its pooled features",
                hint="call the classifier itself on preprocessed pictures",
            )
        raise self._lacks_classifier()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map preprocessed pictures (N, 3, H, W) to logits (N, K)."""
        if self.classify is not None:
            logits: torch.Tensor = self.classify(x)
            return logits
        return self.logits(self.features(x))

    def probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (N, D) to calibrated probabilities: float32 of shape (N, K), rows sum to 1."""
        return torch.softmax(self.logits(features.float()) / self.temperature, dim=1)

    def with_logits_as_features(self) -> "Classifier":
        """Return what predictions are made with: features that `probabilities` makes probabilities of.

        With a head that is this classifier itself; else its features are the logits of the whole network, so
        that whatever runs networks and keeps their features does it for this one too.

        Raises:
            ModelError: the network has no classifier.
        """
        if self.head is not None:
            return self
        if self.classify is None:
            raise self._lacks_classifier()
        parts = Parts(
            backbone=self.classify,
            head=nn.Identity(),
            feature_dim=len(self.class_names),
            network=self.network,
        )
        return Classifier(
            parts,
            entry=self.entry,
            preprocessing=self.preprocessing,
            class_names=self.class_names,
            temperature=self.temperature,
            threshold=self.threshold,
        )

    def _lacks_classifier(self) -> ModelError:
        return ModelError(
            f"{self.name} gives features but has no classifier of its own",
            hint=f"train one on your pictures: headstart probe DATA --models {self.name}",
        )

    def with_head(
        self, head: nn.Linear, class_names: tuple[str, ...], *, temperature: float = 1.0
    ) -> "Classifier":
        """Return a classifier on the same backbone with another head; the backbone is shared, not copied."""
        if head.in_features != self.feature_dim:
            raise InputError(f"a head for {head.in_features} features on a network of {self.feature_dim}")
        parts = Parts(backbone=self.backbone, head=head, feature_dim=self.feature_dim, network=self.network)
        return Classifier(
            parts,
            entry=self.entry,
            preprocessing=self.preprocessing,
            class_names=class_names,
            temperature=temperature,
        )

    def with_temperature(self, temperature: float) -> "Classifier":
        """Return a classifier that shares all but the temperature, its history included.

        It has no threshold: that was one for other probabilities.
        """
        calibrated = self.with_preprocessing(self.preprocessing)
        calibrated.temperature, calibrated.history = temperature, self.history
        calibrated.familiarity = self.familiarity
        calibrated.threshold = None
        return calibrated

    def with_preprocessing(self, preprocessing: Preprocessing) -> "Classifier":
        """Return a classifier that shares all but the preprocessing."""
        parts = Parts(
            backbone=self.backbone,
            head=self.head,
            feature_dim=self.feature_dim,
            network=self.network,
            classify=self.classify,
        )
        other = Classifier(
            parts,
            entry=self.entry,
            preprocessing=preprocessing,
            class_names=self.class_names,
            temperature=self.temperature,
            threshold=self.threshold,
        )
        if preprocessing == self.preprocessing:  # else features are others
            other.familiarity = self.familiarity
        return other

    def with_feature_point(self, point: str) -> "Classifier":
        """Return a network without a head whose features are taken at a point of the network.

        Args:
            point: "pooled": the network's own end; "stride16", "stride8": the mean of the last feature map
                with 1/16, 1/8 of the input's height and width, before the resolution falls further; "concat":
                those three behind one another, as far as the network has them.

        Returns:
            This classifier itself, if its features are taken there; else one on a copy of its network.

        Raises:
            InputError: there is no such point.
            ModelError: the network has no feature map of this resolution.
        """
        if point == self.feature_point:
            return self
        copied = copy.deepcopy(self.backbone)
        network = copied.release() if isinstance(copied, PointFeatures) else copied
        # The size that the network was made for, not the one that the pictures get now: a small picture's
        # maps are too small to tell their resolutions apart.
        size = self.entry.weights.preprocessing.input_size
        maps, width = place_feature_point(network, point, size=size)
        backbone = PointFeatures(network, point, maps) if maps else network
        return Classifier(
            Parts(backbone=backbone, head=None, feature_dim=width, network=self.network),
            entry=self.entry,
            preprocessing=self.preprocessing,
            class_names=(),
        )

    def backbone_digest(self) -> str:
        """Return the sha256 of what decides the pooled features of given input: code name and tensors.

        It comes from the tensors themselves, so the same weights have the same digest from whatever file,
        and no file can claim to be another. It is the same at every feature point.
        """
        sha = hashlib.sha256(self.network.encode())
        for name, tensor in whole_network(self.backbone).state_dict().items():
            array = tensor.detach().cpu().contiguous()
            sha.update(f"{name}{array.dtype}{tuple(array.shape)}".encode())
            sha.update(array.flatten().view(torch.uint8).numpy().data)
        return sha.hexdigest()
