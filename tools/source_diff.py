"""Two versions of a model side by side, function by function."""

from __future__ import annotations

import ast
import difflib
import os
import re
from collections.abc import Iterator

import rich.console
import rich.text

from .. import models

# A row is: left line, mark, right line.
_SAME, _CHANGED, _LEFT, _RIGHT = " ", "|", "<", ">"
_STYLES = {_SAME: "", _CHANGED: "yellow", _LEFT: "red", _RIGHT: "green"}
_GUTTER = 3
_LEAST_WIDTH = 60
_WIDTH_OF_A_FILE = 120
# Where a line of code may be broken: behind these, and only if need be behind those.
_BREAKS = re.compile(r"(?<=[\s(\[{,])")
_OTHER_BREAKS = re.compile(r"(?<=[.=])")


def show(family: str, first: str, second: str, console: rich.console.Console | None = None) -> None:
    """Prints two versions of a family side by side.

    Functions, classes and methods of the same name stand beside each other, a function beside the
    class that takes its place (`apply_module`, `Module`), and so do the lines in them that the
    versions share. Between the columns stands `|` for a changed line, `<` and `>` for one that only
    that side has. What is too long for a column goes on below, behind an ellipsis.

    Args:
        family: A folder of `shimzoo.models` that holds the three versions.
        first: The version on the left, one of `models.STAGES`.
        second: The version on the right.
        console: Where to print, in its width and colours; None for standard output.

    Raises:
        ValueError: There is no such family or version, both versions are the same, or the console
            is too narrow.
    """
    if first == second:
        raise ValueError(
            f"Both versions are {first!r}: name two of {', '.join(models.STAGES)} to compare."
        )
    console = console or rich.console.Console(highlight=False)
    width = console.width if console.is_terminal or "COLUMNS" in os.environ else _WIDTH_OF_A_FILE
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
    for ours, others in _paired(_sections(left), _sections(right)):
        yield from _aligned(ours, others)


def _paired(
    ours: dict[str, list[str]], others: dict[str, list[str]]
) -> Iterator[tuple[list[str], list[str]]]:
    """The lines to stand beside each other: of one name, and between those what is left of both."""
    ours, others = _joined(ours, others), _joined(others, ours)
    left: list[str] = []
    right: list[str] = []
    for name in _merged(list(ours), list(others)):
        if name not in ours:
            right += others[name]
        elif name not in others:
            left += ours[name]
        else:
            yield left, right
            left, right = [], []
            yield ours[name], others[name]
    yield left, right


def _joined(sections: dict[str, list[str]], others: dict[str, list[str]]) -> dict[str, list[str]]:
    """The sections, with one for all of what the others name so but for case and version."""
    known = {name.partition(".")[0] for name in others}
    # What has its own name on the other side stands beside that.
    shared = {_plain(name) for name in sections if name.partition(".")[0] in known}
    plain = {_plain(name) for name in known} - shared
    joined: dict[str, list[str]] = {}
    for name, lines in sections.items():
        owner = name.partition(".")[0]
        is_renamed = owner not in known and _plain(owner) in plain
        joined.setdefault(_plain(owner) if is_renamed else name, []).extend(lines)
    return joined


def _plain(name: str) -> str:
    """A name as functions and classes have in common: without case, underscores and version.

    What a function `apply_module` does is what a layer `Module` does.
    """
    return re.sub(r"^apply_|_v\d+$", "", name).replace("_", "").lower()


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
    """The line in parts that fit into a column, broken where code can be."""
    if len(line) <= column:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    parts = [indent]
    room = column - len(f"{indent}    … ")
    pieces = (
        part
        for piece in _BREAKS.split(line.strip())
        for part in ([piece] if len(piece) <= room else _OTHER_BREAKS.split(piece))
    )
    for piece in pieces:
        if len(parts[-1]) + len(piece.rstrip()) > column and parts[-1].strip(" …"):
            parts.append(f"{indent}    … ")
        parts[-1] += piece
    return [piece for part in parts for piece in _cut(part.rstrip(), column)]


def _cut(part: str, column: int) -> list[str]:
    """What has no place to be broken at is cut."""
    return [part[i : i + column] for i in range(0, len(part), column)] or [""]
