"""`shimzoo benchmark compare` and `table`: what files of results say."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from .app import Debug, number
from .benchmarks import benchmarks


@benchmarks.command("compare")
def compare(
    before: Annotated[pathlib.Path, typer.Argument(metavar="BEFORE.csv")],
    after: Annotated[pathlib.Path, typer.Argument(metavar="AFTER.csv")],
    fail_above: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            parser=number,
            help="Exit with code 1 if anything got worse by more than that, beyond noise.",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Say what got better or worse from one file of results to another, beyond noise.

    The files are those that --out of any benchmark writes.
    """
    from ..tools.benchmark import comparison

    if not comparison.run(before, after, fail_above):
        raise typer.Exit(1)


@benchmarks.command("table")
def table(
    files: Annotated[
        list[pathlib.Path] | None,
        typer.Argument(metavar="[FILE.csv]...", help="[default: all of docs/results/]"),
    ] = None,
    into: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="PAGE.md", help="Put it into this page, in place of the last one."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Show all targets, and what files of results say of each, as a table in Markdown."""
    from ..tools.benchmark import results_table

    results_table.run(files or [], into)
