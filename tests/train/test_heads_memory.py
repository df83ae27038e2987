"""Heads on features in a file: ten times as many rows take about the same anonymous memory."""

import subprocess
import sys
from pathlib import Path

import pytest

MAX_GROWTH_MIB = 64
"""From 20,000 to 200,000 rows of 256 features, whose own size grows by 176 MiB. A tenth of that is what the
numbers of each row may take: labels, order, votes, leverages, digests."""

MAX_MIB = {"ridge": 160, "vote": 200}
"""What blocks may take in all; else 64."""

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


@pytest.mark.parametrize(
    "head", ["probe", "predict", "ridge", "vote", "familiarity", "temperature", "signs", "audit", "select"]
)
def test_anonymous_memory_does_not_grow_with_the_rows(head, monkeypatch, tmp_path):
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path))
    few, many = (measure(head, n=n) for n in (20_000, 200_000))
    assert many - few < MAX_GROWTH_MIB
    assert many < MAX_MIB.get(head, MAX_GROWTH_MIB)


def measure(head, *, n):
    """Return by how many MiB anonymous memory grew at most."""
    script = Path(__file__).parent / "heads_memory.py"
    command = [sys.executable, str(script), head, str(n), "256"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout)
