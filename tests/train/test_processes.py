"""Two processes train what one does, up to rounding; one of them writes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from headstart.train.processes import Alone, find_processes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="torch has no torchrun there")

# Every sum is in another order; after twelve steps that was 7e-6 of the largest value of a tensor.
TOLERANCE = 1e-4

# Trains, and writes for each process what came of it. The last word ends it in the middle.
SCRIPT = """
import json, os, sys
from dataclasses import asdict, replace
from pathlib import Path
import torch
import headstart as hs
from headstart.data.scan import scan
from headstart.train import TuneOptions, choose_recipe, fine_tune, training
from safetensors.torch import save_file

model, out, stop = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
changes = json.loads(sys.argv[4])
rank = os.environ.get("RANK", "0")
torch.set_num_threads(1)
training._SAVING_SHARE = 1e9
dataset = hs.open_dataset("digits").select(range(105))
given = tuple(("train", "train", "val")[index % 3] for index in range(len(dataset)))
splits = scan(replace(dataset, given_splits=given)).dataset.split()
network = hs.load(model)
network = network.with_preprocessing(replace(network.preprocessing, input_size=(32, 32)))
recipe = replace(choose_recipe("full", splits.train.class_counts()), epochs=3, batch_size=23, **changes)
options = TuneOptions(device="cpu", precision="fp32", save_seconds=0.0)
taken = []
take = training.Training._take_step

def watched(self, fed, number):
    if stop and len(taken) == stop:
        os._exit(9)
    taken.append(list(fed.ids))
    return take(self, fed, number)

training.Training._take_step = watched
folder = out / f"run{rank}"
tuned = fine_tune(network, splits, recipe=recipe, out=folder, options=options)
save_file({name: each.contiguous() for name, each in tuned.state_dict().items()}, out / f"{rank}.safetensors")
(out / f"{rank}.json").write_text(json.dumps({"history": asdict(tuned.history), "taken": taken}))
"""


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def run(
    model: str,
    out: Path,
    *,
    count: int,
    stop: int = 0,
    ok: bool = True,
    changes: dict[str, object] | None = None,
) -> None:
    out.mkdir(exist_ok=True)
    script = out / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    words = [str(script), model, str(out), str(stop), json.dumps(changes or {})]
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", str(count)]
    torchrun += ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    ended = subprocess.run(
        [sys.executable, *(torchrun if count > 1 else []), *words],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        timeout=120,
        check=False,
    )
    assert (ended.returncode == 0) == ok, ended.stderr[-3000:]


def difference(first: Path, second: Path) -> float:
    """Return the largest difference of a tensor, as a share of its largest value."""
    ours, theirs = load_file(first), load_file(second)
    assert ours.keys() == theirs.keys()
    return max(
        float(np.abs(ours[name] - each).max() / max(np.abs(each).max(), 1e-6))
        for name, each in theirs.items()
    )


def test_alone_is_the_only_one() -> None:
    assert isinstance(find_processes("cpu"), Alone)


@pytest.mark.slow
def test_two_processes_end_like_one_also_when_they_were_killed(
    tmp_path: Path, tiny_models: tuple[str, str]
) -> None:
    pytest.importorskip("accelerate")
    one, two, killed = tmp_path / "one", tmp_path / "two", tmp_path / "killed"
    run(tiny_models[1], one, count=1)
    run(tiny_models[1], two, count=2)
    records = [json.loads((two / f"{rank}.json").read_text()) for rank in (0, 1)]
    alone = json.loads((one / "0.json").read_text())
    for ours, theirs, whole in zip(*(each["taken"] for each in (*records, alone)), strict=True):
        assert sorted(ours + theirs) == sorted(whole)  # the same batch, dealt
        assert abs(len(ours) - len(theirs)) <= 1
    assert difference(two / "0.safetensors", two / "1.safetensors") == 0
    assert difference(two / "0.safetensors", one / "0.safetensors") < TOLERANCE
    losses = [[each["train_loss"] for each in record["history"]["epochs"]] for record in (records[0], alone)]
    assert losses[0] == pytest.approx(losses[1], rel=TOLERANCE)
    assert sorted(each.name for each in (two / "run0").iterdir()) == ["tuning.jsonl"]
    assert not (two / "run1").exists()  # one process writes

    run(tiny_models[1], killed, count=2, stop=7, ok=False)
    assert (killed / "run0" / "checkpoint.safetensors").is_file()
    run(tiny_models[1], killed, count=2)
    taken = [len(json.loads((killed / f"{rank}.json").read_text())["taken"]) for rank in (0, 1)]
    assert taken in ([5, 5], [6, 6])  # of twelve: the last checkpoint is after the sixth or seventh
    assert difference(killed / "0.safetensors", two / "0.safetensors") < TOLERANCE


@pytest.mark.heavy
@pytest.mark.parametrize(
    "changes",
    [{"layers": "gradual", "start": "probe"}, {"layers": "last"}, {"mixup": 0.2, "balance": "sampling"}],
    ids=str,
)
def test_every_recipe_trains_in_two_processes(
    changes: dict[str, object], tmp_path: Path, tiny_models: tuple[str, str]
) -> None:
    pytest.importorskip("accelerate")
    for name, count in (("one", 1), ("two", 2)):
        run(tiny_models[1], tmp_path / name, count=count, changes=changes)
    assert difference(tmp_path / "two/0.safetensors", tmp_path / "one/0.safetensors") < TOLERANCE


@pytest.mark.slow
def test_batch_norms_that_are_trained_are_refused(tmp_path: Path, tiny_models: tuple[str, str]) -> None:
    pytest.importorskip("accelerate")
    run(tiny_models[1], tmp_path, count=2, changes={"batch_norm": "trained"}, ok=False)
    assert not (tmp_path / "0.json").exists()
