"""Options of a command from the fields of a dataclass: its docstring is their help."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from .app import number, whole_number

# Type of a value -> how it is parsed, and what stands for it in the help.
_PARSERS: dict[Any, tuple[typing.Callable[[str], Any], str]] = {
    int: (whole_number, "N"),
    float: (number, "X"),
    str: (str, "TEXT"),
}
_NONE = "none"


def parameters(settings: type, defaults: Any) -> list[inspect.Parameter]:
    """The parameters of a command that takes a dataclass' fields as options.

    Args:
        settings: A dataclass whose fields are numbers, texts, switches, or tuples of them, each
            described in the docstring's `Args:`.
        defaults: An instance, whose values the help names as defaults.

    Returns:
        A keyword parameter a field, None if the option is not given. Texts are still to be parsed,
        by `parse`.
    """
    texts = descriptions(settings)
    found = []
    for field in dataclasses.fields(settings):
        value = getattr(defaults, field.name)
        help_text = f"{texts[field.name]} [default: {_shown(value)}]"
        found.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=_annotation(_type_of(settings, field.name), help_text, field.name),
            )
        )
    return found


def parse(settings: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the options that were given.

    Args:
        settings: As for `parameters`.
        given: Values by name as a command gets them.

    Returns:
        Values by name, as the fields' types have them.

    Raises:
        typer.BadParameter: A text stands for no value of its field.
    """
    return {
        name: _parsed(name, _type_of(settings, name), value)
        for name, value in given.items()
        if value is not None
    }


def descriptions(settings: type) -> dict[str, str]:
    """The texts of a class' arguments, by name, from the `Args:` of its docstring."""
    section = re.search(r"^Args:\n(.*?)(?:^\w|\Z)", inspect.getdoc(settings), re.DOTALL | re.M)
    entries = re.findall(r"^ {4}(\w+): (.*?)(?=^ {4}\w|\Z)", section[1], re.DOTALL | re.M)
    return {name: " ".join(text.split()) for name, text in entries}


def _type_of(settings: type, name: str) -> Any:
    return typing.get_type_hints(settings)[name]


def _without_none(kind: Any) -> tuple[Any, bool]:
    """A type, and whether None was allowed beside it."""
    if isinstance(kind, types.UnionType):
        [other] = [part for part in typing.get_args(kind) if part is not type(None)]
        return other, True
    return kind, False


def _annotation(kind: Any, help_text: str, name: str) -> Any:
    kind, _ = _without_none(kind)
    flag = f"--{name.replace('_', '-')}"
    if kind is bool:
        switch = typer.Option(f"{flag}/--no-{flag.removeprefix('--')}", help=help_text)
        return Annotated[bool | None, switch]
    if kind == tuple[str, ...]:
        return Annotated[list[str] | None, typer.Option(flag, metavar="TEXT", help=help_text)]
    item = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else kind
    metavar = _PARSERS[item][1]
    if item is not kind:
        metavar = f"{metavar},..."
    return Annotated[str | None, typer.Option(flag, metavar=metavar, help=help_text)]


def _parsed(name: str, kind: Any, value: Any) -> Any:
    kind, can_be_none = _without_none(kind)
    if kind is bool:
        return value
    if kind == tuple[str, ...]:
        return () if value == [_NONE] else tuple(value)
    is_tuple = typing.get_origin(kind) is tuple
    if value == _NONE and (can_be_none or is_tuple):
        return () if is_tuple else None
    try:
        if is_tuple:
            parse_item, _ = _PARSERS[typing.get_args(kind)[0]]
            return tuple(parse_item(item) for item in value.split(","))
        return _PARSERS[kind][0](value)
    except typer.BadParameter as error:
        option = f"'--{name.replace('_', '-')}'"
        raise typer.BadParameter(error.message, param_hint=option) from None


def _shown(value: Any) -> str:
    if value is None or value == ():
        return _NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
