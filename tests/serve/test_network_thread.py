"""The thread that the network runs in: as many threads and as little memory traffic as in the first one."""

import asyncio
import platform
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import torch
from running_service import encoded
from test_serve_command import running

from headstart.embed import PlanOptions
from headstart.models import Classifier
from headstart.serve.batching import Batcher
from headstart.serve.limits import Limits
from headstart.serve.metrics import Metrics
from headstart.serve.warm_up import ready_engine


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_decoding_leaves_the_network_its_threads(classifier: Classifier) -> None:
    """Decoding threads ask for one thread each, which torch takes as what later threads begin with."""

    async def ask() -> int:
        batcher = Batcher(classifier, engine, limits=Limits(), metrics=Metrics())
        try:
            await batcher.predictions([encoded(seed) for seed in range(8)])
            return await batcher.do(torch.get_num_threads)
        finally:
            await batcher.stop()

    engine = ready_engine(classifier, PlanOptions(device="cpu"))
    assert asyncio.run(ask()) == 2


def page_faults(pid: int) -> int:
    """Return how many pages a process was given so far. Source: proc_pid_stat(5), minflt."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[7])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's memory")
def test_memory_stays_between_batches() -> None:
    pictures = [("request", (f"{seed}.jpg", encoded(seed), "image/jpeg")) for seed in range(32)]
    with running("efficientnet_lite0", "--precision", "fp32") as (process, address):

        def send() -> int:
            assert httpx2.post(f"{address}predict", files=pictures, timeout=120).status_code == 200
            return page_faults(process.pid)

        seen = [send() for _ in range(6)]
    assert seen[-1] - seen[2] < 3 * 5_000, seen  # tens of thousands a batch where it goes back to the system
