"""A real Ray cluster whose nodes have an NVIDIA GPU: the answers of one process with that GPU."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from cluster_runs import PER_CLASS, Cluster, assert_same, embed_words, read_comparisons, run_here, wait_for

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = Cluster(tmp_path_factory.mktemp("cluster"), workers=1, cores=4)
    yield started
    started.stop()


def test_every_gpu_belongs_to_one_worker(cluster: Cluster, tmp_path: Path) -> None:
    shown = cluster.run("cluster", "status", home=tmp_path / "home")
    assert f"{torch.cuda.device_count()} workers with" in shown
    assert "1 GPU each" in shown


def test_a_training_is_that_of_one_process(
    cluster: Cluster, few_shapes: Path, tiny_models: tuple[str, str], tmp_path: Path
) -> None:
    words = ["tune", few_shapes, "--models", tiny_models[0], "--resolution", "64", "--epochs", "2", "--json"]
    words += ["--batch-size", "16", "--precision", "fp32"]
    cluster.run(*words, "--cluster", "auto", "--out", tmp_path / "there", home=tmp_path / "home")
    run_here(*words, "--out", tmp_path / "here")
    there, alone = read_comparisons(tmp_path / "there", tmp_path / "here")
    assert there["chosen"] == alone["chosen"]
    assert not any(row["error"] for row in there["rows"])
    losses = [[row["validation"]["log_loss"]["value"] for row in each["rows"]] for each in (there, alone)]
    assert np.allclose(*losses, rtol=0.02)


def test_two_workers_with_a_gpu_each_answer_like_one_process(
    cluster: Cluster, pictures: Path, here: Path, tmp_path: Path
) -> None:
    cluster.add_worker(tmp_path / "node.log", cores=4)  # with the same GPU, but Ray does not know
    wait_for(tmp_path / "node.log", "Ray runtime started")
    record = json.loads(
        cluster.run(*embed_words(pictures, tmp_path / "there.npz"), "--cluster", "auto", home=tmp_path / "a")
    )
    assert record["num_computed"] == 3 * PER_CLASS - 1
    assert "on cuda" in json.dumps(record)
    assert_same(here, tmp_path / "there.npz")
    said = (tmp_path / "a.log").read_text()
    assert "2 workers on 2 nodes" in said
    assert said.count(" pictures, ") >= 2, said  # each node did something


def test_a_comparison_chooses_the_same(
    cluster: Cluster, few_shapes: Path, tiny_models: tuple[str, str], tmp_path: Path
) -> None:
    words = ["compare", few_shapes, "--models", ",".join(tiny_models), "--resolution", "64", "--json"]
    cluster.run(*words, "--cluster", "auto", "--out", tmp_path / "there", home=tmp_path / "b")
    run_here(*words, "--out", tmp_path / "here")
    there, alone = read_comparisons(tmp_path / "there", tmp_path / "here")
    assert there["chosen"] == alone["chosen"]
    assert not any(row["error"] for row in there["rows"])
