"""`shimzoo list`, `show` and `diff`: what models there are."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from .. import models
from .app import Debug, app


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
    """Show a model's record, and its figures: as published, and as counted from the model."""
    variant = models.get_variant(name)
    record = dataclasses.asdict(variant)
    published = record.pop("published")
    _print_record(record)
    counted = _counted(name)
    typer.echo(f"{'figures':<28}{'published':>12}{'counted':>12}")
    for figure, label in _FIGURES.items():
        numbers = (_shown(values.get(figure)) for values in (published, counted))
        typer.echo(f"  {label:<26}" + "".join(f"{number:>12}" for number in numbers))
    _print_record(
        {
            f"{figure} differ": published[f"{key}_explained"]["why"]
            for key, figure in _EXPLAINED.items()
            if published[f"{key}_explained"]
        }
    )
    _print_record({key: published[key] for key in ("note", "source") if published[key]})


_FIGURES = {
    "top1_percent": "top-1, percent",
    "top5_percent": "top-5, percent",
    "parameters_millions": "parameters, millions",
    "multiply_adds_millions": "multiply-adds, millions",
}
_EXPLAINED = {"parameters": "parameters", "multiply_adds": "multiply-adds"}


def _counted(name: str) -> dict[str, float]:
    from ..training import startup

    startup.import_tensorflow()
    from ..models import counting

    counts = counting.count(name)
    return {
        "parameters_millions": counts.parameters / 1e6,
        "multiply_adds_millions": counts.multiply_adds / 1e6,
    }


def _shown(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number:.2f}" if number < 100 else f"{number:.0f}"


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


def _print_record(record: dict[str, Any], indent: str = "") -> None:
    width = max([26, *(len(indent) + len(name) + 2 for name in record)])
    for name, value in record.items():
        label = f"{indent}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            typer.echo(label)
            _print_record(value, indent + "  ")
        else:
            typer.echo(f"{label:<{width}}{value}")
