"""A Ray cluster of two hosts: network namespaces with an address each, on one bridge, and files of their own.

What a cluster of processes on the loopback address cannot show is shown here: hosts speak over wires that can
be cut, and do not see each other's files.
"""

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cluster_runs import MODEL, assert_ends_like, embed_words, run_here, wait_for

from headstart.compare import load_comparison

pytest.importorskip("ray")

NETWORK = "10.213.77"
ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
}


def run_ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)


class Host:
    """A network namespace with a wire to the bridge.

    Args:
        number: the last part of its address.
        ray_files: Ray's folder, of the same path on all hosts.
        hidden: folders of which it sees nothing: what is in them is another host's.
    """

    def __init__(
        self, number: int, bridge: str, stack: ExitStack, *, ray_files: Path, hidden: Sequence[Path] = ()
    ) -> None:
        self.address = f"{NETWORK}.{number}"
        self._name = f"{bridge}-{number}"
        self._wire = f"{bridge}w{number}"
        self._hidden = hidden
        self._environment = {**os.environ, **ENVIRONMENT, "RAY_TMPDIR": str(ray_files)}
        run_ip("netns", "add", self._name)
        stack.callback(run_ip, "netns", "del", self._name)
        run_ip("link", "add", self._wire, "type", "veth", "peer", "name", "eth0", "netns", self._name)
        stack.callback(run_ip, "link", "del", self._wire)
        run_ip("link", "set", self._wire, "master", bridge, "up")
        run_ip("-n", self._name, "address", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            run_ip("-n", self._name, "link", "set", device, "up")

    def cut(self) -> None:
        """Cut the wire."""
        run_ip("link", "set", self._wire, "down")

    def begin(self, *words: str | Path, log: Path, home: Path) -> "subprocess.Popen[str]":
        """Start a program on this host."""
        command = ["ip", "netns", "exec", self._name]
        if self._hidden:
            mounts = " && ".join(f"mount -t tmpfs tmpfs {shlex.quote(str(each))}" for each in self._hidden)
            command += ["sh", "-c", f'{mounts} && exec "$@"', "sh"]
        with log.open("w") as errors:
            return subprocess.Popen(
                [*command, *map(str, words)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**self._environment, "HEADSTART_HOME": str(home)},
                start_new_session=True,
            )

    def join(self, head: "Host", folder: Path, stack: ExitStack) -> None:
        """Start Ray on this host, as the head or as one more node."""
        ray = Path(sys.executable).with_name("ray")
        role = (
            ["--head", "--port=6379", "--ray-client-server-port=10001"]
            if head is self
            else [f"--address={head.address}:6379"]
        )
        words = [ray, "start", "--block", *role, f"--node-ip-address={self.address}"]
        words += ["--num-cpus=1", "--object-store-memory=500000000", "--include-dashboard=false"]
        log = folder / f"{self._name}.log"
        process = self.begin(*(words if head is self else words[:-1]), log=log, home=folder / self._name)
        stack.callback(process.communicate, timeout=60)
        stack.callback(os.killpg, process.pid, signal.SIGKILL)


class Hosts:
    """Two hosts with a node of Ray each; commands are given on the first."""

    def __init__(self, pictures: Path, folder: Path, stack: ExitStack) -> None:
        # Ray's sockets lie there: the path must be short, and the same on all hosts.
        ray_files = Path(stack.enter_context(TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True)))
        bridge = f"hs{os.getpid() % 100000}"
        run_ip("link", "add", bridge, "type", "bridge")
        stack.callback(run_ip, "link", "del", bridge)
        run_ip("address", "add", f"{NETWORK}.1/24", "dev", bridge)
        run_ip("link", "set", bridge, "up")
        self.head = Host(2, bridge, stack, ray_files=ray_files)
        self.other = Host(3, bridge, stack, ray_files=ray_files, hidden=[pictures, ray_files])
        self.address = f"{self.head.address}:6379"
        for host in (self.head, self.other):
            host.join(self.head, folder, stack)
        self._wait_for_both(folder)

    def begin(self, *words: str | Path, folder: Path) -> tuple["subprocess.Popen[str]", Path]:
        """Start a command of headstart; return it and its log."""
        command = [sys.executable, "-m", "headstart", *words, "--cluster", self.address]
        log = folder / "log"
        return self.head.begin(*command, log=log, home=folder / "home"), log

    def begin_outside(self, *words: str | Path, folder: Path) -> tuple["subprocess.Popen[str]", Path]:
        """Start a command of headstart where no node is: on the host that has the bridge."""
        command = [sys.executable, "-m", "headstart", *words, "--cluster", f"ray://{self.head.address}:10001"]
        log = folder / "log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [*map(str, command)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **ENVIRONMENT, "HEADSTART_HOME": str(folder / "home")},
            )
        return process, log

    def _wait_for_both(self, folder: Path) -> None:
        deadline = time.monotonic() + 180
        while True:
            words = [sys.executable, "-m", "headstart", "cluster", "status", self.address]
            asked = self.head.begin(*words, log=folder / "status.log", home=folder / "home")
            out, _ = asked.communicate(timeout=120)
            if asked.returncode == 0 and self.other.address in out:
                return
            assert time.monotonic() < deadline, (out, (folder / "status.log").read_text())


@pytest.fixture
def hosts(pictures: Path, tmp_path: Path) -> Iterator[Hosts]:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs Linux, root and the program ip")
    try:
        run_ip("netns", "add", "headstart-trial")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr!r}")
    run_ip("netns", "del", "headstart-trial")
    with ExitStack() as stack:
        yield Hosts(pictures, tmp_path, stack)


@pytest.mark.heavy
@pytest.mark.parametrize("is_node", [True, False])
def test_hosts_that_do_not_see_the_pictures_share_the_work(
    hosts: Hosts, pictures: Path, here: Path, tmp_path: Path, is_node: bool
) -> None:
    """The command is given on a node, or on a machine outside of the cluster, which sends its pictures."""
    begin = hosts.begin if is_node else hosts.begin_outside
    process, log = begin(*embed_words(pictures, tmp_path / "there.npz"), folder=tmp_path)
    assert_ends_like(process, log, here, tmp_path / "there.npz")
    said = log.read_text()
    assert hosts.head.address in said
    assert hosts.other.address in said


@pytest.mark.heavy
def test_a_cut_wire_costs_the_pieces_behind_it(
    hosts: Hosts, pictures: Path, here: Path, tmp_path: Path
) -> None:
    process, log = hosts.begin(*embed_words(pictures, tmp_path / "there.npz"), folder=tmp_path)
    wait_for(log, "embedding with")
    hosts.other.cut()
    assert_ends_like(process, log, here, tmp_path / "there.npz")


@pytest.mark.heavy
def test_a_comparison_from_outside_of_the_cluster_chooses_the_same(
    hosts: Hosts, few_shapes: Path, tmp_path: Path
) -> None:
    words = ["compare", few_shapes, "--models", f"{MODEL},efficientnet_lite1", "--resolution", "64"]
    run_here(*words, "--out", tmp_path / "here")
    process, log = hosts.begin_outside(*words, "--out", tmp_path / "there", folder=tmp_path)
    process.communicate(timeout=900)
    assert process.returncode == 0, log.read_text()
    one, other = (load_comparison(tmp_path / each) for each in ("here", "there"))
    assert (one.chosen, [row.name for row in one.rows]) == (other.chosen, [row.name for row in other.rows])
    for a, b in zip(one.rows, other.rows, strict=True):
        assert a.validation is not None
        assert b.validation is not None
        assert b.validation.accuracy.value == pytest.approx(a.validation.accuracy.value, abs=0.02)
