"""Is a faster precision good enough for this network and these pictures?"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headstart.data import PictureSource
from headstart.embed.engine import Engine, decode_batches
from headstart.embed.plan import Precision
from headstart.models import Classifier

# Pictures that a faster precision is checked on.
_SAMPLE_PICTURES = 16


def spread_sample(values: Sequence[str]) -> list[str]:
    """Return at most 16 of `values`, evenly spread, always the same ones."""
    step = max(1, len(values) // _SAMPLE_PICTURES)
    return list(values[::step][:_SAMPLE_PICTURES])


def measure_cosine(
    classifier: Classifier, source: PictureSource, ids: Sequence[str], *, device: str, precision: Precision
) -> float:
    """Return the smallest cosine between features in `precision` and in float32 over the pictures `ids`.

    A precision in which an operator fails counts as -1: it is not used.
    """
    cosine = 1.0
    for batch in decode_batches(source, ids, classifier.preprocessing, batch_size=max(1, len(ids))):
        if not batch.ids:
            continue
        exact = Engine(classifier, device, "fp32").features(batch.pixels)
        try:
            fast = Engine(classifier, device, precision).features(batch.pixels)
        except (RuntimeError, NotImplementedError):  # torch's way of saying that an operator lacks a dtype
            return -1.0
        cosine = min(cosine, smallest_cosine(exact, fast))
    return cosine


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
