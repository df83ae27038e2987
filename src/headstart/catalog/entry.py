"""The records of the catalogue: a model, its weight set, and the preprocessing that belongs to both."""

from dataclasses import dataclass
from typing import Literal

from headstart.catalog.licenses import permits_commercial_use

Fit = Literal["crop", "squash", "pad"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]

SIDE_BY_SIDE = "side-by-side"
"""The provider of a row that is put together of several."""

SHA256_DIGITS = 64
"""Length of a whole sha256 in hex digits."""

ACCURACY_SOURCES = {
    "timm": "timm's results tables, https://github.com/huggingface/pytorch-image-models/tree/main/results",
    "torchvision": "torchvision's weight records, https://docs.pytorch.org/vision/stable/models.html",
    "pretrainedmodels": "the README of the package pretrainedmodels 0.7.4",
}
"""Who measured the ImageNet accuracies of the catalogue, each with the preprocessing of its row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How a picture becomes a network's input; part of the weights, for they were trained with it.

    Attributes:
        input_size: (height, width) of the input, in pixels.
        fit: how a picture of another shape gets there: "crop" cuts out the middle, "squash" changes the
            aspect ratio, "pad" fills up with the mean colour.
        crop_fraction: for "crop": which part of the resized picture's shorter side remains, in (0, 1].
        interpolation: the filter for resizing.
        input_space: order of the colour channels.
        input_range: what the darkest and the lightest value become before mean and std.
        mean: subtracted from each channel, in units of `input_range` and the order of `input_space`.
        std: what each channel is divided by afterwards.
    """

    input_size: tuple[int, int] = (224, 224)
    fit: Fit = "crop"
    crop_fraction: float = 0.875
    interpolation: Interpolation = "bilinear"
    input_space: Literal["RGB", "BGR"] = "RGB"
    input_range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsSource:
    """One place that a weights file can be had from.

    Attributes:
        kind: "url" (`location` is an address), "hub" (a repository of the Hugging Face hub, `filename` in
            it), "package" (an installed Python package, `filename` inside it) or "file" (a path here).
        location: address, repository, package name or path.
        filename: the file inside a repository or package; "" for the other kinds.
        sha256: 64 hex digits of the whole file, or the 8 or more that its name carries, or "" (unknown). Only
            the whole proves who made a file; a few digits merely show damage.
        size_bytes: size of the file, 0 where unknown; exact where `sha256` is whole.
    """

    kind: Literal["url", "hub", "package", "file"]
    location: str
    filename: str = ""
    sha256: str = ""
    size_bytes: int = 0

    @property
    def is_verified(self) -> bool:
        """Whether the whole sha256 is known, so that the file can be told from any other."""
        return len(self.sha256) == SHA256_DIGITS


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsEntry:
    """One set of weights of a model.

    Attributes:
        tag: the weight set's name, unique within the model: "imagenet", "IMAGENET1K_V2", "a1_in1k".
        sources: where the tensors can be had, the first choice first. The files need not be equal: they may
            hold the same tensors in another format, or under another library's names. For models side by side
            those of all members, one after the other.
        num_classes: K of the head that the weights bring; 0 where they bring none.
        pretrained_on: data the weights were trained on, in that order: "imagenet-22k, imagenet-1k"; "" where
            unknown.
        license: SPDX identifier where there is one, several with " AND " between where all of them bind;
            "" where unknown.
        top1: ImageNet-1k validation accuracy as published, in [0, 1]; None where unknown.
        top5: the same within the first five.
        accuracy_source: who published `top1` and `top5`, a key of `ACCURACY_SOURCES`; "" where unknown.
        real_top1: accuracy on ImageNet-ReaL, in [0, 1]: the same pictures with labels that people looked at
            again. This and the three below are from timm's tables; None where unknown.
        real_top5: the same within the first five.
        v2_top1: accuracy on ImageNet-V2 (matched frequency), in [0, 1]: new pictures, chosen as the first
            ones were.
        v2_top5: the same within the first five.
        preprocessing: what the weights were evaluated with.

    Source:
        ReaL: Beyer et al., "Are we done with ImageNet?", https://arxiv.org/abs/2006.07159. V2: Recht et al.,
        "Do ImageNet Classifiers Generalize to ImageNet?", https://arxiv.org/abs/1902.10811.
    """

    tag: str
    sources: tuple[WeightsSource, ...]
    num_classes: int = 1000
    pretrained_on: str = ""
    license: str = ""
    top1: float | None = None
    top5: float | None = None
    accuracy_source: str = ""
    real_top1: float | None = None
    real_top5: float | None = None
    v2_top1: float | None = None
    v2_top5: float | None = None
    preprocessing: Preprocessing

    @property
    def has_living_source(self) -> bool:
        """Whether anything but plain http has the file.

        The only such host in the catalogue is that of the original library; it sends on to an address whose
        certificate ran out in 2022, so it can prove nothing, and may be gone any day.
        """
        return any(not source.location.startswith("http://") for source in self.sources)

    @property
    def commercial_use(self) -> bool | None:
        """Whether the licence permits commercial use of the weights; None where that is not known."""
        return permits_commercial_use(self.license)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A row of the catalogue: one model with one weight set.

    Attributes:
        name: the full name, unique: "timm/resnet50.a1_in1k".
        provider: "starter", "pretrainedmodels", "torchvision", "timm", "folder", "checkpoint" or
            "side-by-side".
        architecture: the provider's name for the network, "resnet50".
        family: what it is a variant of, "resnet".
        weights: the weight set.
        num_params: number of parameters, head included; 0 where unknown.
        num_macs: multiply-adds for one picture of the weights' own size, head included: convolutions, matrix
            products and attention, half of what torch's `FlopCounterMode` counts; 0 where unknown.
        feature_dim: D, width of the pooled features; 0 where it is only known once the model is built.
        fixed_input_size: whether the network takes pictures of its native size only.
        paper: address of the paper, several with a space between; "" where unknown.
        same_tensors_as: full names of the rows that hold the same tensors; heads may differ by the background
            class of TensorFlow's models.
        members: rows whose networks stand side by side in this one, in order; () for one network.
    """

    name: str
    provider: str
    architecture: str
    family: str
    weights: WeightsEntry
    num_params: int = 0
    num_macs: int = 0
    feature_dim: int = 0
    fixed_input_size: bool = False
    paper: str = ""
    same_tensors_as: tuple[str, ...] = ()
    members: tuple["ModelEntry", ...] = ()

    @property
    def singles(self) -> tuple["ModelEntry", ...]:
        """The rows whose weights files it needs: its members, or itself. A saved folder holds all in one."""
        return self.members if self.provider == SIDE_BY_SIDE else (self,)
