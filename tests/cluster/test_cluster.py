"""A real Ray cluster of several nodes on this machine: the answers of one process, also when parts die."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from cluster_runs import (
    MODEL,
    PER_CLASS,
    Cluster,
    assert_ends_like,
    assert_same,
    embed_words,
    read_comparisons,
    run_here,
    wait_for,
)
from proxy import Proxy

pytest.importorskip("ray")


# No node can read a picture, as this has it.
_DRIVER = """
import sys

import numpy as np

import headstart as hs
from headstart.cluster import RayRunner, connect
from headstart.embed import choose_resolution, sample_sides

model, folder, out = sys.argv[1:]
RayRunner._can_read = lambda self, piece: False
pictures = hs.open_dataset(folder)
classifier = hs.load(model)
sides = sample_sides(pictures)
classifier = classifier.with_preprocessing(choose_resolution(classifier.preprocessing, sides, resolution=224))
with connect("auto") as runner:
    found = hs.embed(classifier, pictures, runner=runner)
np.savez(out, features=found.features, labels=found.labels, ids=np.array(found.ids))
"""


# For want of nodes it gives up after a moment.
_IMPATIENT = """
from headstart.cli.start import main
from headstart.cluster import ray_runner

ray_runner._PATIENCE_SECONDS, ray_runner._LOOK_SECONDS = 6.0, 1.0
main()
"""

# Prints the ids of the nodes that have cores.
_NODES = """
import ray

ray.init(address="auto", log_to_driver=False, configure_logging=False)
print(*(each["NodeID"] for each in ray.nodes() if each["Alive"] and each["Resources"].get("CPU")))
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    yield started
    started.stop()


def on_cluster(pictures: Path, out: Path) -> list[str | Path]:
    return [*embed_words(pictures, out), "--cluster", "auto"]


def begin_embedding(cluster: Cluster, pictures: Path, folder: Path) -> tuple["subprocess.Popen[str]", Path]:
    """Start to embed, and return the command and its log when pictures go through the network."""
    log = folder / "log"
    words = on_cluster(pictures, folder / "there.npz")
    process = cluster.begin(*words, home=folder / "home", log=log)
    wait_for(log, "embedding with")
    return process, log


def workers_of(cluster: Cluster) -> list[psutil.Process]:
    """The processes that run pieces now."""
    found = []
    for node in cluster.nodes:
        for process in psutil.Process(node).children(recursive=True):
            try:
                if process.name().startswith("ray::MapBatches") or "ray::MapBatches" in " ".join(
                    process.cmdline()
                ):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
    return found


@pytest.mark.slow
def test_features_are_those_of_one_process(
    cluster: Cluster, pictures: Path, here: Path, tmp_path: Path
) -> None:
    out = cluster.run(*on_cluster(pictures, tmp_path / "there.npz"), home=tmp_path / "home")
    record = json.loads(out)
    assert record["num_computed"] == record["num_pictures"] == 3 * PER_CLASS - 1
    assert [each["id"] for each in record["excluded"]] == ["disc/0003.png"]
    assert_same(here, tmp_path / "there.npz")


@pytest.mark.heavy
def test_a_comparison_chooses_the_same(cluster: Cluster, few_shapes: Path, tmp_path: Path) -> None:
    words = ["compare", few_shapes, "--models", "starter/*", "--resolution", "64", "--json"]
    cluster.run(*words, "--cluster", "auto", "--out", tmp_path / "there", home=tmp_path / "home")
    run_here(*words, "--out", tmp_path / "here")
    there, alone = read_comparisons(tmp_path / "there", tmp_path / "here")
    assert there["fingerprint"] == alone["fingerprint"]
    assert there["chosen"] == alone["chosen"]
    assert [row["name"] for row in there["rows"]] == [row["name"] for row in alone["rows"]]
    assert not any(row["error"] for row in there["rows"])


@pytest.mark.slow
def test_a_race_is_that_of_one_process(
    cluster: Cluster, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers gather the evidence of its stages, from features in the shared store."""
    words = ["compare", pictures, "--models", "starter/*", "--resolution", "32,64", "--precision", "fp32"]
    words += ["--sample", "train=900,test=90", "--budget", "3000images", "--json"]
    run_here(*words, "--out", tmp_path / "here")
    monkeypatch.setenv("HEADSTART_STORE", str(tmp_path / "store"))
    cluster.run(*words, "--cluster", "auto", "--out", tmp_path / "there", home=tmp_path / "home")
    said = (tmp_path / "home.log").read_text()
    assert "gathering evidence on 6 networks" in said
    assert re.search(r"training heads on \d networks", said)  # of the finalists
    alone, there = read_comparisons(tmp_path / "here", tmp_path / "there")
    assert there["chosen"] == alone["chosen"]
    assert there["race"]["rungs"] == alone["race"]["rungs"]
    standings = [
        {row["name"]: row["screening"] for row in each["rows"] if row["screening"]} for each in (alone, there)
    ]
    assert standings[0].keys() == standings[1].keys()
    assert len(standings[0]) >= 3
    for name, screening in standings[0].items():
        assert standings[1][name]["exit"] == screening["exit"]
        assert standings[1][name]["neighbours"] == pytest.approx(screening["neighbours"], abs=0.01)


@pytest.mark.heavy
def test_predictions_come_in_order(cluster: Cluster, pictures: Path, tmp_path: Path) -> None:
    words = ["predict", MODEL, pictures, "--csv", "--keep-going", "--threshold", "none"]
    there = cluster.run(*words, "--cluster", "auto", home=tmp_path / "home")
    run_here(*words, "--out", tmp_path / "here.csv")
    rows = [line.split(",") for line in there.splitlines()]
    alone = [line.split(",") for line in (tmp_path / "here.csv").read_text().splitlines()]
    assert [row[0] for row in rows] == [row[0] for row in alone]
    agreeing = sum(row[1] == other[1] for row, other in zip(rows, alone, strict=True))
    assert agreeing >= 0.99 * len(alone)


@pytest.mark.heavy
def test_a_training_is_that_of_one_process(
    cluster: Cluster, few_shapes: Path, tiny_models: tuple[str, str], tmp_path: Path
) -> None:
    words = ["tune", few_shapes, "--models", tiny_models[0], "--resolution", "64", "--epochs", "2", "--json"]
    words += ["--batch-size", "16", "--precision", "fp32"]
    cluster.run(*words, "--cluster", "auto", "--out", tmp_path / "there", home=tmp_path / "home")
    run_here(*words, "--out", tmp_path / "here")
    there, alone = read_comparisons(tmp_path / "there", tmp_path / "here")
    assert there["chosen"] == alone["chosen"]
    assert there["fingerprint"] == alone["fingerprint"]
    assert not any(row["error"] for row in there["rows"])
    losses = [[row["validation"]["log_loss"]["value"] for row in each["rows"]] for each in (there, alone)]
    assert np.allclose(*losses, rtol=0.01)


@pytest.mark.slow
def test_a_killed_worker_costs_its_piece(
    cluster: Cluster, pictures: Path, here: Path, tmp_path: Path
) -> None:
    process, log = begin_embedding(cluster, pictures, tmp_path)
    deadline = time.monotonic() + 120
    while not workers_of(cluster):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers_of(cluster)[0].kill()
    assert_ends_like(process, log, here, tmp_path / "there.npz")


@pytest.mark.heavy
def test_a_killed_driver_goes_on_where_it_was(
    cluster: Cluster, pictures: Path, here: Path, tmp_path: Path
) -> None:
    log, home = tmp_path / "log", tmp_path / "home"
    words = on_cluster(pictures, tmp_path / "there.npz")
    process = cluster.begin(*words, home=home, log=log)
    deadline = time.monotonic() + 300
    while not list(home.glob("embeddings/*/rows-*")):
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    record = json.loads(cluster.run(*words, home=home))
    assert 0 < record["num_computed"] < record["num_pictures"]
    assert_same(here, tmp_path / "there.npz")


@pytest.mark.heavy
def test_pictures_that_nodes_cannot_read_travel(
    cluster: Cluster, pictures: Path, here: Path, tmp_path: Path
) -> None:
    program = tmp_path / "driver.py"
    program.write_text(_DRIVER)
    environment = {**os.environ, **cluster.environment, "HEADSTART_HOME": str(tmp_path / "home")}
    out = tmp_path / "there.npz"
    subprocess.run(
        [sys.executable, program, MODEL, str(pictures), str(out)], check=True, env=environment, timeout=900
    )
    assert_same(here, out)


@pytest.mark.heavy
def test_only_who_knows_the_token_is_heard(cluster: Cluster, tmp_path: Path) -> None:
    token = Path(cluster.environment["RAY_AUTH_TOKEN_PATH"])
    assert token.stat().st_mode & 0o077 == 0
    wrong = tmp_path / "token"
    wrong.write_text("0" * 64)
    found = subprocess.run(
        [sys.executable, "-m", "headstart", "cluster", "status"],
        env={**os.environ, **cluster.environment, "RAY_AUTH_TOKEN_PATH": str(wrong)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 1
    assert "error: no Ray cluster answers" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster whose nodes may die."""
    started = Cluster(tmp_path / "cluster")
    yield started
    started.stop()


@pytest.mark.heavy
def test_a_lost_node_costs_its_pieces(
    own_cluster: Cluster, pictures: Path, here: Path, tmp_path: Path
) -> None:
    process, log = begin_embedding(own_cluster, pictures, tmp_path)
    os.killpg(own_cluster.nodes[-1], signal.SIGKILL)
    assert_ends_like(process, log, here, tmp_path / "there.npz")


@pytest.mark.heavy
def test_a_node_that_is_to_leave_ends_its_pieces(
    own_cluster: Cluster, pictures: Path, here: Path, tmp_path: Path
) -> None:
    """As a spot node does, which is told two minutes before."""
    process, log = begin_embedding(own_cluster, pictures, tmp_path)
    leaving = own_cluster.ask_ray(sys.executable, "-c", _NODES).split()[-1]
    notice = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
    notice += ["--deadline-remaining-seconds", "120"]
    ray = str(Path(sys.executable).with_name("ray"))
    own_cluster.ask_ray(ray, "drain-node", "--address", own_cluster.address, "--node-id", leaving, *notice)
    assert_ends_like(process, log, here, tmp_path / "there.npz")


@pytest.mark.heavy
def test_when_all_workers_are_lost_the_next_one_goes_on(
    own_cluster: Cluster, pictures: Path, here: Path, tmp_path: Path
) -> None:
    process, log = begin_embedding(own_cluster, pictures, tmp_path)
    own_cluster.kill_workers()
    time.sleep(15)
    assert process.poll() is None, log.read_text()
    own_cluster.add_worker(tmp_path / "worker.log")
    assert_ends_like(process, log, here, tmp_path / "there.npz")


@pytest.mark.heavy
def test_when_no_worker_comes_back_that_is_told_and_what_was_done_is_kept(
    own_cluster: Cluster, cluster: Cluster, pictures: Path, here: Path, tmp_path: Path
) -> None:
    log, home = tmp_path / "log", tmp_path / "home"
    words = on_cluster(pictures, tmp_path / "there.npz")
    process = own_cluster.begin(*words, home=home, log=log, program=("-c", _IMPATIENT))
    deadline = time.monotonic() + 300
    while not list(home.glob("embeddings/*/rows-*")):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    own_cluster.kill_workers()
    process.communicate(timeout=300)
    assert process.returncode == 1
    assert "error: no node was left to work" in log.read_text()
    assert "Traceback" not in log.read_text()
    record = json.loads(cluster.run(*words, home=home))
    assert 0 < record["num_computed"] < record["num_pictures"]
    assert_same(here, tmp_path / "there.npz")


@pytest.mark.heavy
def test_a_store_that_does_not_answer_for_a_while_costs_only_that(
    pictures: Path, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures are read from a bucket, and features written to one."""
    moto, boto3 = pytest.importorskip("moto.server"), pytest.importorskip("boto3")
    pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    proxy = Proxy("{}:{}".format(*server.get_host_and_port()))
    threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="lab")
    archive = shutil.make_archive(str(tmp_path / "shapes"), "zip", pictures)
    client.upload_file(archive, "lab", "shapes.zip")
    started = Cluster(tmp_path / "cluster")  # its nodes have the credentials of this environment
    monkeypatch.setenv("HEADSTART_STORE", "s3://lab/features")
    try:
        log = tmp_path / "log"
        words = ["embed", "s3://lab/shapes.zip", *on_cluster(pictures, tmp_path / "there.npz")[2:]]
        process = started.begin(*words, home=tmp_path / "home", log=log)
        wait_for(log, "embedding with")
        proxy.fault = lambda method, path: 503
        time.sleep(20)
        assert process.poll() is None, log.read_text()
        refused = sum(status == 503 for *_, status in proxy.seen)
        proxy.fault = lambda method, path: None
        assert_ends_like(process, log, here, tmp_path / "there.npz")
        assert refused > 5
        assert any(method == "PUT" and "/lab/features/" in path for method, path, *_ in proxy.seen)
        assert "a-secret" not in log.read_text()
    finally:
        started.stop()
        client.close()
        proxy.shutdown()
        proxy.server_close()
        server.stop()
