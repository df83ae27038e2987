"""What the tests on clusters have in common: what is embedded, and what must come out."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

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


class Cluster:
    """A cluster on this machine, and commands that are run on it."""

    def __init__(self, home: Path, *, workers: int = 2, cores: int = 1) -> None:
        self._words = [sys.executable, "-m", "headstart", "cluster"]
        self._added: subprocess.Popen[bytes] | None = None
        self._environment = {**os.environ, "HEADSTART_HOME": str(home)}
        words = [*self._words, "up", "--workers", str(workers), "--cores", str(cores)]
        subprocess.run(words, env=self._environment, check=True, timeout=300)
        started = json.loads((home / "cluster" / "trial.json").read_text())
        self.address, self.nodes = started["address"], started["process_ids"]
        self.environment = {
            "RAY_ADDRESS": self.address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(home / "cluster" / "token"),
        }

    def stop(self) -> None:
        if self._added is not None:
            os.killpg(self._added.pid, signal.SIGKILL)
            self._added.wait(timeout=60)
        subprocess.run([*self._words, "down"], env=self._environment, check=True, timeout=120)
        assert not any(map(is_alive, self.nodes))

    def begin(
        self, *words: str | Path, home: Path, log: Path, program: Sequence[str] = ("-m", "headstart")
    ) -> "subprocess.Popen[str]":
        """Start a command, with a cache of its own."""
        with log.open("w") as errors:
            return subprocess.Popen(
                [sys.executable, *program, *map(str, words)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **self.environment, "HEADSTART_HOME": str(home)},
            )

    def ask_ray(self, *words: str) -> str:
        """Run a program or command of Ray's that knows this cluster, and return what it prints."""
        environment = {**os.environ, **self.environment}
        found = subprocess.run(
            words, env=environment, check=True, capture_output=True, text=True, timeout=120
        )
        return found.stdout

    def add_worker(self, log: Path, *, cores: int = 1) -> None:
        """Start one more node, which has all GPUs of this machine."""
        ray = Path(sys.executable).with_name("ray")
        words = [ray, "start", "--block", f"--address={self.address}", f"--num-cpus={cores}"]
        with log.open("w") as output:
            process = subprocess.Popen(
                [*words, "--node-ip-address=127.0.0.1"],
                stdout=output,
                stderr=output,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        self.nodes = [*self.nodes, process.pid]
        self._added = process

    def kill_workers(self) -> None:
        for node in self.nodes[1:]:
            os.killpg(node, signal.SIGKILL)

    def run(self, *words: str | Path, home: Path) -> str:
        log = home.parent / f"{home.name}.log"
        process = self.begin(*words, home=home, log=log)
        out, _ = process.communicate(timeout=900)
        assert process.returncode == 0, log.read_text()
        return out


def is_alive(process_id: int) -> bool:
    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def read_comparisons(*runs: Path) -> list[dict[str, Any]]:
    """Return the records that comparisons left in their folders."""
    return [json.loads((run / "comparison.json").read_text()) for run in runs]


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
