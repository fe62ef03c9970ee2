"""The table of all targets, with what the files of results say of each; for a page in Markdown."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from . import results_file, terminal
from .measures import LEAST_ROUNDS, has_interval
from .targets import ANY, TARGETS, Target

FOLDER = Path("docs", "results")
BEGIN = "<!-- made by `shimzoo benchmark table` -->"
END = "<!-- end of what it made -->"
_HEADER = ("what", "target", "measured", "file")
_KEY = (
    "Measured: the median and its 95 % interval, of which all (ok), none (missed) or a part "
    f"(unclear) is as the target asks; fewer than {LEAST_ROUNDS} rounds are unclear. What a run "
    "takes once, as memory and growth, is judged as it is."
)

Lines = Sequence[Mapping[str, str]]
Contents = Mapping[Path, Lines]


def run(files: Sequence[Path], page: Path | None = None) -> None:
    """Prints the table, or puts it into a page, and names files that add nothing to it.

    Args:
        files: files of results; none for all of `docs/results/` in this folder.
        page: a Markdown file with the lines `BEGIN` and `END`, between which the table goes; None
            to print it.

    Raises:
        OSError: a file can't be read or written.
        ValueError: there is no file, one has no results, two have the same, or the page has no such
            lines.
    """
    files = files or sorted(FOLDER.glob("*.csv"))
    if not files:
        raise ValueError(
            f"There is no file of results in '{FOLDER}' here: name some, or go to where it is."
        )
    contents = _read(files)
    made = _table_of(contents)
    for path in _without_targets(contents):
        terminal.console(stderr=True).print(
            f"'{path}' has the number of no target: each names the command that measures it",
            markup=False,
            highlight=False,
        )
    if page is None:
        print(made)
        return
    page.write_text(put(made, page.read_text(encoding="utf-8"), str(page)), encoding="utf-8")


def _read(files: Iterable[Path]) -> Contents:
    return {path: results_file.read_csv(path) for path in files}


def _has_number_of(target: Target, line: Mapping[str, str]) -> bool:
    return target.is_of(line) and bool(line["median"])


def _without_targets(contents: Contents) -> list[Path]:
    return [
        path
        for path, lines in contents.items()
        if not any(_has_number_of(target, line) for line in lines for target in TARGETS)
    ]


def put(made: str, page: str, name: str) -> str:
    """The text of a page with the table in its place.

    Args:
        made: the table.
        page: the text.
        name: what messages call it.

    Raises:
        ValueError: the place is not there, or more than once.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(
            f"'{name}' has no place for the table: give it the lines {BEGIN} and {END}."
        )
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}"


def table(files: Iterable[Path]) -> str:
    """The table in Markdown: a row a target, and the commands that made the files.

    Args:
        files: files of results. A target's number is from the file that its own command made, or,
            where there is none, from the only other one that has it.

    Raises:
        OSError: a file can't be read.
        ValueError: a file has no results, or more than one could have a target's number.
    """
    return _table_of(_read(files))


def _table_of(contents: Contents) -> str:
    rows = [_HEADER, ("---",) * len(_HEADER)]
    rows += [_row(target, contents) for target in TARGETS]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", _KEY, "", "The files, and the commands and machines that made them:", ""]
    lines += list(itertools.starmap(_origin, contents.items()))
    return "\n".join(lines)


def _row(target: Target, contents: Contents) -> tuple[str, str, str, str]:
    bound = "reported" if target.bound is None else str(target.bound)
    title = target.title.replace("|", "\\|")
    found = _file_of(target, contents)
    if found is None:
        return title, bound, f"not yet: `shimzoo benchmark {target.command}`", ""
    path, lines = found
    line = lines[0]
    if target.bound is not None:
        worst_first = target.bound.worst_first
        line = min(lines, key=lambda of_one: worst_first(float(of_one["median"])))
    measured = _value(line)
    if target.bound is not None:  # As it is today, not as it was when the file was written.
        ends = (float(line[name] or "nan") for name in ("low", "high"))
        outcome = target.bound.outcome(
            line["measure"], int(line["rounds"]), float(line["median"]), *ends
        )
        measured += f": {outcome}"
    if target.contender == ANY:
        measured += f" ({line['contender']})"
    return title, bound, measured, f"`{path.name}`"


def _file_of(target: Target, contents: Contents) -> tuple[Path, Lines] | None:
    """The file that has a target's number, and its lines with it."""
    having = {
        path: found
        for path, lines in contents.items()
        if (found := [line for line in lines if _has_number_of(target, line)])
    }
    own = {path for path, lines in having.items() if _is_made_by(target.command, lines[0])}
    chosen = sorted(own or having)
    if len(chosen) > 1:
        named = " and ".join(f"'{path}'" for path in chosen)
        raise ValueError(
            f"{named} have a number each for “{target.title}”: keep the one that counts."
        )
    return (chosen[0], having[chosen[0]]) if chosen else None


def _is_made_by(command: str, line: Mapping[str, str]) -> bool:
    """Whether a line's file is from a command, wherever it was written to and drawn or not."""
    try:
        words = shlex.split(line["command"])
    except ValueError:  # No command line, and so not this one.
        return False
    if "--out" in words:
        place = words.index("--out")
        del words[place : place + 2]
    words = [word for word in words if word != "--plot" and not word.startswith("--out=")]
    return words == ["shimzoo", "benchmark", *shlex.split(command)]


def _value(line: Mapping[str, str]) -> str:
    digits = 3 if line["unit"] == "ratio" else 1
    median = f"{float(line['median']):.{digits}f}"
    if not (line["low"] and has_interval(line["measure"], int(line["rounds"]))):
        return median
    return f"{median} ({float(line['low']):.{digits}f} to {float(line['high']):.{digits}f})"


def _origin(path: Path, lines: Lines) -> str:
    first = lines[0]
    machine = results_file.machine_of(first)
    digits, dash, changed = (first["git_commit"] or "no commit").partition("-")
    commit = f"{digits[:12]}{dash}{changed}"
    made = f"- `{path.name}`: `{first['command']}`, {first['date'][:10]}, {machine}, {commit}"
    return made if results_file.is_complete(lines) else f"{made}; interrupted before its end"
