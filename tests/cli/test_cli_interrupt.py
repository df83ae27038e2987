"""Ctrl-C at any moment: exit code 130, a sentence instead of a traceback, and the next run goes on."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headstart.cli import start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are Unix's")
NUM_PICTURES = 900


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """Listen to Ctrl-C where a shell that runs the tests in its background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_in_a_command(headstart: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    import headstart.cli.cache_command as module

    def press() -> Path:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
        raise AssertionError("not interrupted")

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(module, "embeddings_dir", press)
    said = headstart("cache")
    assert said.code == 130
    assert said.err.splitlines()[-2:] == [
        "error: stopped",
        "hint: what was finished is kept; run the same command again to go on",
    ]
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_in_a_command_that_keeps_nothing(
    headstart: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import headstart.cli.predict_command as module

    def press(text: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
        raise AssertionError("not interrupted")

    monkeypatch.setattr(module, "_parse_threshold", press)
    said = headstart("predict", "efficientnet_lite0", tmp_path)
    assert said.code == 130
    assert said.hint_lines() == ["hint: nothing is kept: the same command begins anew"]


def test_ctrl_c_that_an_import_turned_into_an_error(
    headstart: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None

    monkeypatch.setattr(start, "_run_app", fail)
    said = headstart("cache")
    assert said.code == 130
    assert said.error_lines() == ["error: stopped"]


def test_ctrl_c_where_python_swallows_exceptions(
    headstart: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of an object an exception is printed and forgotten; the command stops a moment later."""

    class Closing:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    def work() -> None:
        Closing()
        until = time.monotonic() + 5
        while time.monotonic() < until:
            time.sleep(0.01)
        raise AssertionError("not interrupted")

    monkeypatch.setattr(start, "_run_app", work)
    said = headstart("cache")
    assert said.code == 130
    assert said.error_lines() == ["error: stopped"]


def test_somebody_elses_handler_is_left_alone(headstart: Callable) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert headstart("cache").code == 0
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_ctrl_c_at_many_moments_of_an_embedding(
    tmp_path: Path, draw_folder: Callable, tiny_models: tuple[str, str]
) -> None:
    """Moments are spread over imports, reading and embedding; what was embedded is not lost."""
    pictures = draw_folder(tmp_path / "pictures", per_class=NUM_PICTURES // 3)
    words = ["embed", pictures, "--models", tiny_models[0], "--precision", "fp32", "--resolution", "320"]
    command = [sys.executable, "-m", "headstart", *map(str, words), "--json"]
    chance = random.Random(5)

    def interrupt(when: Callable[[subprocess.Popen], None], home: Path) -> bool:
        """Press Ctrl-C; say whether it came before the end."""
        running = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HEADSTART_HOME": str(home)},
        )
        when(running)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=120)
        assert "Traceback" not in err, err
        assert "Exception ignored" not in err, err
        if running.returncode == 0:
            json.loads(out)
            return False
        assert running.returncode == 130, (running.returncode, err)
        assert err.splitlines()[-2] == "error: stopped"
        assert "run the same command again" in err.splitlines()[-1]
        return True

    def wait_for_embedding(running: subprocess.Popen) -> None:
        assert running.stderr is not None
        next(line for line in running.stderr if line.startswith("embedding with"))

    # Moments are shares of what the whole takes on this machine, which may be fast or busy.
    began = time.monotonic()
    whole = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for_embedding(whole)
    start_seconds = time.monotonic() - began
    whole.communicate(timeout=120)
    assert whole.returncode == 0
    embed_seconds = time.monotonic() - began - start_seconds

    stopped = 0
    for moment in range(8):
        # The interpreter's own start, some 50 ms, is not ours to guard.
        delay = 0.2 + (start_seconds + embed_seconds) * (moment + chance.random()) / 10
        # Each begins from nothing: else what is kept grows until one of them ends in time.
        stopped += interrupt(lambda running, delay=delay: time.sleep(delay), tmp_path / f"home{moment}")
    assert stopped >= 5

    def while_embedding(running: subprocess.Popen) -> None:
        wait_for_embedding(running)
        time.sleep(embed_seconds * chance.uniform(0.1, 0.2))

    kept = tmp_path / "kept"
    assert sum(interrupt(while_embedding, kept) for _ in range(3)) >= 2
    ended = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "HEADSTART_HOME": str(kept)}
    )
    record = json.loads(ended.stdout)
    assert record["num_pictures"] == NUM_PICTURES
    assert 0 < record["num_computed"] < NUM_PICTURES
