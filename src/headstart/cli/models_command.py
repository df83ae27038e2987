"""``headstart models``: what there is, and one model's card."""

from typing import Annotated

import typer

from headstart.catalog import ModelFilter, find_model, search_models, sort_entries
from headstart.catalog.filters import COMMERCIAL
from headstart.cli import options as opt
from headstart.cli.models_output import Form, print_card, print_models


def models(
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="PATTERN", help="A pattern ('resnet*', 'timm/*'), or one model's name for its card."
        ),
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", help="starter, pretrainedmodels, torchvision or timm.")
    ] = None,
    family: Annotated[
        str | None, typer.Option("--family", help="Variants of one network: senet, convnext.")
    ] = None,
    license_name: Annotated[
        str | None,
        typer.Option("--license", help="'commercial' (known to permit it), 'unknown', or one: apache-2.0."),
    ] = None,
    pretrained_on: Annotated[
        str | None, typer.Option("--pretrained-on", help="Data the weights have seen: in22k, laion.")
    ] = None,
    max_params: Annotated[str | None, typer.Option("--max-params", help="At most so many: 30M.")] = None,
    max_macs: Annotated[
        str | None, typer.Option("--max-macs", help="At most so many multiply-adds a picture: 1G.")
    ] = None,
    max_features: Annotated[
        int | None, typer.Option("--max-features", help="Features at most so many numbers wide.")
    ] = None,
    max_resolution: Annotated[
        int | None, typer.Option("--max-resolution", help="Input at most so many pixels wide.")
    ] = None,
    classes: Annotated[
        int | None, typer.Option("--classes", help="Classes that the weights tell apart: 1000; 0 for none.")
    ] = None,
    min_top1: Annotated[
        str | None, typer.Option("--min-top1", help="ImageNet accuracy at least: 0.78 or 78%.")
    ] = None,
    min_real: Annotated[
        str | None, typer.Option("--min-real", help="The same on ImageNet-ReaL, with labels looked at again.")
    ] = None,
    min_v2: Annotated[
        str | None, typer.Option("--min-v2", help="The same on ImageNet-V2, with new pictures.")
    ] = None,
    available: Annotated[bool, typer.Option("--available", help="Only what loads here and now.")] = False,
    sort: Annotated[
        str, typer.Option("--sort", help="name, params, macs, size, top1, real or v2; the best first.")
    ] = "name",
    reverse: Annotated[bool, typer.Option("--reverse", help="Sort the other way round.")] = False,
    json: opt.Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV to stdout, all facts a column each.")] = False,
) -> None:
    """List the models that can be had, or show one model's card.

    \b
    Examples:
      headstart models 'efficientnet*'
      headstart models --available
      headstart models --license commercial --max-params 30M --sort top1
      headstart models efficientnet_lite0
    """
    form: Form = "json" if json else "csv" if csv else "text"
    if pattern and not any(char in pattern for char in "*?["):
        print_card(find_model(pattern), form)
        return
    where = ModelFilter(
        license=license_name,
        pretrained_on=pretrained_on,
        num_classes=classes,
        max_macs=opt.parse_count(max_macs) if max_macs is not None else None,
        max_feature_dim=max_features,
        max_resolution=max_resolution,
        min_top1=opt.parse_share(min_top1) if min_top1 is not None else None,
        min_real=opt.parse_share(min_real) if min_real is not None else None,
        min_v2=opt.parse_share(min_v2) if min_v2 is not None else None,
    )
    found = search_models(
        pattern,
        provider=provider,
        family=family,
        max_params=opt.parse_count(max_params) if max_params is not None else None,
        available=True if available else None,
        where=where,
    )
    print_models(sort_entries(found.entries, f"-{sort}" if reverse else sort), form)
    if license_name == COMMERCIAL and found.num_unknown_license:
        typer.echo(
            f"{found.num_unknown_license:,} hidden: whether their licence permits commercial use is unknown",
            err=True,
        )
