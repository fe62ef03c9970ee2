"""Options by which a trained model and a dataset are named, which several commands have."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from .. import models
from ..training import datasets, preprocessing
from .app import number, whole_number

Checkpoint = Annotated[
    pathlib.Path,
    typer.Option(
        metavar="PATH",
        help="A run of `shimzoo train` (its directory), or any checkpoint that `shimzoo inspect` "
        "knows, with --model.",
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="What the checkpoint is of. [default: what the run trained]"),
]
Stage = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"Which version of it: {', '.join(models.STAGES)}. [default: the run's, or native]",
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=whole_number,
        help="Height and width of the images, in pixels. [default: the run's, or the model's]",
    ),
]
Preprocessing = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"How images are prepared: {', '.join(preprocessing.PREPROCESSINGS)}. "
        "[default: the run's, or the model's]",
    ),
]
Labels = Annotated[
    pathlib.Path | None,
    typer.Option(
        metavar="FILE",
        help="Names of the classes, one a line. [default: the run's, or else class numbers]",
    ),
]
DataName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help=f"One of {', '.join(datasets.DATASETS)}. [default: the run's]"
    ),
]
DataDir = Annotated[str | None, typer.Option(metavar="DIR", help="Where the dataset's files are.")]
MaxBadFraction = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        parser=number,
        help="The largest share of the images that may be unreadable, 0 to 1. "
        "[default: the run's, or 0.01]",
    ),
]
LabelsOffset = Annotated[
    int | None,
    typer.Option(
        metavar="N", parser=whole_number, help="What is subtracted from the dataset's labels."
    ),
]
MaxBatches = Annotated[
    int | None,
    typer.Option(
        metavar="N", parser=whole_number, help="Use the first N batches only. [default: all]"
    ),
]


def check_at_least_one(option: str, value: int | None) -> None:
    """Raises typer.BadParameter where an option's value is below 1."""
    if value is not None and value < 1:
        raise typer.BadParameter(f"{option} {value} is not allowed: it has to be 1 or more")
