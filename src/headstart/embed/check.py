"""Is a faster plan good enough for this network and these pictures?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from headstart.embed.decoding import Decoding, decode_batches
from headstart.embed.engine import Engine
from headstart.embed.plan import Plan, exact_plan
from headstart.models import Classifier

Value = TypeVar("Value")

# Pictures that a faster plan is checked on: one in so many, within bounds.
_ONE_IN = 25
_FEWEST_PICTURES, _MOST_PICTURES = 4, 16
# Below any cosine: the plan cannot be run.
CANNOT_RUN = -2.0


def spread_sample(values: Sequence[Value]) -> list[Value]:
    """Return 4 to 16 of `values`, at most one in 25 above 4, evenly spread, always the same ones."""
    num_pictures = min(max(_FEWEST_PICTURES, len(values) // _ONE_IN), _MOST_PICTURES)
    step = max(1, len(values) // num_pictures)
    return list(values[::step][:num_pictures])


class Check:
    """Compares plans of one network with the exact plan, on a sample of somebody's pictures.

    The exact features are computed once, when the first plan is checked.

    Args:
        classifier: the network.
        decoding: how pictures become pixels for it; the decoder is that of each plan.
        ids: of the sample; see `spread_sample`.
    """

    def __init__(self, classifier: Classifier, decoding: Decoding, ids: Sequence[str]) -> None:
        self._classifier = classifier
        self._decoding = decoding
        self._ids = ids
        self._exact: dict[str, npt.NDArray[np.float32]] | None = None
        self._checked: Engine | None = None

    def engine(self, plan: Plan) -> Engine:
        """Return the engine that was checked last where this is its plan, else a new one."""
        if self._checked is None or replace(plan, reason="") != self._checked.plan:
            return Engine(self._classifier, plan)
        self._checked.plan = plan
        return self._checked

    def min_cosine(self, plan: Plan) -> float:
        """Return the smallest cosine between a picture's features by `plan` and its exact ones.

        A plan that cannot be run, because an operator is missing on the device or in the precision, counts as
        `CANNOT_RUN`.
        """
        self._exact_features()  # what fails here is no fault of the plan
        try:
            self._checked = Engine(self._classifier, plan)
            return self.min_cosine_of(self._checked)
        except (RuntimeError, NotImplementedError):  # torch's way of saying that an operator is missing
            return CANNOT_RUN

    def min_cosine_of(self, engine: Engine) -> float:
        """Return the same for an engine as it is run now."""
        exact, fast = self._exact_features(), self._features(engine)
        both = [each for each in exact if each in fast]
        if not both:
            return 1.0
        return smallest_cosine(np.stack([exact[i] for i in both]), np.stack([fast[i] for i in both]))

    def _exact_features(self) -> dict[str, npt.NDArray[np.float32]]:
        if self._exact is None:
            plan = exact_plan(self._classifier.preprocessing, device="cpu", reason="the check")
            self._exact = self._features(Engine(self._classifier, plan))
        return self._exact

    def _features(self, engine: Engine) -> dict[str, npt.NDArray[np.float32]]:
        decoding = replace(self._decoding, decoder=engine.plan.decoder)
        return {
            each: row
            for batch in decode_batches(decoding, self._ids, batch_size=engine.plan.batch_size)
            if batch.ids
            for each, row in zip(batch.ids, engine.features(batch.pixels), strict=True)
        }


def smallest_cosine(exact: npt.NDArray[np.float32], fast: npt.NDArray[np.float32]) -> float:
    """Return the smallest cosine between row i of `exact` and row i of `fast`, both of shape (N, D).

    Equal rows count as 1, also when they are zero; anything not finite counts as -1.
    """
    if not np.isfinite(fast).all():
        return -1.0
    dot = np.einsum("nd,nd->n", exact, fast, dtype=np.float64)
    norms = np.linalg.norm(exact.astype(np.float64), axis=1) * np.linalg.norm(fast.astype(np.float64), axis=1)
    same = (exact == fast).all(axis=1)
    cosines = np.where(same, 1.0, dot / np.maximum(norms, np.finfo(np.float64).tiny))
    return float(cosines.min(initial=1.0))
