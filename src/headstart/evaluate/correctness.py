"""How right predictions are, as every interval here is given it: checked once, in one place."""

import numpy as np
import numpy.typing as npt

from headstart.core.errors import InputError


def check_correctness(values: npt.ArrayLike, axes: tuple[str, ...]) -> npt.NDArray[np.float64]:
    """Return how right predictions are as float64.

    Args:
        values: 0 or 1 for each prediction, or an average over repeats.
        axes: what the axes are called, for the message: ("M", "N") expects two.

    Raises:
        InputError: there are other axes, no values, or some that are not in [0, 1].
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != len(axes) or array.size == 0:
        expected = str(axes).replace("'", "")
        raise InputError(f"correctness of shape {array.shape} was given, expected {expected}, not empty")
    if not (array.min() >= 0 and array.max() <= 1):  # written so that not-a-number fails too
        raise InputError(
            f"correctness from {array.min()} to {array.max()} was given, expected values in [0, 1]",
            hint="give 1 where the prediction is right and 0 where it is wrong",
        )
    return array
