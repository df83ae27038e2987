"""How a network was fine-tuned: what a model folder tells of it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One pass over the training pictures, and what came of it.

    Attributes:
        number: from 1.
        rate: learning rate of the head at its end.
        train_loss: mean loss of its pictures as they were trained on, augmented, in nats.
        log_loss: of the validation pictures, in nats, with the averaged weights where there are any.
        accuracy: of the validation pictures, in [0, 1], likewise.
        pictures_per_second: rate of training, validation apart.
        seconds: it took, validation included.
    """

    number: int
    rate: float
    train_loss: float
    log_loss: float
    accuracy: float
    pictures_per_second: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The way of a fine-tuned network.

    Attributes:
        recipe: every setting, by name, as it was used.
        epochs: in order.
        chosen: number of the epoch whose weights these are, by validation; 0 for those before the first.
        notes: what happened besides, a line each: pictures left out, a halved batch, an early end.
    """

    recipe: dict[str, Any]
    epochs: tuple[Epoch, ...]
    chosen: int
    notes: tuple[str, ...] = ()
