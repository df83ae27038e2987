"""The names of all commands."""

import typer

from headstart import __version__
from headstart.cli import (
    bundle_command,
    cache_command,
    check_command,
    cluster_command,
    compare_command,
    doctor_command,
    embed_command,
    evaluate_command,
    export_command,
    fetch_command,
    models_command,
    predict_command,
    probe_command,
    push_command,
    report_command,
    serve_command,
    tune_command,
)

app = typer.Typer(
    name="headstart",
    help="Find, train and prove the best pretrained image classifier for your own pictures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("compare", short_help="Rank models on your pictures, choose one and train it.")(
    compare_command.compare_pictures
)
app.command("predict")(predict_command.predict_pictures)
app.command("probe")(probe_command.probe_pictures)
app.command("tune", short_help="Fine-tune one model, and keep it if it beats its probe.")(
    tune_command.tune_pictures
)
app.command("evaluate", short_help="Measure a trained model on labelled pictures.")(
    evaluate_command.evaluate_model
)
app.command("export", short_help="Write a model as ONNX, torch, OpenVINO or safetensors, proven.")(
    export_command.export_model
)
app.command("models")(models_command.models)
app.command("check", short_help="Look for unreadable files, duplicates and wrong labels.")(
    check_command.check
)
app.command("embed", short_help="Turn every picture into a vector with one model.")(
    embed_command.embed_pictures
)
app.command("report", short_help="Write the report of a comparison again.")(report_command.report)
app.command("push", short_help="Upload a trained model to the Hugging Face hub.")(push_command.push_model)
app.command("serve", short_help="A page to try a model, and a web service.")(serve_command.serve)
app.command("cache", short_help="Show what is kept between runs, or delete it.")(cache_command.cache)
app.command("fetch", short_help="Bring models' weights here, for use without a network.")(fetch_command.fetch)
app.command("bundle", short_help="Write models' weights into one file for another machine.")(
    bundle_command.bundle
)
app.command("load-bundle", short_help="Take the weights out of such a file.")(bundle_command.load_bundle)
app.add_typer(cluster_command.app, name="cluster", help="Start a Ray cluster here to try, end it, show one.")
app.command("doctor", short_help="Show what this machine can do.")(doctor_command.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"headstart {__version__}")
        raise typer.Exit


@app.callback(epilog="Start with: headstart compare digits")
def _options(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", is_eager=True, callback=_print_version
    ),
) -> None:
    """Options of the command itself."""
