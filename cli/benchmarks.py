"""`shimzoo benchmark`."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from .app import Debug, app, whole_number

benchmarks = typer.Typer(help="Measure what the shim and the models cost.")
app.add_typer(benchmarks, name="benchmark")


@benchmarks.command("shim-overhead")
def shim_overhead(
    rounds: Annotated[
        int,
        typer.Option(metavar="N", parser=whole_number, help="How often each time is measured."),
    ] = 20,
    out: Annotated[
        pathlib.Path | None, typer.Option(metavar="FILE", help="CSV file for the results.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Measure what the shim costs: ResNet v1-50 with and without it, and in Keras.

    Compares the shim with the official one, with keras.applications and with the same ops written
    without a shim: each in a process of its own, in turns. Takes some minutes.
    """
    from ..tools.benchmark import shim_overhead

    shim_overhead.run(rounds, out)


@benchmarks.command("conversion")
def conversion(
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Whose checkpoints are converted.")
    ] = "resnet_v1_152",
    rounds: Annotated[
        int,
        typer.Option(metavar="N", parser=whole_number, help="How often each pair is measured."),
    ] = 5,
    out: Annotated[
        pathlib.Path | None, typer.Option(metavar="FILE", help="CSV file for the results.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Measure what converting checkpoints costs: time and memory, for all pairs of formats.

    Compares each with copying and hashing the file. Takes some minutes a round.
    """
    from ..tools.benchmark import conversion

    conversion.run(model, rounds, out)
