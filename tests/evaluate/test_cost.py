import time
from collections.abc import Iterator

from headstart.evaluate import measure_latency
from headstart.evaluate.cost import BUDGET_SECONDS


def test_the_fastest_call_counts_and_the_warm_up_does_not() -> None:
    pauses: Iterator[float] = iter([0.0, 0.0, 0.0, 0.03, 0.01, 0.02])
    assert 10 <= measure_latency(lambda: time.sleep(next(pauses)), repeats=3, warmup=3) < 20


def test_slow_models_are_not_called_often() -> None:
    calls: list[float] = []

    def slow() -> None:
        calls.append(time.perf_counter())
        time.sleep(BUDGET_SECONDS * 0.6)

    assert measure_latency(slow) >= 600 * BUDGET_SECONDS
    assert len(calls) == 2
