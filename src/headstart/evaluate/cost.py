"""What a prediction costs, measured."""

from collections.abc import Callable
from time import perf_counter

BUDGET_SECONDS = 0.5
"""No further call is started after this long: a slow model needs few calls, a comparison has many models."""


def measure_latency(forward: Callable[[], object], *, repeats: int = 30, warmup: int = 3) -> float:
    """Return the time of the fastest call of `forward`, in milliseconds.

    The fastest, not the median: what makes a call slower than it can be is the machine's other work, and two
    models measured at different moments would be compared by that.

    Args:
        forward: does the work once and returns when it is done: on a GPU it must wait for the device.
        repeats: timed calls at most, at least 1.
        warmup: calls before them that are not timed, for caches and compilers.

    Source: the same reasoning for `timeit`, https://docs.python.org/3/library/timeit.html
    """
    start = perf_counter()
    for _ in range(warmup):
        forward()
        if perf_counter() - start > BUDGET_SECONDS / 2:  # so that the timed calls get their share
            break
    fastest = float("inf")
    for _ in range(max(1, repeats)):
        before = perf_counter()
        forward()
        after = perf_counter()
        fastest = min(fastest, after - before)
        if after - start > BUDGET_SECONDS:
            break
    return 1000 * fastest
