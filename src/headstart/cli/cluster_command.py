"""``headstart cluster``: a Ray cluster on this machine to try things out, and what a cluster is made of."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from headstart.cli.console import ConsoleProgress, show_progress
from headstart.core.plain_progress import PlainProgress
from headstart.core.runner import Runner, SerialRunner

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Address = Annotated[
    str,
    typer.Argument(metavar="CLUSTER", help="'auto', host:port, or ray://host:port."),
]


@app.command("up")
def start_cluster(
    workers: Annotated[int, typer.Option("--workers", min=1, help="How many nodes beside the head.")] = 2,
    cores: Annotated[
        int | None,
        typer.Option("--cores", min=1, help="Of each worker; default: this machine's cores shared out."),
    ] = None,
) -> None:
    """Start a cluster on this machine, which only this user may use."""
    from headstart.cluster import trial

    named = "1 worker" if workers == 1 else f"{workers} workers"
    with show_progress() as progress:
        progress.start(f"starting a head and {named}")
        started = trial.start(workers, cores_per_worker=cores)
    typer.echo(f"a cluster with {named} runs at {started.address}")
    typer.echo("next: headstart compare DATA --cluster auto")


@app.command("down")
def stop_cluster() -> None:
    """End the cluster that `up` started; others are left alone."""
    from headstart.cluster import trial

    stopped = trial.stop()
    typer.echo(f"the cluster at {stopped.address} has ended" if stopped else "no cluster was started here")


@app.command("status")
def show_cluster(address: Address = "auto") -> None:
    """Show the nodes of a cluster, and what a worker would get."""
    from headstart.cluster import connect

    with connect(address) as runner:
        for node in runner.nodes:
            typer.echo(f"{node.id[:6]} {node.address:<16} {node.num_cores:>4} cores {node.num_gpus:>3} GPUs")
        share = runner.share
        gpu = ", 1 GPU" if share.num_gpus else ""
        typer.echo(f"{share.num_workers} workers with {share.num_cores} cores{gpu} each")


@contextmanager
def open_runner(cluster: str, progress: ConsoleProgress | PlainProgress) -> Iterator[Runner]:
    """Give whoever runs the pieces: this process where `cluster` is "", else that cluster.

    What each node does is shown meanwhile, and told at the end.
    """
    if not cluster:
        yield SerialRunner()
        return
    from headstart.cluster import connect

    progress.start("connecting to the cluster")
    with connect(cluster) as runner:
        share = runner.share
        progress.note(
            f"{share.num_workers} workers on {len(runner.nodes)} nodes, {share.num_cores} cores each"
        )
        progress.watch(runner.describe)
        yield runner
        progress.watch(list)
        for line in runner.describe():
            progress.note(line)
