"""`shimzoo inspect` and `convert`."""

from __future__ import annotations

import os
import pathlib
from typing import Annotated

import typer

from .. import models
from .app import Debug, app, working
from .model_options import Ema, ModelOption, parse_ema, parse_options, parse_pairs

Checkpoint = Annotated[
    pathlib.Path,
    typer.Argument(
        metavar="PATH",
        help="TF1 or TF2 checkpoint (prefix, one of its files, or the directory), .tgz archive, "
        "SavedModel directory, frozen graph (.pb), .weights.h5, .keras or .safetensors file.",
    ),
]


@app.command()
def inspect(
    path: Checkpoint,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Show what a checkpoint is: format, the models it fits, its variables, averages and step."""
    from ..training import startup

    startup.import_tensorflow()
    from .. import checkpoints

    with working("comparing it with the models"):
        found = checkpoints.inspect(path)
    typer.echo(found.to_json() if as_json else str(found))


@app.command()
def convert(
    source: Checkpoint,
    target: Annotated[
        pathlib.Path,
        typer.Argument(
            metavar="TARGET",
            help="What to write: a name that ends in .weights.h5, .keras or .safetensors, or else "
            "the prefix of a checkpoint's files.",
        ),
    ],
    model: Annotated[
        str, typer.Option(metavar="NAME", help="The model, as `shimzoo list` prints it.")
    ],
    to_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="tf1, tf2, h5, keras or safetensors. [default: that of TARGET's ending, or tf1]",
        ),
    ] = None,
    from_stage: Annotated[
        str,
        typer.Option(metavar="NAME", help="Which version of the model --verify runs SOURCE in."),
    ] = "shimmed",
    to_stage: Annotated[
        str, typer.Option(metavar="NAME", help="Which version of the model to write.")
    ] = "native",
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW",
            help="What in SOURCE is called how in the model: scopes end in '/', anything else is "
            "a regular expression. Can be repeated.",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGEX",
            help="Variables or scopes that are not taken from SOURCE, but made anew. Can be "
            "repeated.",
        ),
    ] = None,
    exclude_head: Annotated[
        bool, typer.Option("--exclude-head", help="Likewise for the model's head.")
    ] = False,
    ema: Ema = "auto",
    include_optimizer: Annotated[
        bool,
        typer.Option(
            "--include-optimizer",
            help="Take along optimizer slots, the step, and averages that are not the variables.",
        ),
    ] = False,
    option: ModelOption = None,
    report: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="FILE", help="Write what came from where as JSON."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Run SOURCE and TARGET on an image and compare.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is at TARGET's place.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Convert a checkpoint of a model: any format into any other, for any version of the model."""
    averages = parse_ema(ema)
    variant = models.get_variant(model)
    for stage in (from_stage, to_stage):
        models.check_stage(stage)
    settings = parse_options(option)
    renamed = parse_pairs("--rename", rename)
    if report is not None and report.is_dir():
        raise typer.BadParameter(f"--report {report} is a directory: name a file in it")
    # Errors only: it warns of what it can't write, which is said better below.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from ..training import startup

    startup.import_tensorflow()
    from .. import checkpoints

    with working(f"converting to {target}"):
        done = checkpoints.convert(
            source,
            target,
            model=variant.name,
            format=to_format,
            from_stage=from_stage,
            to_stage=to_stage,
            rename=renamed or None,
            exclude=exclude or [],
            exclude_head=exclude_head,
            ema=averages,
            include_optimizer=include_optimizer,
            verify=verify,
            overwrite=overwrite,
            **settings,
        )
    if report is not None:
        done.source.save(report)
    typer.echo(str(done))
