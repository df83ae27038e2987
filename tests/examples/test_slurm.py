"""The example for Slurm, on a real Slurm: one controller and two nodes on this machine.

Needs root and Debian's packages slurmctld, slurmd, slurm-client and munge; skipped without them.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from headstart.compare import load_comparison

pytest.importorskip("ray")

SCRIPT = Path(__file__).parents[2] / "examples" / "cluster" / "slurm.sh"
PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
NODES = ("one", "two")
SETTINGS = """
ClusterName=trial
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/node-%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/node-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=4000
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=4000
PartitionName=main Nodes=ALL Default=YES State=UP MaxTime=20
"""


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in listeners]


def start_munge() -> None:
    """Start what Slurm's parts know each other by, unless it runs."""
    if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
        return
    for folder in ("/run/munge", "/var/log/munge"):
        Path(folder).mkdir(exist_ok=True)
        shutil.chown(folder, "munge", "munge")
    subprocess.run(["su", "-s", "/bin/sh", "munge", "-c", shutil.which("munged") or "munged"], check=True)


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Give what runs a command of Slurm's."""
    if os.geteuid() != 0 or not all(map(shutil.which, PROGRAMS)):
        pytest.skip("needs root, and Debian's packages slurmctld, slurmd, slurm-client and munge")
    start_munge()
    folder, settings = tmp_path / "slurm", tmp_path / "slurm.conf"
    (folder / "state").mkdir(parents=True)
    host = socket.gethostname().split(".")[0]
    settings.write_text(SETTINGS.format(host=host, ports=free_ports(3), folder=folder))
    paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "SLURM_CONF": str(settings), "PATH": paths}

    def run(*words: str | Path) -> str:
        found = subprocess.run(
            [*map(str, words)], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stderr
        return found.stdout

    with ExitStack() as stack:
        for words in (["slurmctld", "-D"], *(["slurmd", "-D", "-N", node] for node in NODES)):
            process = stack.enter_context(
                subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            stack.callback(process.kill)
        deadline = time.monotonic() + 60
        while subprocess.run(["sinfo", "-h"], env=environment, capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        yield run


@pytest.mark.heavy
def test_a_job_of_two_nodes_chooses_what_one_process_does(
    slurm: Callable[..., str], few_shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [few_shapes, "--models", "efficientnet_lite0,efficientnet_lite1", "--resolution", "64"]
    here = [sys.executable, "-m", "headstart", "compare", *words, "--out", tmp_path / "here"]
    subprocess.run([*map(str, here)], check=True, capture_output=True)
    said, (port,) = tmp_path / "said.txt", free_ports(1)
    variables = f"ALL,HEADSTART_HOME={tmp_path / 'home'},HEADSTART_RAY_PORT={port}"
    job = slurm(
        *("sbatch", "--parsable", "--nodes", "2", "--output", said, "--export", variables),
        *(SCRIPT, *words, "--out", tmp_path / "there"),
    ).strip()
    deadline = time.monotonic() + 400
    while "JobState=COMPLETED" not in (state := slurm("scontrol", "show", "job", job)):
        assert "JobState=FAILED" not in state, said.read_text()
        assert time.monotonic() < deadline, (state, said.read_text())
        time.sleep(1)
    assert "2 workers on 2 nodes" in said.read_text()
    one, other = (load_comparison(tmp_path / each) for each in ("here", "there"))
    assert (one.chosen, [row.name for row in one.rows]) == (other.chosen, [row.name for row in other.rows])
