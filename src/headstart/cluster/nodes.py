"""What a cluster is made of, as far as headstart must know."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import ray

from headstart.core.errors import ClusterError

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine of the cluster.

    Attributes:
        id: Ray's name of it.
        address: its address in the cluster's network.
        num_cores: that Ray may use.
        num_gpus: that Ray may use.
    """

    id: str
    address: str
    num_cores: int
    num_gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What each worker gets; the same for all, so that a piece may run on any of them.

    Attributes:
        num_workers: how many fit on the cluster at a time.
        num_cores: for each.
        num_gpus: for each, 0 or 1.
    """

    num_workers: int
    num_cores: int
    num_gpus: int


def list_nodes() -> list[Node]:
    """Return the nodes that are alive and have cores to give, in the order of their addresses."""
    nodes = [
        Node(
            id=each["NodeID"],
            address=each["NodeManagerAddress"],
            num_cores=int(each["Resources"].get("CPU", 0)),
            num_gpus=int(each["Resources"].get("GPU", 0)),
        )
        for each in ray.nodes()
        if each["Alive"]
    ]
    return sorted((each for each in nodes if each.num_cores), key=lambda node: (node.address, node.id))


def share_out(nodes: Sequence[Node]) -> Share:
    """Return one worker a GPU, or where there is none, one a node.

    A network runs best on all cores of a machine together. Nodes without a GPU are left out where others have
    some: they would answer in another precision, and a hundred times later.

    Raises:
        ClusterError: no node has a core to give.
    """
    with_gpus = [each for each in nodes if each.num_gpus]
    if with_gpus:
        return Share(
            num_workers=sum(each.num_gpus for each in with_gpus),
            num_cores=max(1, min(each.num_cores // each.num_gpus for each in with_gpus)),
            num_gpus=1,
        )
    if not nodes:
        raise ClusterError(
            "the cluster has no node with a processor core to give", hint="headstart cluster status"
        )
    num_cores = min(each.num_cores for each in nodes)
    return Share(
        num_workers=sum(each.num_cores // num_cores for each in nodes), num_cores=num_cores, num_gpus=0
    )


def ask_each(
    nodes: Sequence[Node], question: Callable[..., Result], *arguments: Any
) -> list[tuple[Node, Result]]:
    """Return the nodes with their answers to ``question(*arguments)``, less those that are lost meanwhile.

    Raises:
        Exception: what the question raised.
    """
    task = ray.remote(question)
    waiting = [task.options(num_cpus=0, label_selector=only_on(node.id)).remote(*arguments) for node in nodes]
    answers = []
    for node, answer in zip(nodes, waiting, strict=True):
        with suppress(ray.exceptions.TaskUnschedulableError, ray.exceptions.WorkerCrashedError):
            answers.append((node, ray.get(answer)))
    return answers


def only_on(node_id: str) -> dict[str, str]:
    """Return what binds a task to one node."""
    return {"ray.io/node-id": node_id}
