"""Connecting to a Ray cluster that runs."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

from headstart import __version__
from headstart.cluster.trial import answers, trial_address, trial_environment
from headstart.core.errors import ClusterError, MissingExtraError

if TYPE_CHECKING:
    from headstart.cluster.ray_runner import RayRunner

_SAME_EVERYWHERE = ("torch", "torchvision", "timm", "pillow", "numpy")
"""Packages that decide what a picture's features are."""


@contextmanager
def connect(address: str = "auto") -> Iterator["RayRunner"]:
    """Give a runner on a cluster; the connection ends with the block, the cluster goes on.

    Args:
        address: "auto" is the cluster that the variable RAY_ADDRESS names, else that of `headstart cluster
            up`, else one that runs on this machine; "host:port" another; "ray://host:port" one that this
            machine is no part of.

    Raises:
        MissingExtraError: Ray is not installed.
        ClusterError: no cluster answers, or its nodes have other versions of what decides results.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody unasked
    if address == "auto" and "RAY_ADDRESS" not in os.environ and trial_address():
        address = trial_address()
        os.environ.update(trial_environment())  # Ray reads it when it is imported
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("--cluster needs Ray", hint="pip install 'headstart[cluster]'") from error
    address = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    if address != "auto" and not answers(address.removeprefix("ray://")):
        raise _unreachable(address, "nobody listens there")
    from headstart.cluster.nodes import ask_each, list_nodes
    from headstart.cluster.ray_runner import RayRunner, last_line

    _be_quiet(ray)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, AssertionError) as error:
        raise _unreachable(address, last_line(error)) from error
    try:
        nodes = list_nodes()
        runner = RayRunner(nodes, from_afar=address.startswith("ray://"))
        for node, there in ask_each(nodes, versions_here):
            _check_versions(node.address, there)
        yield runner
    finally:
        ray.shutdown()


def _unreachable(address: str, reason: str) -> ClusterError:
    return ClusterError(
        f"no Ray cluster answers at {address!r}: {reason}",
        hint="give host:port or ray://host:port, or start one here: headstart cluster up --workers 2",
    )


def versions_here() -> dict[str, str]:
    """Return the versions of headstart and of what decides results, by package."""
    return {"headstart": __version__} | {name: metadata.version(name) for name in _SAME_EVERYWHERE}


def _check_versions(address: str, there: dict[str, str]) -> None:
    """Raise ClusterError where a node has other versions than this machine."""
    here = versions_here()
    for name in here:
        if here[name] != there[name]:
            raise ClusterError(
                f"node {address} has {name} {there[name]}, this machine {here[name]}",
                hint="features would differ by the node that computes them: install the same everywhere",
            )


def _be_quiet(ray: Any) -> None:
    """Keep Ray's own messages and bars off the screen; they are in its logs."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what fails for good is told as an error of ours
    # What its daemons report, Ray prints to stdout, which is for data; there is no setting for that.
    ray._private.worker.print_to_stdstream = lambda data, ignore_prefix: None
