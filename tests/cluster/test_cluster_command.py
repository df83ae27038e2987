"""What is told before any cluster is there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray")
from headstart.cluster import trial
from headstart.cluster.carrying import carry, first_digest
from headstart.cluster.nodes import Node, share_out
from headstart.cluster.ray_runner import node_price
from headstart.core.errors import ClusterError, InputError, PictureError
from headstart.data import open_dataset
from headstart.data.scan import scan


def node(name: str, *, num_cores: int, num_gpus: int = 0) -> Node:
    return Node(id=name, address="192.0.2.1", num_cores=num_cores, num_gpus=num_gpus)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([node("a", num_cores=8)], (1, 8, 0)),
        ([node("a", num_cores=8), node("b", num_cores=2)], (5, 2, 0)),
        ([node("a", num_cores=8, num_gpus=2), node("b", num_cores=64)], (2, 4, 1)),
    ],
    ids=["one", "unlike", "gpus"],
)
def test_workers_get_equal_shares(nodes: list[Node], expected: tuple[int, int, int]) -> None:
    share = share_out(nodes)
    assert (share.num_workers, share.num_cores, share.num_gpus) == expected


@pytest.mark.parametrize("text", ["much", "nan", "inf", "-1", "1,50"])
def test_a_price_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_PRICE", text)
    with pytest.raises(InputError, match=f"HEADSTART_PRICE='{text}'"):
        node_price()


@pytest.mark.parametrize(("text", "expected"), [("", 0.0), ("0", 0.0), ("2.5", 2.5)])
def test_a_price_is_a_number(text: str, expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_PRICE", text)
    assert node_price() == expected


@pytest.mark.parametrize(
    ("named", "count", "expected"),
    [
        ("", 0, []),
        ("", 3, ["0", "1", "2"]),
        ("5,2,7", 3, ["5", "2", "7"]),
        ("0,1", 0, []),
        ("GPU-1", 1, ["GPU-1"]),
    ],
)
def test_gpus_are_called_as_the_user_lets_them_be_seen(
    named: str, count: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    assert trial._visible_gpus() == expected


def test_a_cluster_without_cores_is_refused() -> None:
    with pytest.raises(ClusterError, match="no node with a processor core"):
        share_out([])


def test_carried_pictures_are_the_same(few_shapes: Path) -> None:
    folder = few_shapes
    dataset = open_dataset(folder)
    carried = carry(dataset)
    assert scan(carried).dataset.digests == scan(dataset).dataset.digests
    assert first_digest(carried) == first_digest(dataset)


def test_what_cannot_be_read_travels_as_its_reason(few_shapes: Path) -> None:
    dataset = open_dataset(few_shapes).select([0])
    gone = open_dataset(few_shapes).select([0])
    object.__setattr__(gone, "ids", ("disc/not-there.png",))
    assert first_digest(gone) == ""
    with pytest.raises(PictureError, match="No such file"):
        carry(gone).source.read("disc/not-there.png")
    assert first_digest(dataset)


def test_no_cluster_is_told_at_once(few_shapes: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "headstart", "embed", str(few_shapes), "--cluster", "127.0.0.1:1"],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 1
    assert "error: no Ray cluster answers at '127.0.0.1:1'" in found.stderr
    assert "headstart cluster up" in found.stderr


def test_nothing_to_end() -> None:
    assert trial.stop() is None


@pytest.mark.parametrize("num_workers", [0, -1])
def test_a_cluster_needs_workers(num_workers: int) -> None:
    with pytest.raises(InputError):
        trial.start(num_workers)
