"""A cluster on this machine alone, to try things out: several nodes of Ray that share its cores."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from headstart.core.errors import ClusterError, InputError, MissingExtraError, StorageError
from headstart.core.files import storage_errors, write_text
from headstart.core.machine import num_cores
from headstart.core.paths import cluster_dir
from headstart.core.records import dumps, from_json, read_json

_LOOPBACK = "127.0.0.1"
_VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
_STARTED = b"Ray runtime started"  # in what `ray start` prints
# Ray would let its own daemons go before the workers (a niceness of 15): whenever one takes a core, all other
# threads of a convolution wait for it. On two cores, 10,000 pictures took 40.6 s so, and 37.5 s like this.
_WORKERS_FIRST = {"RAY_worker_niceness": "0"}
_SECONDS_TO_START = 120.0
_SECONDS_TO_STOP = 5.0  # Ray would wait longer for others to take over a node's work


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A cluster that `start` started.

    Attributes:
        address: "host:port".
        process_ids: of its nodes, the head first; each leads a process group.
    """

    address: str
    process_ids: tuple[int, ...]


def start(num_workers: int, *, cores_per_worker: int | None = None) -> Trial:
    """Start a head without cores of its own, and so many workers, on this machine.

    The machine's GPUs are shared out among the workers; each belongs to one of them.

    Ray listens to the network. Whoever reaches it may run anything, so that only who knows a token is heard:
    it lies in a file that this user alone may read.

    Args:
        num_workers: at least 1.
        cores_per_worker: by default this machine's cores, shared out.

    Raises:
        InputError: fewer than one worker, or one has no core.
        MissingExtraError: Ray is not installed.
        ClusterError: one is running, or a node does not start.
    """
    if num_workers < 1 or (cores_per_worker is not None and cores_per_worker < 1):
        raise InputError(f"--workers {num_workers}, --cores {cores_per_worker}", hint="give 1 or more")
    if trial_address():
        raise ClusterError("a cluster is running", hint="end it first: headstart cluster down")
    stop()  # what is left of one whose head has died
    port, cores = _free_port(), cores_per_worker or max(1, num_cores() // num_workers)
    address = f"{_LOOPBACK}:{port}"
    _write_token()
    nodes: list[_Node] = []
    try:
        nodes.append(_Node.start("head", ["--head", f"--port={port}", "--num-cpus=0"], gpus=[]))
        nodes[0].wait()
        gpus = _visible_gpus()
        for number in range(num_workers):  # one after the other: at once they take each other's ports
            options = [f"--address={address}", f"--num-cpus={cores}"]
            nodes.append(_Node.start(f"worker-{number}", options, gpus=gpus[number::num_workers]))
            nodes[-1].wait()
    except BaseException:
        _stop([node.process.pid for node in nodes])
        raise
    trial = Trial(address=address, process_ids=tuple(node.process.pid for node in nodes))
    write_text(_file(), dumps(trial))
    return trial


def stop() -> Trial | None:
    """End the cluster that `start` started, and return what it was; None where there is none."""
    trial = _load()
    if trial is not None:
        _stop(list(trial.process_ids))
        _file().unlink(missing_ok=True)
    return trial


def trial_address() -> str:
    """Return the address of the cluster that `start` started, "" where none is running."""
    trial = _load()
    return trial.address if trial is not None and answers(trial.address) else ""


def trial_environment() -> dict[str, str]:
    """Return the variables by which Ray knows the token of the cluster that `start` started."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(_token_file())}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """A node that is starting, in a process group of its own."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @classmethod
    def start(cls, name: str, options: list[str], *, gpus: list[str]) -> "_Node":
        ray = Path(sys.executable).with_name("ray")
        command = str(ray) if ray.is_file() else shutil.which("ray")
        if command is None:
            raise MissingExtraError("a cluster needs Ray", hint="pip install 'headstart[cluster]'")
        log = cluster_dir() / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    *(command, "start", "--block", f"--node-ip-address={_LOOPBACK}"),
                    *(f"--num-gpus={len(gpus)}", *options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    **_WORKERS_FIRST,
                    **os.environ,
                    **trial_environment(),
                    "RAY_USAGE_STATS_ENABLED": "0",
                    _VISIBLE_GPUS: ",".join(gpus),
                },
                start_new_session=True,
            )
        return cls(process=process, log=log)

    def wait(self) -> None:
        """Wait until the node has started.

        Raises:
            ClusterError: it ended, or takes too long.
        """
        deadline = time.monotonic() + _SECONDS_TO_START
        while _STARTED not in self.log.read_bytes():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise ClusterError("a node of Ray did not start", hint=f"its messages are in {self.log}")
            time.sleep(0.1)


def answers(address: str) -> bool:
    """Return whether somebody listens at "host:port"."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1.0):
            return True
    except (OSError, ValueError):
        return False


def _visible_gpus() -> list[str]:
    """Return the GPUs of this machine that the user lets programs see, as CUDA names them."""
    import torch  # takes seconds to import

    named = os.environ.get(_VISIBLE_GPUS, "")
    count = torch.cuda.device_count()
    return named.split(",")[:count] if named else [str(number) for number in range(count)]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((_LOOPBACK, 0))
        return int(listener.getsockname()[1])


def _stop(process_ids: list[int]) -> None:
    """End process groups, the last first; those that do not end in time are killed."""
    for process_id in reversed(process_ids):
        _signal(process_id, signal.SIGTERM)
    deadline = time.monotonic() + _SECONDS_TO_STOP
    while any(map(_is_alive, process_ids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process_id in process_ids:
        _signal(process_id, signal.SIGKILL)
    while any(map(_is_alive, process_ids)) and time.monotonic() < deadline + _SECONDS_TO_STOP:
        time.sleep(0.1)


def _signal(process_id: int, number: signal.Signals) -> None:
    """Signal a process group, if its leader is a node still: numbers are given again after a restart."""
    command = subprocess.run(
        ["ps", "-o", "command=", "-p", str(process_id)], capture_output=True, text=True, check=False
    )
    if "start --block" in command.stdout:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process_id, number)


def _is_alive(process_id: int) -> bool:
    with suppress(ChildProcessError):  # a child of ours that ended must be waited for
        os.waitpid(process_id, os.WNOHANG)
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process_id)], capture_output=True, text=True, check=False
    )
    return state.stdout.strip()[:1] not in ("", "Z")  # one that ended and that nobody asked about is a Z


def _file() -> Path:
    return cluster_dir() / "trial.json"


def _write_token() -> None:
    """Write a new token, which nobody but this user may read."""
    path = _token_file()
    with storage_errors(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))


def _token_file() -> Path:
    return cluster_dir() / "token"


def _load() -> Trial | None:
    try:
        return from_json(Trial, read_json(_file())) if _file().is_file() else None
    except (StorageError, TypeError, ValueError):
        return None
