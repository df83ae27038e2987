"""What is tested on an imitation of S3, once more on a server that others run: Ceph's gateway, radosgw."""

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from s3_server import CREDENTIALS, VARIABLE

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
TESTS = Path(__file__).parents[1]

_SETTINGS = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon}]
public addr = 127.0.0.1
mon allow pool size one = true
mon max pg per osd = 1000
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
osd crush update on start = false
osd objectstore = memstore
memstore device bytes = 2147483648
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
mon data = {folder}/mon
osd data = {folder}/osd
keyring = {folder}/keyring
[client.admin]
rgw frontends = beast endpoint=127.0.0.1:{gateway}
rgw data = {folder}/rgw
"""


class Ceph:
    """One monitor, one store of objects in memory, and the gateway that speaks S3."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        mon, gateway = free_port(), free_port()
        fsid = uuid.uuid4()
        for each in ("mon", "osd", "rgw"):
            (folder / each).mkdir()
        settings = _SETTINGS.format(fsid=fsid, mon=mon, gateway=gateway, folder=folder)
        (folder / "ceph.conf").write_text(settings)
        self.address = f"127.0.0.1:{gateway}"
        place = f"[v2:127.0.0.1:{mon}]"
        self.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", place, folder / "monmap")
        self.run("ceph-authtool", "--create-keyring", folder / "keyring")
        for name in ("mon.", "client.admin", "osd.0"):
            rights = [word for what in ("mon", "osd") for word in ("--cap", what, "allow *")]
            self.run("ceph-authtool", folder / "keyring", "--gen-key", "-n", name, *rights)
        keys = ["--keyring", folder / "keyring"]
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", folder / "monmap", *keys)
        self.begin("ceph-mon", "-f", "-i", "a")
        self.run("ceph", "osd", "new", fsid)
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", fsid)
        self.run("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default")
        self.begin("ceph-osd", "-f", "-i", "0")
        self.begin("radosgw", "-f", "-n", "client.admin")
        wait_until(lambda: is_listening(gateway))
        self.run("radosgw-admin", "user", "create", "--uid=lab", "--display-name=lab")
        for key, secret in CREDENTIALS.items():
            words = ["--uid=lab", "--key-type=s3", f"--access-key={key}", f"--secret-key={secret}"]
            self.run("radosgw-admin", "key", "create", *words)

    def run(self, *words: object) -> None:
        ended = subprocess.run(
            list(map(str, words)), env=self._environment(), capture_output=True, text=True, timeout=120
        )
        assert ended.returncode == 0, ended.stderr

    def begin(self, *words: str) -> None:
        with (self._folder / f"{words[0]}.out").open("w") as output:
            process = subprocess.Popen(words, env=self._environment(), stdout=output, stderr=output)
        self._stack.callback(process.wait, 60)
        self._stack.callback(process.kill)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "CEPH_CONF": str(self._folder / "ceph.conf")}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.5)


@pytest.fixture
def gateway() -> Iterator[str]:
    missing = [each for each in PROGRAMS if shutil.which(each) is None]
    if missing:
        pytest.skip(f"needs Debian's packages ceph-mon, ceph-osd and radosgw: no {missing[0]}")
    # Not pytest's folder: the path of a socket must be short.
    with TemporaryDirectory(prefix="ceph", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        yield Ceph(Path(folder), stack).address


@pytest.mark.heavy
def test_the_tests_of_s3_pass_there_too(gateway: str) -> None:
    files = [TESTS / "data" / "test_remote.py", TESTS / "embed" / "test_store.py"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "not web", *files],
        env={**os.environ, VARIABLE: gateway},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stdout
    assert " passed" in ended.stdout
