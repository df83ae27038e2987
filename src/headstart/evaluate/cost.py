"""What a prediction costs, measured."""

from collections.abc import Callable
from statistics import median
from time import perf_counter

BUDGET_SECONDS = 0.5
"""No further call is started after this long: the median of a slow model needs few calls, and there are many
models in a comparison."""


def measure_latency(forward: Callable[[], object], *, repeats: int = 30, warmup: int = 3) -> float:
    """Return the median time of one call of `forward`, in milliseconds, from at least one timed call.

    Args:
        forward: does the work once and returns when it is done: on a GPU it must wait for the device.
        repeats: timed calls at most, at least 1.
        warmup: calls before them that are not timed, for caches and compilers.
    """
    start = perf_counter()
    for _ in range(warmup):
        forward()
        if perf_counter() - start > BUDGET_SECONDS / 2:  # so that the timed calls get their share
            break
    times: list[float] = []
    while len(times) < max(1, repeats):
        before = perf_counter()
        forward()
        after = perf_counter()
        times.append(1000 * (after - before))
        if after - start > BUDGET_SECONDS:
            break
    return median(times)
