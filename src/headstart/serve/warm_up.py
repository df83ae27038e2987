"""A network made ready before the first picture comes: its plan is chosen, and it has run once."""

import numpy as np
import numpy.typing as npt

from headstart.data.sources import ArraySource
from headstart.embed.check import Check, spread_sample
from headstart.embed.decoding import Decoding
from headstart.embed.engine import Engine
from headstart.embed.plan import PlanOptions, choose_plan
from headstart.models import Classifier

_NUM_PICTURES = 8
_SIDE = 320


def ready_engine(classifier: Classifier, options: PlanOptions) -> Engine:
    """Return the engine that answers pictures.

    The pictures to come are not here yet, so a faster plan is held to the exact one on drawn pictures: a
    network that cannot bear bf16, or an operator that is missing, shows on any.

    Raises:
        InputError: the device is not here, or plan and precision do not go together.
    """
    pictures = {str(seed): drawn_picture(seed) for seed in range(_NUM_PICTURES)}
    decoding = Decoding(
        source=ArraySource(pictures=pictures), preprocessing=classifier.preprocessing, decoder="fast"
    )
    check = Check(classifier, decoding, spread_sample(list(pictures)))
    plan = choose_plan(classifier, options=options, min_cosine=check.min_cosine, sample="drawn pictures")
    engine = check.engine(plan)
    pixels = np.zeros((engine.plan.batch_size, *classifier.preprocessing.input_size, 3), np.uint8)
    for count in (engine.plan.batch_size, 1):  # memory and kernels for both
        engine.features(pixels[:count])
    return engine


def drawn_picture(seed: int) -> npt.NDArray[np.uint8]:
    """Return a picture with shading, edges and texture, uint8 of shape (320, 320, 3)."""
    generator = np.random.default_rng(seed)
    corners = generator.uniform(0, 255, (2, 2, 3))
    share = np.linspace(0, 1, _SIDE)
    across = corners[0] + share[:, None, None] * (corners[1] - corners[0])  # (S, 2, 3)
    picture = across[:, :1] + share[None, :, None] * (across[:, 1:] - across[:, :1])
    for _ in range(12):
        top, left = generator.integers(0, _SIDE, 2)
        height, width = generator.integers(8, _SIDE // 2, 2)
        picture[top : top + height, left : left + width] = generator.uniform(0, 255, 3)
    picture += generator.normal(0, generator.uniform(2, 25), picture.shape)
    pixels: npt.NDArray[np.uint8] = picture.clip(0, 255).astype(np.uint8)
    return pixels
