"""How a network is fine-tuned, as a record; each named way is one."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args, get_type_hints

import numpy as np
import numpy.typing as npt

from headstart.core.errors import InputError

Layers: TypeAlias = Literal["all", "last", "gradual", "lora"]
Start: TypeAlias = Literal["probe", "fresh head", "random"]
Balance: TypeAlias = Literal["none", "weights", "sampling"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All settings of a fine-tuning.

    Attributes:
        name: of the recipe that it comes from.
        start: what is trained first: "probe" is the pretrained network with a linear probe for its head,
            "fresh head" the same with a random head, "random" a network that was never trained.
        layers: what is trained: "all"; "last", the head alone; "gradual", the head first and then more and
            more layers, all of them from half of the epochs on; "lora", low-rank additions to the linear
            layers, and the head.
        epochs: passes over the training pictures, at most.
        chosen_by: what chooses the epoch on validation pictures: "merit", as `headstart.metrics.merit`, or
            "accuracy" alone.
        patience: epochs in a row without a better one before it ends early; 0 never does.
        batch_size: pictures behind one step, of all processes together.
        optimizer: "adamw", "adam" or "sgd" (with Nesterov's momentum of 0.9).
        rate: learning rate of the head.
        input_rate: that of the layers at the network's input, as a share of `rate`; in between it rises
            evenly on a logarithmic scale.
        weight_decay: of weights; biases and the factors of norms have none.
        schedule: "cosine" down to nothing, or "steps": divided by ten after every fourth epoch.
        warm_up: share of all steps over which the rate rises.
        averaging: share of all steps over which the weights are averaged, with weights that fall
            exponentially; 0 for no averaging.
        clipping: largest length of the gradient; 0 for no limit.
        batch_norm: "frozen" in eval mode, or "trained" with each batch's statistics.
        normalization: "weights", those that the network came with; or "half", mean and std of 0.5.
        resolution: side of the pictures in pixels; 0 for that of the network's preprocessing.
        first_side: share of that side which training pictures begin with, to grow on the way: see `growth`;
            1 where they do not grow.
        smallest_crop: least share of a picture's area that a training picture shows; 1 for no cropping.
        flip: whether half of the pictures are mirrored left to right.
        colour: strength by which brightness, contrast and saturation vary, in [0, 1).
        mixup: alpha of the distribution by which pairs of pictures are mixed; 0 for none.
        label_smoothing: share of a label that is spread over all classes, in [0, 1).
        balance: what is done where classes differ in size: "weights" in the loss, "sampling" of as many
            pictures of each class, or "none".
        lora_rank: rank of the additions of "lora".
    """

    name: str
    start: Start = "probe"
    layers: Layers = "all"
    epochs: int
    chosen_by: Literal["merit", "accuracy"] = "merit"
    patience: int = 0
    batch_size: int = 32
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    rate: float
    input_rate: float = 1.0
    weight_decay: float = 0.0
    schedule: Literal["cosine", "steps"] = "cosine"
    warm_up: float = 0.0
    averaging: float = 0.0
    clipping: float = 0.0
    batch_norm: Literal["frozen", "trained"] = "frozen"
    normalization: Literal["weights", "half"] = "weights"
    resolution: int = 0
    first_side: float = 1.0
    smallest_crop: float = 1.0
    flip: bool = False
    colour: float = 0.0
    mixup: float = 0.0
    label_smoothing: float = 0.0
    balance: Balance = "none"
    lora_rank: int = 0

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(Recipe).items():
            words, value = get_args(kind), getattr(self, name)
            if words and value not in words:
                raise InputError(
                    f"{name} is {value!r}, which a recipe cannot have", hint=f"{name}: {', '.join(words)}"
                )
        for name, (is_right, expected) in _RANGES.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and is_right(value)):
                raise InputError(
                    f"{name.replace('_', ' ')} of a recipe is {value}", hint=f"expected {expected}"
                )
        if self.layers == "lora" and self.lora_rank < 1:
            raise InputError(f"lora_rank is {self.lora_rank}", hint="expected 1 or more; 8 is usual")


# What a number may be, and the same in words.
_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "epochs": (lambda value: value >= 1, "1 or more"),
    "patience": (lambda value: value >= 0, "0 or more"),
    "batch_size": (lambda value: value >= 1, "1 or more"),
    "rate": (lambda value: value > 0, "a number above 0, for example 0.0005"),
    "input_rate": (lambda value: value > 0, "a number above 0"),
    "weight_decay": (lambda value: value >= 0, "0 or more"),
    "warm_up": (lambda value: 0 <= value <= 1, "a share from 0 to 1"),
    "averaging": (lambda value: 0 <= value <= 1, "a share from 0 to 1"),
    "clipping": (lambda value: value >= 0, "0 or more"),
    "resolution": (lambda value: value >= 0, "pixels, or 0"),
    "first_side": (lambda value: 0 < value <= 1, "a share above 0, up to 1"),
    "smallest_crop": (lambda value: 0 < value <= 1, "a share above 0, up to 1"),
    "colour": (lambda value: 0 <= value < 1, "from 0 to below 1"),
    "mixup": (lambda value: value >= 0, "0 or more"),
    "label_smoothing": (lambda value: 0 <= value < 1, "from 0 to below 1"),
}


RECIPES = ("default", "last-layer", "full", "gradual", "lora", "tutorial", "scratch")
"""Names of the recipes."""

LARGE = 20_000
"""Training pictures from which on they are mixed in pairs. Source: Kolesnikov et al. 2020, "Big Transfer",
https://arxiv.org/abs/1912.11370, whose rule is after the amount of data too."""

_IMBALANCED = 3.0
"""The largest class by the smallest, above which classes are sampled evenly: as for the metric."""

# Training pictures up to which so many epochs are run. Fewer pictures need more passes for as many steps.
_EPOCHS = ((500, 20), (2_000, 12), (10_000, 8), (50_000, 5))
_FEWEST_EPOCHS = 3


def choose_recipe(name: str, class_counts: npt.NDArray[np.int64]) -> Recipe:
    """Return a recipe, its settings chosen by the amount of data.

    Args:
        name: one of `RECIPES`.
        class_counts: int64 of shape (K,): training pictures of each class.

    Raises:
        InputError: there is no such recipe.

    Source: the probe before all layers: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features",
        https://arxiv.org/abs/2202.10054; rates that fall towards the input: Howard and Ruder 2018,
        https://arxiv.org/abs/1801.06146; averaged weights: Polyak and Juditsky 1992.
    """
    num_train = int(class_counts.sum())
    epochs = next((epochs for most, epochs in _EPOCHS if num_train <= most), _FEWEST_EPOCHS)
    base = Recipe(
        name="default",
        epochs=epochs,
        patience=max(3, epochs // 3),
        batch_size=32 if num_train <= LARGE else 128,
        rate=5e-4,
        input_rate=0.2,
        weight_decay=0.02,
        warm_up=0.1,
        averaging=0.1,
        clipping=1.0,
        first_side=0.5,
        smallest_crop=0.5,
        flip=True,
        colour=0.2,
        mixup=0.1 if num_train > LARGE else 0.0,
        label_smoothing=0.05,
        balance="sampling" if class_counts.max() > _IMBALANCED * max(1, class_counts.min()) else "none",
    )
    variants = {
        "default": base,
        "last-layer": replace(base, layers="last", rate=1e-3, first_side=1.0),
        "full": replace(base, start="fresh head", input_rate=1.0, rate=3e-4),
        "gradual": replace(base, layers="gradual"),
        "lora": replace(base, layers="lora", lora_rank=8, input_rate=1.0),
        "tutorial": _TUTORIAL,
        "scratch": replace(
            base,
            start="random",
            batch_norm="trained",
            epochs=10 * epochs,
            patience=0,
            rate=2e-3,
            input_rate=1.0,
            weight_decay=0.05,
            smallest_crop=0.35,
        ),
    }
    if name not in variants:
        raise InputError(f"there is no recipe {name!r}", hint=f"recipes: {', '.join(RECIPES)}")
    return replace(variants[name], name=name)


_TUTORIAL = Recipe(
    name="tutorial",
    start="fresh head",
    layers="last",
    epochs=10,
    batch_size=16,
    optimizer="adam",
    rate=1e-3,
    schedule="steps",
    batch_norm="trained",
    chosen_by="accuracy",
    normalization="half",
    resolution=32,
)
"""The protocol of the tutorial of 2019 that `docs/tutorial-claim.md` takes apart: a new last layer on a
frozen network in train mode, Adam, the rate divided by ten every four epochs, ten epochs, no augmentation."""
