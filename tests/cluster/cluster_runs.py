"""What the tests on clusters have in common: what is embedded, and what must come out."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

MODEL = "efficientnet_lite0"
PER_CLASS = 1000  # 3,000 pictures: three pieces of 1,024 at 224 pixels
NUM_UNREADABLE = 1


def embed_words(pictures: Path, out: Path) -> list[str | Path]:
    """Return the words of the command, less the cluster."""
    return ["embed", pictures, "--models", MODEL, "--resolution", "224", "--json", "--out", out]


def run_here(*words: str | Path) -> None:
    """Run a command in one process, without a cluster."""
    subprocess.run([sys.executable, "-m", "headstart", *map(str, words)], check=True, capture_output=True)


def wait_for(log: Path, text: str) -> None:
    """Wait until a command has said something."""
    deadline = time.monotonic() + 300
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def assert_same(one: Path, other: Path) -> None:
    """Two files hold the same features, within the plan's tolerance."""
    first, second = np.load(one), np.load(other)
    assert first["ids"].tolist() == second["ids"].tolist()
    assert first["labels"].tolist() == second["labels"].tolist()
    a, b = first["features"], second["features"]
    cosines = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    assert cosines.min() > 0.9999


def assert_ends_like(process: "subprocess.Popen[str]", log: Path, here: Path, there: Path) -> None:
    """Wait for a command, which must succeed and write the features that one process computes."""
    out, _ = process.communicate(timeout=900)
    assert process.returncode == 0, log.read_text()
    assert json.loads(out)["num_pictures"] == 3 * PER_CLASS - NUM_UNREADABLE
    assert_same(here, there)
