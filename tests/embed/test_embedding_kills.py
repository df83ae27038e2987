"""A process killed at ten random moments of an embedding run: it always completes, with equal results."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

PER_CLASS = 800  # with files of 512 rows, five of them
SEED = 11


class Run:
    """`headstart embed` as a process of its own, and when it did what."""

    def __init__(self, words: Sequence[str | Path], home: Path) -> None:
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headstart", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HEADSTART_HOME": str(home)},
        )

    def wait_for_embedding(self) -> int:
        """Wait for the first picture to go to the network; return how many are still to do."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith("embedding with"):
                return int(line.split(": ")[1].split()[0].replace(",", ""))
        raise AssertionError("nothing was embedded")

    def wait_for_rows(self, home: Path, num_rows: int) -> None:
        while count_rows(home) < num_rows:
            assert self.process.poll() is None, "it ended too early"
            time.sleep(0.005)

    def kill(self) -> bool:
        """Kill it as nothing can be caught; say whether it was still alive."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=60)
        return self.process.returncode == -signal.SIGKILL

    def finish(self) -> dict[str, object]:
        out, err = self.process.communicate(timeout=600)
        assert self.process.returncode == 0, err
        return dict(json.loads(out))


def count_rows(home: Path) -> int:
    """The rows in files that bear their final name, read as the cache reads them."""
    from safetensors import safe_open

    total = 0
    for path in home.glob("embeddings/*/rows-*.safetensors"):
        with safe_open(path, framework="np") as file:
            total += file.get_slice("features").get_shape()[0]
    return total


def undisturbed(words: Sequence[str | Path], home: Path) -> tuple[float, float, float]:
    """Run to the end; return the seconds until embedding begins, that it takes, and from there to the end."""
    run = Run(words, home)
    num = run.wait_for_embedding()
    begun = time.monotonic()
    run.wait_for_rows(home, num)
    embedded = time.monotonic()
    run.finish()
    return begun - run.started, embedded - begun, time.monotonic() - embedded


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform == "win32", reason="signals are Unix's")
def test_a_killed_embedding_completes_with_equal_results(
    tmp_path: Path, draw_folder: Callable, tiny_models: tuple[str, str]
) -> None:
    num = 3 * PER_CLASS
    pictures = draw_folder(tmp_path / "pictures", per_class=PER_CLASS)
    words = ["embed", pictures, "--models", tiny_models[0], "--precision", "fp32", "--resolution", "128"]
    words += ["--json", "--out"]
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    start, middle, end = undisturbed([*words, tmp_path / "calm.npz"], calm)

    chance = random.Random(SEED)
    target = tmp_path / "killed.npz"
    words = [*words, target]
    chunk = middle * 512 / num
    for _ in range(3):  # importing, reading the pictures
        run = Run(words, killed)
        time.sleep(chance.uniform(0, 0.9 * start))
        assert run.kill()
    assert count_rows(killed) == 0
    done = [0]
    for kill in range(5):  # embedding: with nothing new on disk, and with another file or two
        run = Run(words, killed)
        assert run.wait_for_embedding() == num - done[-1], "rows of an earlier run were not used"
        if kill % 2:
            run.wait_for_rows(killed, done[-1] + 1)
        time.sleep(chance.uniform(0, 0.9 * chunk))
        assert run.kill()
        done.append(count_rows(killed))
        assert not target.exists()
    assert done == sorted(done)
    assert any(0 < rows < num for rows in done[:-1]), done
    for _ in range(2):  # all rows are there: writing the output, and the end of the process
        run = Run(words, killed)
        run.wait_for_rows(killed, num)
        time.sleep(chance.uniform(0, 0.5 * end))
        run.kill()  # it may have just ended

    partial = Run(words, killed).finish()
    assert (partial["num_pictures"], partial["num_computed"]) == (num, 0)
    with np.load(tmp_path / "calm.npz") as expected, np.load(target) as found:
        assert set(found) == set(expected) == {"features", "labels", "ids", "class_names"}
        assert expected["features"].shape == (num, 96)
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert done[-1] < num, f"the kills came too late to leave anything undone: {done}"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are Unix's")
def test_the_run_after_one_kill_computes_only_what_is_missing(
    tmp_path: Path, draw_folder: Callable, tiny_models: tuple[str, str]
) -> None:
    num = 3 * PER_CLASS
    pictures = draw_folder(tmp_path / "pictures", per_class=PER_CLASS)
    words = ["embed", pictures, "--models", tiny_models[1], "--precision", "fp32", "--resolution", "96"]
    words += ["--json", "--out"]
    run = Run([*words, tmp_path / "first.npz"], tmp_path / "home")
    run.wait_for_rows(tmp_path / "home", 512)
    assert run.kill()
    kept = count_rows(tmp_path / "home")
    assert 0 < kept < num
    record = Run([*words, tmp_path / "second.npz"], tmp_path / "home").finish()
    assert record["num_computed"] == num - kept
    Run([*words, tmp_path / "calm.npz"], tmp_path / "calm").finish()
    with np.load(tmp_path / "calm.npz") as expected, np.load(tmp_path / "second.npz") as found:
        np.testing.assert_array_equal(found["features"], expected["features"])
