"""A process that fine-tunes, killed at many random moments: it always ends with the same weights."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart.train.checkpoint import CHECKPOINT_FILE

SEED = 5

# Trains and prints the sha256 of all tensors and the history; checkpoints are written nearly all the time.
SCRIPT = """
import hashlib, json, sys
from dataclasses import asdict, replace
import headstart as hs
from headstart.data.scan import scan
from headstart.train import TuneOptions, choose_recipe, fine_tune, training

training._SAVING_SHARE = 0.7
dataset = hs.open_dataset("digits").select(range(240))
given = tuple(("train", "train", "val")[index % 3] for index in range(len(dataset)))
splits = scan(replace(dataset, given_splits=given)).dataset.split()
network = hs.load(sys.argv[1])
network = network.with_preprocessing(replace(network.preprocessing, input_size=(32, 32)))
recipe = replace(choose_recipe("full", splits.train.class_counts()), epochs=8, patience=0, batch_size=16)
options = TuneOptions(device="cpu", precision="fp32", save_seconds=0.0, keep_checkpoint=True)
print("begun", flush=True)
tuned = fine_tune(network, splits, recipe=recipe, out=sys.argv[2], options=options)
sha = hashlib.sha256()
for name, tensor in sorted(tuned.state_dict().items()):
    sha.update(name.encode() + tensor.contiguous().numpy().tobytes())
history = asdict(tuned.history)
for epoch in history["epochs"]:
    epoch["seconds"] = epoch["pictures_per_second"] = 0
print(json.dumps([sha.hexdigest(), history]), flush=True)
"""


def parts_in(folder: Path) -> list[Path]:
    """Return the checkpoints that are being written, or were when their process was killed."""
    return list(folder.glob(f".{CHECKPOINT_FILE}.*.part"))


class Run:
    """A fine-tuning as a process of its own."""

    def __init__(self, model: str, out: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, model, str(out)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "begun\n"
        self.begun = time.monotonic()

    def kill_after(self, seconds: float, *, writing: Path | None = None) -> bool:
        """Kill it as nothing can be caught; say whether it was still at work.

        Args:
            seconds: from its begin.
            writing: folder in which it shall write a checkpoint just then.
        """
        time.sleep(seconds)
        while writing is not None and self.process.poll() is None and not parts_in(writing):
            time.sleep(0.0005)
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=60)
        return self.process.returncode == -signal.SIGKILL

    def finish(self) -> list[object]:
        out, _ = self.process.communicate(timeout=600)
        assert self.process.returncode == 0
        return list(json.loads(out))


@pytest.mark.parametrize(
    "num_kills", [pytest.param(5, marks=pytest.mark.slow), pytest.param(24, marks=pytest.mark.heavy)]
)
@pytest.mark.skipif(sys.platform == "win32", reason="signals are Unix's")
def test_killed_at_random_it_ends_with_the_same_weights(
    num_kills: int, tmp_path: Path, tiny_models: tuple[str, str]
) -> None:
    calm = Run(tiny_models[1], tmp_path / "calm")
    expected = calm.finish()
    seconds = time.monotonic() - calm.begun

    chance = random.Random(SEED)
    kills = inside_a_write = 0
    starts = 0
    while kills < num_kills:
        starts += 1
        assert starts < 4 * num_kills
        folder = tmp_path / "killed"
        # Short enough that most kills hit a training that is not over; each gets a little further.
        writing = folder if starts % 2 else None
        if Run(tiny_models[1], folder).kill_after(chance.uniform(0.02, 0.25) * seconds, writing=writing):
            kills += 1
            inside_a_write += bool(parts_in(folder))
        else:  # it has ended: another training is killed
            assert Run(tiny_models[1], folder).finish() == expected
            folder.rename(tmp_path / f"ended {starts}")
    assert Run(tiny_models[1], tmp_path / "killed").finish() == expected
    assert inside_a_write >= num_kills // 8, "the kills never hit a checkpoint that was being written"
    assert not parts_in(tmp_path / "killed")
