"""Two versions of a model side by side, function by function."""

from __future__ import annotations

import ast
import difflib
import textwrap
from collections.abc import Iterator

import rich.console
import rich.text

from .. import models

# A row is: left line, mark, right line.
_SAME, _CHANGED, _LEFT, _RIGHT = " ", "|", "<", ">"
_STYLES = {_SAME: "", _CHANGED: "yellow", _LEFT: "red", _RIGHT: "green"}
_GUTTER = 3
_LEAST_WIDTH = 60


def show(family: str, first: str, second: str, console: rich.console.Console | None = None) -> None:
    """Prints two versions of a family side by side.

    Functions, classes and methods of the same name stand beside each other, and so do the lines in
    them that the versions share. Between the columns stands `|` for a changed line, `<` and `>` for
    one that only that side has.

    Args:
        family: A folder of `shimzoo.models` that holds the three versions.
        first: The version on the left, one of `models.STAGES`.
        second: The version on the right.
        console: Where to print, in its width and colours; None for standard output.

    Raises:
        ValueError: There is no such family or version, or the console is too narrow.
    """
    console = console or rich.console.Console(highlight=False)
    width = console.width if console.is_terminal else 120
    if width < _LEAST_WIDTH:
        raise ValueError(
            f"Two files side by side need {_LEAST_WIDTH} columns, this terminal has {width}."
        )
    column = (width - _GUTTER) // 2
    files = [models.source_file(family, stage) for stage in (first, second)]
    for row in _rows((first, second), *(file.read_text() for file in files)):
        for line in _wrapped(row, column):
            console.print(line, soft_wrap=True)


def _rows(titles: tuple[str, str], left: str, right: str) -> Iterator[tuple[str, str, str]]:
    yield titles[0], _SAME, titles[1]
    yield "=" * len(titles[0]), _SAME, "=" * len(titles[1])
    ours, others = _sections(left), _sections(right)
    for name in _merged(list(ours), list(others)):
        yield from _aligned(ours.get(name, []), others.get(name, []))


def _sections(code: str) -> dict[str, list[str]]:
    """A file's lines by the function, class or method they belong to, in its order.

    What stands before one, back to the end of the one before, belongs to it: decorators, comments.
    """
    lines, begin = code.splitlines(), 0
    sections: dict[str, list[str]] = {}
    for name, end in _ends(ast.parse(code)):
        sections[name] = lines[begin:end]
        begin = end
    sections["the rest"] = lines[begin:]
    return sections


def _ends(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The sections' names, and the number of the last line of each."""
    nodes = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    if nodes:
        yield "imports", _start(nodes[0]) - 1
    for node in nodes:
        methods = [child for child in node.body if isinstance(child, ast.FunctionDef)]
        if isinstance(node, ast.FunctionDef) or not methods:
            yield node.name, node.end_lineno or 0
            continue
        yield node.name, _start(methods[0]) - 1
        for method in methods:
            yield f"{node.name}.{method.name}", method.end_lineno or 0


def _start(node: ast.FunctionDef | ast.ClassDef) -> int:
    """The first line of a definition, its decorator's if it has one."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _merged(ours: list[str], others: list[str]) -> list[str]:
    """Both lists' names, each once, in an order that fits both."""
    merged: list[str] = []
    for name in ours:
        if name in others:
            position = others.index(name)
            merged += [n for n in others[:position] if n not in ours and n not in merged]
        merged.append(name)
    return merged + [name for name in others if name not in merged]


def _aligned(left: list[str], right: list[str]) -> Iterator[tuple[str, str, str]]:
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for kind, i, i_end, j, j_end in matcher.get_opcodes():
        ours, others = left[i:i_end], right[j:j_end]
        for number in range(max(len(ours), len(others))):
            has_left, has_right = number < len(ours), number < len(others)
            mark = _SAME if kind == "equal" else _CHANGED
            if not has_right:
                mark = _LEFT
            elif not has_left:
                mark = _RIGHT
            yield (ours[number] if has_left else "", mark, others[number] if has_right else "")


def _wrapped(row: tuple[str, str, str], column: int) -> Iterator[rich.text.Text]:
    """The lines of one row: what is too long for a column goes on below, further in."""
    left, mark, right = row
    sides = [_fold(left, column), _fold(right, column)]
    for number in range(max(len(side) for side in sides)):
        parts = [side[number] if number < len(side) else "" for side in sides]
        text = f"{parts[0]:<{column}} {mark} {parts[1]}".rstrip()
        yield rich.text.Text(text, style=_STYLES[mark])


def _fold(line: str, column: int) -> list[str]:
    if len(line) <= column:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(
        line.strip(),
        column,
        initial_indent=indent,
        subsequent_indent=indent + " " * 8,
        break_on_hyphens=False,
    )
