"""One face for every network: pictures to features to logits to probabilities."""

import hashlib

import torch
from torch import nn

from headstart.catalog.entry import ModelEntry, Preprocessing
from headstart.core.errors import InputError, ModelError
from headstart.models.parts import Parts


class Classifier(nn.Module):
    """A network with its head, its classes and its own preprocessing; never one without the others.

    Attributes:
        backbone: maps pictures to pooled features.
        head: the affine layer of shape (K, D), or None.
        class_names: K names in the order of the logits; () without a head.
        preprocessing: what the pictures go through first.
        entry: the catalogue's row that it comes from.
        feature_dim: D.
        temperature: logits are divided by it before they become probabilities.
        network: the code that computes it: "timm/tf_efficientnet_lite0".
        license: of the weights; "" where unknown.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        entry: ModelEntry,
        preprocessing: Preprocessing,
        class_names: tuple[str, ...],
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if parts.head is not None and parts.head.out_features != len(class_names):
            raise InputError(
                f"{len(class_names)} class names for a head of {parts.head.out_features} classes"
            )
        self.backbone = parts.backbone
        self.head = parts.head
        self.feature_dim = parts.feature_dim
        self.network = parts.network
        self.entry = entry
        self.preprocessing = preprocessing
        self.class_names = class_names if parts.head is not None else ()
        self.temperature = temperature
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
    def num_params(self) -> int:
        """Number of parameters, head included."""
        return sum(parameter.numel() for parameter in self.parameters())

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map preprocessed pictures (N, 3, H, W) to pooled features (N, D)."""
        features: torch.Tensor = self.backbone(x)
        return features

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (N, D) to logits (N, K).

        Raises:
            ModelError: the network has no head.
        """
        if self.head is None:
            raise ModelError(
                f"{self.name} gives features but has no classifier of its own",
                hint=f"train one on your pictures: headstart probe DATA --models {self.name}",
            )
        logits: torch.Tensor = self.head(features)
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map preprocessed pictures (N, 3, H, W) to logits (N, K)."""
        return self.logits(self.features(x))

    def probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (N, D) to calibrated probabilities: float32 of shape (N, K), rows sum to 1."""
        return torch.softmax(self.logits(features.float()) / self.temperature, dim=1)

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

    def with_preprocessing(self, preprocessing: Preprocessing) -> "Classifier":
        """Return a classifier that shares all but the preprocessing."""
        parts = Parts(
            backbone=self.backbone, head=self.head, feature_dim=self.feature_dim, network=self.network
        )
        return Classifier(
            parts,
            entry=self.entry,
            preprocessing=preprocessing,
            class_names=self.class_names,
            temperature=self.temperature,
        )

    def backbone_digest(self) -> str:
        """Return the sha256 of all that decides the features of given input: code name and tensors.

        It comes from the tensors themselves, so the same weights have the same digest from whatever file,
        and no file can claim to be another.
        """
        sha = hashlib.sha256(self.network.encode())
        for name, tensor in self.backbone.state_dict().items():
            array = tensor.detach().cpu().contiguous()
            sha.update(f"{name}{array.dtype}{tuple(array.shape)}".encode())
            sha.update(array.flatten().view(torch.uint8).numpy().data)
        return sha.hexdigest()
