"""`headstart tune` as a user meets it: recipes shown, rates found, runs stopped and gone on with."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headstart.evaluate import cost
from headstart.train import RECIPES, training

SMALL = ("--sample", "train=60,test=20", "--resolution", "32", "--device", "cpu", "--precision", "fp32")


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread for networks this small, latency measured once, and Ctrl-C listened to."""
    import torch

    monkeypatch.setattr(cost, "BUDGET_SECONDS", 0.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
    torch.set_num_threads(threads)


@pytest.fixture
def tune(headstart: Callable, tiny_models: tuple[str, str]) -> Callable:
    """A function that fine-tunes a small network on 60 digits."""
    return lambda *words: headstart("tune", "digits", "--models", tiny_models[1], *SMALL, *words)


def test_a_recipe_is_shown_setting_by_setting(headstart: Callable) -> None:
    said = headstart("tune", "--show-recipe", "--recipe", "gradual")
    assert said.code == 0
    settings = dict(line.split(maxsplit=1) for line in said.out.splitlines())
    assert settings["name"] == settings["layers"] == "gradual"
    assert float(settings["rate"]) > 0
    assert "1,000 pictures of 10 classes" in said.err
    changed = headstart(
        "tune", "--show-recipe", "--json", "--rate", "0.25", "--epochs", "3", "--batch-size", "5"
    )
    record = json.loads(changed.out)
    assert (record["rate"], record["epochs"], record["batch_size"]) == (0.25, 3, 5)
    assert set(record) == set(settings)


def test_a_recipe_for_some_pictures_is_that_for_so_many(headstart: Callable) -> None:
    said = headstart("tune", "digits", "--show-recipe", "--json")
    assert json.loads(said.out)["epochs"] == 12  # of 1,797 pictures
    assert said.err == ""


@pytest.mark.parametrize("words", [["--json"], []])
def test_showing_a_recipe_needs_no_torch(words: list[str]) -> None:
    code = f"""
import sys
from headstart.cli.app import app
try:
    app(["tune", "--show-recipe", *{words!r}])
except SystemExit as end:
    assert not end.code, end.code
heavy = {{"torch", "timm", "torchvision", "sklearn", "accelerate", "peft"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["digits", "--recipe", "nonsense"], "no recipe 'nonsense'", "tutorial"),
        (["digits", "--budget", "500images"], "is no time", "10m"),
        (["digits", "--budget", "soon"], "soon", ""),
        (["digits", "--track", "paper"], "no tracker 'paper'", "tensorboard"),
        (["digits", "--rate", "0"], "rate of a recipe is 0.0", "above 0"),
        (["digits", "--models", "nosuchnet"], "nosuchnet", ""),
        ([], "no pictures", "DATA"),
    ],
)
def test_what_cannot_be_used_is_told_at_once(
    words: list[str], error: str, hint: str, headstart: Callable, tmp_path: Path
) -> None:
    said = headstart("tune", *words, "--out", tmp_path / "run")
    assert said.code == 1
    (line,) = said.error_lines()
    assert error in line
    assert all(hint in each for each in said.hint_lines())
    assert "embedding" not in said.err
    assert not (tmp_path / "run").exists()


def test_the_outcome_is_printed_and_a_second_start_does_nothing(tune: Callable, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    words = ("--epochs", "2", "--out", tmp_path / "run", "--track", "tensorboard")
    said = tune(*words)
    assert said.code == 0, said.err
    assert "epoch 1: training loss" in said.err
    assert ", tuned" in said.out
    assert "Fine-tuning timm/test_efficientnet" in said.out
    assert "over its probe" in said.out
    events = b"".join(each.read_bytes() for each in (tmp_path / "run").rglob("events.out.tfevents.*"))
    assert b"train_loss" in events
    assert b"pictures_per_second" in events
    log = next((tmp_path / "run").rglob("tuning.jsonl")).read_text(encoding="utf-8")
    assert [json.loads(line)["number"] for line in log.splitlines()] == [1, 2]
    model = tmp_path / "run" / "model" / "model.safetensors"
    before = model.stat().st_mtime_ns
    again = tune(*words)
    assert again.code == 0
    assert again.out == said.out
    assert "nothing to do" in again.err
    assert model.stat().st_mtime_ns == before


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what mlflow itself uses
def test_mlflow_is_told_of_every_epoch(
    tune: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    said = tune("--epochs", "2", "--out", tmp_path / "run", "--track", "mlflow")
    assert said.code == 0, said.err
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'headstart'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name.startswith("timm/test_efficientnet")
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer"] == "adamw"
    history = client.get_metric_history(run.info.run_id, "train_loss")
    assert [each.step for each in history] == [1, 2]


def test_wandb_is_told_of_every_epoch(
    tune: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    said = tune("--epochs", "2", "--out", tmp_path / "run", "--track", "wandb")
    assert said.code == 0, said.err
    (kept,) = (tmp_path / "run").rglob("run-*.wandb")
    told = kept.read_bytes()
    assert told.count(b"train_loss") >= 2
    assert b"adamw" in told


def test_a_network_that_cannot_be_tuned_as_asked_is_an_error_and_its_probe_is_kept(
    tune: Callable, tmp_path: Path
) -> None:
    said = tune("--recipe", "lora", "--out", tmp_path / "run")
    assert said.code == 1
    (line,) = said.error_lines()
    assert "of which this network has none" in line
    assert said.hint_lines()
    assert "chosen: timm/test_efficientnet" in said.out
    assert (tmp_path / "run" / "model" / "headstart.json").is_file()


def test_rates_are_tried_and_nothing_is_kept(tune: Callable, tmp_path: Path) -> None:
    said = tune("--find-rate", "--batch-size", "16")
    assert said.code == 0, said.err
    *lines, last = said.out.splitlines()
    assert len(lines) > 20
    rates = [float(line.split()[0]) for line in lines]
    assert rates == sorted(rates)
    assert rates[0] == 1e-6
    suggestion = float(last.removeprefix("suggestion: --rate "))
    assert rates[0] / 10 <= suggestion < rates[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_budget_is_kept_to(tune: Callable, tmp_path: Path) -> None:
    said = tune("--budget", "1s", "--epochs", "500", "--recipe", "full", "--out", tmp_path / "run")
    assert said.code == 0, said.err
    log = next((tmp_path / "run").rglob("tuning.jsonl")).read_text(encoding="utf-8")
    assert len(log.splitlines()) < 100


def test_ctrl_c_leaves_a_checkpoint_and_the_next_start_goes_on(
    tune: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = training.Training._take_step
    steps: list[int] = []

    def pressing(self: training.Training, *args: object) -> float:
        loss = take(self, *args)  # type: ignore[arg-type]
        steps.append(1)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
        return loss

    words = ("--epochs", "2", "--batch-size", "12", "--out", tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(training.Training, "_take_step", pressing)
        said = tune(*words)
    assert said.code == 130
    assert said.error_lines() == ["error: stopped"]
    assert said.hint_lines() == ["hint: what was finished is kept; run the same command again to go on"]
    assert len([*(tmp_path / "run").rglob("checkpoint.safetensors")]) == 1
    again = tune(*words)
    assert again.code == 0, again.err
    assert "going on with epoch 1 from the checkpoint" in again.err
    assert not [*(tmp_path / "run").rglob("checkpoint.safetensors")]
    undisturbed = tune("--epochs", "2", "--batch-size", "12", "--out", tmp_path / "other")
    assert undisturbed.code == 0
    tensors = "tuned/*/model.safetensors"
    (ours,), (theirs,) = (tmp_path / "run").glob(tensors), (tmp_path / "other").glob(tensors)
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_tuned_model_is_predicted_with_and_evaluated_like_any_other(
    tune: Callable, headstart: Callable, tmp_path: Path
) -> None:
    assert tune("--epochs", "1", "--out", tmp_path / "run").code == 0
    (folder,) = (tmp_path / "run" / "tuned").iterdir()
    record = json.loads((folder / "headstart.json").read_text(encoding="utf-8"))
    assert record["history"]["recipe"]["name"] == "default"
    said = headstart("evaluate", folder, "digits", "--sample", "test=30", "--json")
    assert said.code == 0, said.err
    json.loads(said.out)


@pytest.mark.heavy
def test_two_processes_make_one_run_and_start_again(tmp_path: Path, tiny_models: tuple[str, str]) -> None:
    pytest.importorskip("accelerate")

    def run() -> subprocess.CompletedProcess:
        with socket.socket() as asked:
            asked.bind(("127.0.0.1", 0))
            port = asked.getsockname()[1]
        words = ["-m", "headstart", "tune", "digits", "--models", tiny_models[1], *SMALL, "--epochs", "2"]
        torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"]
        return subprocess.run(
            [sys.executable, *torchrun, "--master-port", str(port), *words, "--out", "run"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
            timeout=120,
            check=False,
        )

    ended = run()
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stdout.count("chosen: ") == 1
    assert ended.stderr.count("epoch 1: training loss") == 1
    assert os.listdir(tmp_path) == ["run"]
    again = run()
    assert again.returncode == 0, again.stderr[-3000:]
    assert again.stdout == ended.stdout
    assert "nothing to do" in again.stderr
    # Killed after the training, when its evidence is kept and the comparison is not.
    (tmp_path / "run" / "comparison.json").unlink()
    third = run()
    assert third.returncode == 0, third.stderr[-3000:]
    assert third.stdout.count("chosen: ") == 1


def test_help_names_every_recipe(headstart: Callable) -> None:
    said = headstart("tune", "--help")
    assert all(name in said.out for name in RECIPES)
