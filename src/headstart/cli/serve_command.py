"""``headstart serve``: a model as a page to try it, and as a web service."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from headstart.cli import options as opt
from headstart.cli.console import show_progress
from headstart.core.errors import MissingExtraError
from headstart.embed.memory import use_one_heap

TOKEN_VARIABLE = "HEADSTART_TOKEN"


def serve(
    model: opt.SavedModel,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any that is free.")] = 8000,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; '0.0.0.0' for other machines, with a token.")
    ] = "127.0.0.1",
    token: Annotated[
        str,
        typer.Option(
            "--token",
            envvar=TOKEN_VARIABLE,
            help="What requests must bear; 'new' draws one. The variable hides it from others here.",
        ),
    ] = "",
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A name that it answers to, besides localhost."),
    ] = None,
    max_body: Annotated[int, typer.Option("--max-body", min=1, metavar="MIB", help="Of one request.")] = 32,
    max_pixels: Annotated[
        int, typer.Option("--max-pixels", min=1, metavar="MILLIONS", help="Of one picture, undecoded.")
    ] = 50,
    max_pictures: Annotated[int, typer.Option("--max-pictures", min=1, help="In one request.")] = 32,
    max_requests: Annotated[
        int,
        typer.Option(
            "--max-requests",
            min=1,
            help="Answered at once; half of them of one address. Twice as many connections.",
        ),
    ] = 128,
    max_wait: Annotated[
        float,
        typer.Option(
            "--max-wait", min=0.0, metavar="MS", help="For others, to go through the network together."
        ),
    ] = 5.0,
    timeout: Annotated[
        float,
        typer.Option("--timeout", min=0.1, metavar="SECONDS", help="Within which a request must have come."),
    ] = 30.0,
    device: opt.Device = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        typer.Option("--precision", help="A faster one is checked against fp32 on drawn pictures first."),
    ] = "auto",
    plan: opt.PlanName = "fast",
) -> None:
    """Serve a model: a page to try it on pictures, and a web service for programs.

    It answers this machine alone, unless told otherwise. Ctrl-C stops it, when what has begun is answered.

    \b
    Examples:
      headstart serve headstart-runs/flowers/model
      headstart serve efficientnet_lite0 --port 9000
      headstart serve runs/flowers/model --host 0.0.0.0 --token new --allow-host flowers.example.org
    """
    use_one_heap()  # the network runs in a thread of its own, and torch, imported next, starts others
    try:
        from headstart.serve import Limits, Server, create_app
        from headstart.serve.access import accepted_hosts, checked_token
    except ImportError as error:
        raise MissingExtraError(
            f"serving needs a package that is not installed: {error.name}",
            hint="pip install 'headstart[serve]'",
        ) from error
    from headstart.embed import PlanOptions
    from headstart.models import find_model_folder, load, read_card
    from headstart.models.neighbours import load_neighbours

    limits = Limits(
        max_body_bytes=max_body * 2**20,
        max_pixels=max_pixels * 1_000_000,
        max_pictures=max_pictures,
        max_requests=max_requests,
        max_requests_per_client=max(1, max_requests // 2),
        max_connections=2 * max_requests,
        max_wait_ms=max_wait,
        header_seconds=min(timeout, 10.0),
        body_seconds=timeout,
    )
    token = checked_token(token, host=host)
    server = Server(host, port)
    folder = find_model_folder(Path(model))
    with show_progress() as progress:
        classifier = load(model, progress=progress)
        progress.start("making the network ready")
        app = create_app(
            classifier,
            options=PlanOptions(device=device, precision=precision, plan=plan),
            limits=limits,
            token=token,
            hosts=accepted_hosts(host, allow_host or []),
            card=read_card(folder) if folder else "",
            neighbours=load_neighbours(folder) if folder else None,
        )
    typer.echo(f"{server.address}#token={token}" if token else server.address)
    server.run(app, limits=limits)
    typer.echo("stopped", err=True)
