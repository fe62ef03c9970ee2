"""`shimzoo list`, `show`, `diff` and `verify`: the models, and how their versions compare."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from .. import models
from .app import Debug, app, whole_number, working
from .model_options import ModelOption, parse_options


@app.command("list")
def list_models(
    pattern: Annotated[
        str, typer.Argument(help="Shell-style wildcard, as in 'mobilenet_v1_0.25*'.")
    ] = "*",
    debug: Debug = False,
) -> None:
    """List the models' names."""
    names = models.list_models(pattern)
    if not names:
        near = models.nearest_models(pattern)
        hint = f"the nearest are {', '.join(near)}" if near else "`shimzoo list` shows all"
        raise ValueError(f"No model matches {pattern!r}: {hint}.")
    for name in names:
        typer.echo(name)


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name as `shimzoo list` prints it.")
    ],
    debug: Debug = False,
) -> None:
    """Show a model's record, its options, and its figures: as published, and as counted."""
    from ..tools import model_record

    model_record.show(name)


@app.command()
def diff(
    family: Annotated[
        str, typer.Argument(metavar="FAMILY", help=f"One of {', '.join(models.FAMILIES)}.")
    ],
    first: Annotated[
        str, typer.Argument(metavar="FIRST", help=f"One of {', '.join(models.STAGES)}.")
    ],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="Another of these.")],
    debug: Debug = False,
) -> None:
    """Show two versions of a family's models side by side: the migration."""
    from ..tools import source_diff

    source_diff.show(family, first, second)


@app.command()
def verify(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name as `shimzoo list` prints it.")
    ],
    stage: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STAGE",
            help="What to compare; the others with the first. Twice or more. [default: all]",
        ),
    ] = None,
    checkpoint: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="PATH", help="Where the weights are from. [default: noise, by their names]"
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=whole_number,
            help="Height and width of the images, in pixels. [default: the model's]",
        ),
    ] = None,
    option: ModelOption = None,
    debug: Debug = False,
) -> None:
    """Compare a model's versions: variables, outputs, losses, statistics and gradients.

    Exit code 1 if they differ by more than rounding.
    """
    models.get_variant(name)
    stages = stage or list(models.STAGES)
    for each in stages:
        models.check_stage(each)
    settings = parse_options(option)
    from ..training import startup

    startup.import_tensorflow()
    from ..tools import verify

    with working("comparing"):
        found = verify.compare_stages(
            name, stages, checkpoint=checkpoint, input_size=image_size, **settings
        )
    verify.show(found, stages[0])
    if not all(rung.is_equal for rungs in found.values() for rung in rungs):
        raise typer.Exit(1)
