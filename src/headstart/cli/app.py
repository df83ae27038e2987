"""The command's entry: it knows the names of all commands and what to do with an error."""

import os
import sys
import warnings

import typer

from headstart import __version__
from headstart.cli import (
    cache_command,
    check_command,
    compare_command,
    doctor_command,
    embed_command,
    evaluate_command,
    models_command,
    predict_command,
    probe_command,
    report_command,
)
from headstart.cli.console import print_error
from headstart.core.errors import HeadstartError

TRACEBACK_VARIABLE = "HEADSTART_TRACEBACK"

app = typer.Typer(
    name="headstart",
    help="Find, train and prove the best pretrained image classifier for your own pictures.",
    epilog="Start with: headstart compare digits",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("compare")(compare_command.compare_pictures)
app.command("predict")(predict_command.predict_pictures)
app.command("probe")(probe_command.probe_pictures)
app.command("evaluate")(evaluate_command.evaluate_model)
app.command("models")(models_command.models)
app.command("check")(check_command.check)
app.command("embed")(embed_command.embed_pictures)
app.command("report")(report_command.report)
app.command("cache")(cache_command.cache)
app.command("doctor")(doctor_command.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"headstart {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", is_eager=True, callback=_print_version
    ),
) -> None:
    """Options of the command itself."""


def main() -> None:
    """Run the command; end with exit code 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C."""
    warnings.filterwarnings(
        "ignore", module=r"PIL\."
    )  # odd metadata in somebody's picture is no news to them
    try:
        app()
    except HeadstartError as error:
        print_error(error.message, error.hint)
        sys.exit(1)
    except KeyboardInterrupt:
        _say_stopped()
    except SystemExit as end:
        if end.code == 130:
            _say_stopped()
        raise
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        print_error(
            f"something unforeseen happened: {type(error).__name__}: {error}",
            f"this is a fault of headstart; {TRACEBACK_VARIABLE}=1 shows where, for a report of it",
        )
        sys.exit(1)


def _say_stopped() -> None:
    print_error("stopped", "what was finished is kept; run the same command again to go on")
    sys.exit(130)
