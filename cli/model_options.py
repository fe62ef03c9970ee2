"""Options about a model and the weights that it takes, which several commands have."""

from __future__ import annotations

import ast
from typing import Annotated, Any

import typer

ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="An option of the model, such as num_classes=10. Can be repeated.",
    ),
]
Ema = Annotated[
    str,
    typer.Option(
        metavar="CHOICE",
        help="Moving averages in place of the variables: auto (where all have one), yes, no.",
    ),
]

_EMA_CHOICES: dict[str, Any] = {"auto": "auto", "yes": True, "no": False}


def parse_ema(choice: str) -> Any:
    """What `checkpoints.restore` takes; raises typer.BadParameter for an unknown choice."""
    if choice not in _EMA_CHOICES:
        raise typer.BadParameter(f"--ema {choice!r} is none of {', '.join(_EMA_CHOICES)}")
    return _EMA_CHOICES[choice]


def parse_options(given: list[str] | None) -> dict[str, Any]:
    """Options of a model by name; raises typer.BadParameter where one is not NAME=VALUE."""
    return {name: _literal(value) for name, value in parse_pairs("--option", given).items()}


def parse_pairs(option: str, given: list[str] | None) -> dict[str, str]:
    """Texts NAME=VALUE, split; raises typer.BadParameter, with the option's name, for others."""
    pairs = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{option} {text!r} is not of the form NAME=VALUE")
        pairs[name] = value
    return pairs


def _literal(text: str) -> Any:
    """A number, True, False or None as Python writes them; anything else is a text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
