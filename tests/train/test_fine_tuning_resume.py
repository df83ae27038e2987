"""A fine-tuning stopped anywhere goes on as if nothing had happened: the same weights, bit for bit."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.core.errors import RunMismatchError, StorageError
from headstart.models import Classifier
from headstart.train import Recipe, training
from headstart.train.checkpoint import CHECKPOINT_FILE
from headstart.train.training import LOG_FILE
from headstart.train.tuner import Tuner

Tune = Callable[..., Classifier]
Same = Callable[[Classifier, Classifier], None]

STEPS_PER_EPOCH, NUM_STEPS = 5, 15


class Killed(BaseException):
    """The end of a process, as far as the code that runs can tell."""


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a checkpoint after every step."""
    monkeypatch.setattr(training, "_SAVING_SHARE", 1e9)


@pytest.fixture
def often(fast: Any) -> Any:
    return replace(fast, save_seconds=0.0)


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """Listen to Ctrl-C where a shell that runs the tests in its background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def undisturbed(begun: Classifier, few_digits: Any, brief: Recipe, fast: Any) -> Classifier:
    from headstart.train import fine_tune

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tuned = fine_tune(begun, few_digits, recipe=brief, options=fast)
    torch.set_num_threads(threads)
    return tuned


def stop_at(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int, *, after: bool, how: Callable[[], None]
) -> None:
    """Let something happen right before or after one call of a function."""
    function, calls = getattr(owner, name), []

    def watched(*args: Any, **keywords: Any) -> Any:
        calls.append(name)
        if len(calls) == call and not after:
            how()
        result = function(*args, **keywords)
        if len(calls) == call and after:
            how()
        return result

    monkeypatch.setattr(owner, name, watched)


def kill() -> None:
    raise Killed


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(0.05)  # the handler runs between two steps of the interpreter


def test_the_history_tells_every_epoch(undisturbed: Classifier, brief: Recipe) -> None:
    history = undisturbed.history
    assert history is not None
    assert [each.number for each in history.epochs] == [1, 2, 3]
    assert history.recipe["name"] == "brief"
    assert history.recipe["rate"] == brief.rate
    assert history.epochs[-1].rate == pytest.approx(0, abs=1e-9)
    assert history.epochs[0].train_loss > history.epochs[-1].train_loss
    assert undisturbed.temperature == 1


def test_another_start_gives_the_same_and_another_seed_does_not(
    tune: Tune, undisturbed: Classifier, assert_same: Same, fast: Any, tmp_path: Path
) -> None:
    assert_same(tune(out=tmp_path), undisturbed)
    assert not (tmp_path / CHECKPOINT_FILE).exists()
    assert len((tmp_path / LOG_FILE).read_text(encoding="utf-8").splitlines()) == 3
    other = tune(options=replace(fast, seed=1))
    assert not torch.equal(other.state_dict()["head.weight"], undisturbed.state_dict()["head.weight"])


@pytest.mark.parametrize(
    ("call", "after"),
    [
        (3, False),
        (6, True),
        (14, True),
        *[
            pytest.param(call, after, marks=pytest.mark.slow)
            for call, after in (
                (1, False),
                (1, True),
                (3, True),
                (5, False),
                (5, True),
                (6, False),
                (14, False),
            )
        ],
        pytest.param(18, False, marks=pytest.mark.slow),
        pytest.param(18, True, marks=pytest.mark.slow),
    ],
)
def test_killed_before_or_after_a_checkpoint(
    call: int,
    after: bool,
    tune: Tune,
    undisturbed: Classifier,
    assert_same: Same,
    often: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Calls 6, 12 and 18 are those at the end of an epoch."""
    with monkeypatch.context() as patch:
        stop_at(patch, training, "save_checkpoint", call, after=after, how=kill)
        with pytest.raises(Killed):
            tune(out=tmp_path, options=often)
    taken = count_steps(monkeypatch)
    assert_same(tune(out=tmp_path, options=often), undisturbed)
    done = call - call // (STEPS_PER_EPOCH + 1) - (not after and call % (STEPS_PER_EPOCH + 1) > 0)
    assert len(taken) == NUM_STEPS - done


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    taken: list[int] = []
    step = Tuner.take_step

    def counted(self: Tuner, *args: Any) -> float:
        taken.append(self.step)
        return step(self, *args)

    monkeypatch.setattr(Tuner, "take_step", counted)
    return taken


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (torch.optim.AdamW, "step", 1),
        (torch.optim.AdamW, "step", 7),
        (training, "merit", 3),
        *[
            pytest.param(*where, marks=pytest.mark.slow)
            for where in (
                (Tuner, "begin_epoch", 2),
                (Tuner, "take_step", 1),
                (torch.optim.AdamW, "step", 10),
                (training, "log_loss", 1),
                (training, "log_loss", 2),
                (training, "asdict", 1),
                (training, "write_text", 2),
                (training, "save_checkpoint", 2),
            )
        ],
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_ctrl_c_in_the_middle_of_it(
    owner: Any,
    name: str,
    call: int,
    tune: Tune,
    undisturbed: Classifier,
    assert_same: Same,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step that has begun is finished first: half of one is no state to go on from."""
    with monkeypatch.context() as patch:
        stop_at(patch, owner, name, call, after=True, how=press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            tune(out=tmp_path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert_same(tune(out=tmp_path), undisturbed)


@pytest.mark.slow
def test_ctrl_c_keeps_the_steps_that_were_taken(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, torch.optim.AdamW, "step", 3, after=True, how=press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            tune(out=tmp_path)
    taken = count_steps(monkeypatch)
    tune(out=tmp_path)
    assert taken[0] == 3


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "adam", "schedule": "steps", "batch_norm": "trained", "mixup": 0.2},
        *[
            pytest.param(change, marks=pytest.mark.slow)
            for change in (
                {"layers": "gradual", "start": "probe"},
                {"layers": "last"},
                {"averaging": 0.0, "optimizer": "sgd"},
                {"start": "random", "batch_norm": "trained", "balance": "weights"},
                {"balance": "sampling", "clipping": 0.0},
            )
        ],
    ],
    ids=str,
)
def test_every_way_of_training_goes_on_where_it_stopped(
    change: dict[str, Any],
    tune: Tune,
    assert_same: Same,
    brief: Recipe,
    often: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = replace(brief, epochs=2, **change)
    expected = tune(recipe=recipe)
    with monkeypatch.context() as patch:
        stop_at(patch, training, "save_checkpoint", 8, after=True, how=kill)
        with pytest.raises(Killed):
            tune(recipe=recipe, out=tmp_path, options=often)
    assert_same(tune(recipe=recipe, out=tmp_path, options=often), expected)


@pytest.mark.parametrize("call", [pytest.param(18, marks=pytest.mark.slow), 24])
def test_an_early_end_is_the_same_after_a_kill_at_it(
    call: int,
    tune: Tune,
    assert_same: Same,
    brief: Recipe,
    often: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a better epoch it ends after the fourth, whose checkpoint is the 24th."""
    recipe = replace(brief, epochs=9, patience=2, rate=1e-9, warm_up=0.0)
    scores = iter((0.5, 0.4, 0.6, 0.5, 0.5, 0.9))
    monkeypatch.setattr(training, "merit", lambda *_: next(scores))
    expected = tune(recipe=recipe)
    assert expected.history is not None
    assert (len(expected.history.epochs), expected.history.chosen) == (4, 2)
    assert "no better one in 2 epochs" in expected.history.notes[-1]
    scores = iter((0.5, 0.4, 0.6, 0.5, 0.5, 0.9))
    with monkeypatch.context() as patch:
        stop_at(patch, training, "save_checkpoint", call, after=True, how=kill)
        with pytest.raises(Killed):
            tune(recipe=recipe, out=tmp_path, options=often)
    assert_same(tune(recipe=recipe, out=tmp_path, options=often), expected)


def test_a_finished_training_whose_checkpoint_is_kept_takes_no_step(
    tune: Tune, undisturbed: Classifier, assert_same: Same, fast: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    kept = replace(fast, keep_checkpoint=True)
    tune(out=tmp_path, options=kept)
    taken = count_steps(monkeypatch)
    assert_same(tune(out=tmp_path, options=kept), undisturbed)
    assert not taken


@pytest.mark.parametrize("damage", ["cut", "changed"])
@pytest.mark.slow
def test_a_damaged_checkpoint_costs_time_and_nothing_else(
    damage: str, tune: Tune, undisturbed: Classifier, assert_same: Same, fast: Any, tmp_path: Path
) -> None:
    tune(out=tmp_path, options=replace(fast, keep_checkpoint=True))
    path = tmp_path / CHECKPOINT_FILE
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data[:-5000] if damage == "cut" else data)
    assert_same(tune(out=tmp_path), undisturbed)


def test_another_training_in_the_same_folder_is_refused(
    tune: Tune, brief: Recipe, fast: Any, few_digits: Any, tmp_path: Path
) -> None:
    tune(out=tmp_path, options=replace(fast, keep_checkpoint=True))
    before = (tmp_path / CHECKPOINT_FILE).read_bytes()
    fewer = replace(few_digits, train=few_digits.train.select(range(70)))
    for change in (
        {"recipe": replace(brief, rate=1e-3)},
        {"options": replace(fast, seed=1)},
        {"pictures": fewer},
    ):
        with pytest.raises(RunMismatchError, match="other settings"):
            tune(out=tmp_path, **change)
    assert (tmp_path / CHECKPOINT_FILE).read_bytes() == before


def test_a_full_disk_stops_it_and_it_goes_on_when_there_is_room(
    tune: Tune,
    undisturbed: Classifier,
    assert_same: Same,
    often: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, calls = Path.write_bytes, []

    def full(path: Path, data: bytes) -> int:
        calls.append(path)
        if len(calls) > 8:
            write(path, data[:1000])
            raise OSError(28, "No space left on device")
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StorageError, match="No space left on device") as caught:
            tune(out=tmp_path, options=often)
    assert "free some space" in caught.value.hint
    assert sorted(os.listdir(tmp_path)) == [CHECKPOINT_FILE, LOG_FILE]
    taken = count_steps(monkeypatch)
    assert_same(tune(out=tmp_path, options=often), undisturbed)
    assert 5 < taken[0] < 9


@pytest.mark.slow
def test_the_log_has_a_line_for_every_epoch_once(
    tune: Tune, often: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, training, "save_checkpoint", 12, after=False, how=kill)
        with pytest.raises(Killed):
            tune(out=tmp_path, options=often)
    tune(out=tmp_path, options=often)
    lines = [json.loads(line) for line in (tmp_path / LOG_FILE).read_text(encoding="utf-8").splitlines()]
    assert [each["number"] for each in lines] == [1, 2, 3]
