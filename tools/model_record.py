"""What a model is, as text: record, options, and figures as published and as counted."""

from __future__ import annotations

import dataclasses
import os
import textwrap
from collections.abc import Iterator
from typing import Any

import rich.console

from .. import models
from ..models import options

_LABEL_WIDTH = 28
_NUMBER_WIDTH = 12
_OPTION_WIDTH = 33
_DEFAULT_WIDTH = 10
_FIGURES = {
    "top1_percent": "top-1, percent",
    "top5_percent": "top-5, percent",
    "parameters_millions": "parameters, millions",
    "multiply_adds_millions": "multiply-adds, millions",
}
_EXPLAINED = {"parameters": "parameters", "multiply_adds": "multiply-adds"}


def show(name: str, console: rich.console.Console | None = None) -> None:
    """Prints a model's record, its options, and its figures beside those counted from the model.

    In a terminal, or where COLUMNS is set, long texts are wrapped; elsewhere each is on one line.

    Args:
        name: A name as in `models.list_models`.
        console: Where to print, in its width; None for standard output.

    Raises:
        ValueError: There is no such model.
    """
    console = console or rich.console.Console(highlight=False)
    is_wrapped = console.is_terminal or "COLUMNS" in os.environ
    width = console.width if is_wrapped else None
    variant = models.get_variant(name)
    for line in (*_record(variant, width), *_options(name, width)):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    for line in _figures(variant.published, _counted(name), width):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _record(variant: models.Variant, width: int | None) -> Iterator[str]:
    fields = [field.name for field in dataclasses.fields(variant) if field.name != "published"]
    label_width = max(_LABEL_WIDTH, *(len(field) + 2 for field in fields))
    for field in fields:
        columns = [(field.replace("_", " "), label_width)]
        yield from _row(columns, _text(getattr(variant, field)), width)


def _options(name: str, width: int | None) -> Iterator[str]:
    defaults = models.default_options(name)
    columns = [("options", _OPTION_WIDTH), ("default", _DEFAULT_WIDTH)]
    yield from _row(columns, "allowed", width)
    for field in dataclasses.fields(defaults):
        default = str(getattr(defaults, field.name))
        columns = [(f"  {field.name}", _OPTION_WIDTH), (default, _DEFAULT_WIDTH)]
        yield from _row(columns, options.allowed(field.name), width)


def _figures(
    published: models.Published, counted: dict[str, float], width: int | None
) -> Iterator[str]:
    yield f"{'figures':<{_LABEL_WIDTH}}{'published':>{_NUMBER_WIDTH}}{'counted':>{_NUMBER_WIDTH}}"
    for figure, label in _FIGURES.items():
        numbers = (_number(getattr(published, figure)), _number(counted.get(figure)))
        cells = "".join(f"{number:>{_NUMBER_WIDTH}}" for number in numbers)
        yield f"{'  ' + label:<{_LABEL_WIDTH}}{cells}"
    texts = {
        f"{label} differ": explained.why
        for key, label in _EXPLAINED.items()
        if (explained := getattr(published, f"{key}_explained"))
    }
    texts |= {key: text for key in ("note", "source") if (text := getattr(published, key))}
    for label, text in texts.items():
        yield from _row([(label, _LABEL_WIDTH)], text, width)


def _counted(name: str) -> dict[str, float]:
    from ..training import startup

    startup.import_tensorflow()
    from ..models import counting

    counts = counting.count(name)
    return {
        "parameters_millions": counts.parameters / 1e6,
        "multiply_adds_millions": counts.multiply_adds / 1e6,
    }


def _row(columns: list[tuple[str, int]], text: str, width: int | None) -> Iterator[str]:
    """Cells of fixed widths, and a text behind them that goes on below itself."""
    start = "".join(f"{cell:<{cell_width}}" for cell, cell_width in columns)
    indent = sum(cell_width for _, cell_width in columns)
    if width is None or width <= indent:
        yield start + text
        return
    # Addresses are not broken, so that they can be clicked and copied.
    lines = textwrap.wrap(text, width - indent, break_long_words=False, break_on_hyphens=False)
    for number, line in enumerate(lines or [""]):
        yield (" " * indent if number else start) + line


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(each) for each in value)
    return str(value)


def _number(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number:.2f}" if number < 100 else f"{number:.0f}"
