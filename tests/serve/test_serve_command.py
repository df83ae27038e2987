"""The command as users run it: a process, an address, a signal."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from running_service import TOKEN, encoded

from headstart.models import load, save_folder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@contextmanager
def running(*words: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; give its process and the address that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "headstart", "serve", *words, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | variables,
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def refused(*words: str) -> str:
    """Return what the command said when it failed."""
    command = [sys.executable, "-m", "headstart", "serve", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_folder_is_served_until_sigterm(tiny_models: tuple[str, str], tmp_path: Path) -> None:
    classifier = load(tiny_models[0], num_classes=2)
    save_folder(classifier, tmp_path / "model")
    with running(str(tmp_path / "model")) as (process, address):
        assert address.startswith("http://127.0.0.1:")
        with httpx2.Client(base_url=address, timeout=30) as client:
            assert client.get("/ready").status_code == 200
            model = client.get("/model").json()
            assert model["card"] == (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
            assert str(tmp_path) not in str({key: model[key] for key in model if key != "card"})
            top = client.post("/predict", files={"f": encoded()}).json()["predictions"][0]["top"]
            assert {each["label"] for each in top} == set(classifier.class_names)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


@pytest.mark.slow
def test_ctrl_c_ends_it_in_order_and_the_token_is_in_the_link(tiny_models: tuple[str, str]) -> None:
    with running(tiny_models[0], HEADSTART_TOKEN=TOKEN) as (process, address):
        page, _, token = address.partition("#token=")
        assert token == TOKEN
        assert httpx2.get(f"{page}model").status_code == 401
        headers = {"authorization": f"Bearer {token}"}
        assert httpx2.get(f"{page}model", headers=headers).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read().splitlines()[-1] == "stopped"


def test_what_cannot_be_served_is_told() -> None:
    said = refused("efficientnet_lite0", "--host", "0.0.0.0")
    assert "other machines" in said
    assert "hint: --token new" in said
