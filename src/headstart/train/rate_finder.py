"""What learning rates do: a few steps in which the rate rises, before anything is trained in earnest."""

from dataclasses import dataclass, replace

import numpy as np

from headstart.core.errors import TrainingError
from headstart.core.progress import SILENT, Progress
from headstart.data import Splits
from headstart.embed import PixelStore
from headstart.models import Classifier
from headstart.train.fine_tuning import TuneOptions, prepare
from headstart.train.growth import Growth
from headstart.train.recipe import Recipe
from headstart.train.tuner import Tuner

LOWEST, HIGHEST = 1e-6, 1.0
NUM_STEPS = 60

_DIVERGED = 4.0  # times the lowest loss
_SMOOTHING = 0.8  # of the loss from step to step
_BELOW_LOWEST = 10.0  # the suggestion is so many times below the rate of the lowest loss


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSearch:
    """What rising learning rates did.

    Attributes:
        rates: of the head, rising.
        losses: smoothed mean loss of the training pictures at each, in nats.
        suggestion: a rate well below that of the lowest loss.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float


def find_rate(
    classifier: Classifier,
    pictures: Splits,
    *,
    recipe: Recipe,
    options: TuneOptions = TuneOptions(),
    store: PixelStore,
    progress: Progress = SILENT,
) -> RateSearch:
    """Take steps at rising rates until the loss grows; the network that is given stays as it is.

    Arguments and errors are those of `fine_tune`.

    Source: Smith 2015, "Cyclical Learning Rates", https://arxiv.org/abs/1506.01186.
    """
    # Rates are set from outside: the recipe's own schedule and average have no part in it.
    plain = replace(recipe, rate=1.0, warm_up=0.0, averaging=0.0)
    ready = prepare(classifier, pictures, recipe=plain, options=options, store=store, progress=progress)
    rates: list[float] = []
    losses: list[float] = []
    smoothed, weight = 0.0, 0.0
    progress.start("trying learning rates", total=NUM_STEPS, unit="steps")
    with ready.feeder(seed=options.seed) as feeder:
        tuner = Tuner(
            ready.trainee,
            plain,
            preprocessing=ready.decoding.preprocessing,
            growth=Growth(sides=ready.sides[-1:], num_steps=NUM_STEPS),
            steps_per_epoch=feeder.steps_per_epoch,
            precision=ready.precision,
            processes=ready.processes,
            seed=options.seed,
        )
        batches = (fed.batch for epoch in range(NUM_STEPS) for fed in feeder.batches(epoch))
        tuner.begin_epoch(plain.epochs - 1)
        for rate, batch in zip(np.geomspace(LOWEST, HIGHEST, NUM_STEPS), batches, strict=False):
            tuner.use_rate(float(rate))
            try:
                loss = tuner.take_step(batch)
            except TrainingError:
                break
            smoothed = _SMOOTHING * smoothed + (1 - _SMOOTHING) * loss
            weight = _SMOOTHING * weight + (1 - _SMOOTHING)
            rates.append(float(rate))
            losses.append(smoothed / weight)
            progress.advance()
            if losses[-1] > _DIVERGED * min(losses):
                break
    best = rates[int(np.argmin(losses))]
    return RateSearch(rates=tuple(rates), losses=tuple(losses), suggestion=best / _BELOW_LOWEST)
