"""``headstart push``: a saved model to the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.console import show_progress
from headstart.core.plain_progress import plain


def push_model(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A saved model folder.")],
    repository: Annotated[
        str, typer.Argument(metavar="REPO", help="Its name on the hub: YOUR-NAME/MODEL, or MODEL alone.")
    ],
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody see it; without this it is private.")
    ] = False,
) -> None:
    """Upload a trained model with its card to the Hugging Face hub, private unless told.

    Only the tensors, the record and the card are sent, never a picture. The token is that of 'hf auth login'
    or of HF_TOKEN; HF_ENDPOINT names another hub.

    \b
    Example:
      headstart push headstart-runs/flowers/model ann/flowers
    """
    from headstart.models import push

    with show_progress() as progress:
        address = push(model, repository, public=public, progress=progress)
    typer.echo(plain(address))
