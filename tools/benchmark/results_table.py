"""The table of all targets, with what the files of results say of each; for a page in Markdown."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from . import results_file
from .targets import TARGETS, Bound, Target

FOLDER = Path("docs", "results")
BEGIN = "<!-- made by `shimzoo benchmark table` -->"
END = "<!-- end of what it made -->"
_HEADER = ("what", "target", "measured", "", "file")


def run(files: Sequence[Path], page: Path | None = None) -> None:
    """Prints the table, or puts it into a page.

    Args:
        files: files of results; none for all of `docs/results/` in this folder.
        page: a Markdown file with the lines `BEGIN` and `END`, between which the table goes; None
            to print it.

    Raises:
        OSError: a file can't be read or written.
        ValueError: a file has no results, or the page has no such lines.
    """
    made = table(files or sorted(FOLDER.glob("*.csv")))
    if page is None:
        print(made)
        return
    page.write_text(put(made, page.read_text(encoding="utf-8"), str(page)), encoding="utf-8")


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
        files: files of results; of several that have a target's number the last one counts.
    """
    contents = {path: results_file.read_csv(path) for path in files}
    rows = [_HEADER, ("---", "---", "---", "---", "---")]
    rows += [_row(target, contents) for target in TARGETS]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if contents:
        lines += ["", "The files, and the commands and machines that made them:", ""]
        lines += list(itertools.chain.from_iterable(_origin(*item) for item in contents.items()))
    return "\n".join(lines)


def _row(
    target: Target, contents: Mapping[Path, list[dict[str, str]]]
) -> tuple[str, str, str, str, str]:
    bound = "reported" if target.bound is None else str(target.bound)
    title = target.title.replace("|", "\\|")
    for path, lines in reversed(list(contents.items())):
        for line in lines:
            if target.is_of(line) and line["median"]:
                return title, bound, _value(line), _outcome(target.bound, line), f"`{path.name}`"
    return title, bound, f"not yet: `shimzoo benchmark {target.command}`", "", ""


def _outcome(bound: Bound | None, line: Mapping[str, str]) -> str:
    """Of the target as it is today, not as it was when the file was written."""
    if bound is None:
        return ""
    return bound.judge(*(float(line[name]) for name in ("median", "low", "high")))


def _value(line: Mapping[str, str]) -> str:
    median, low, high = (float(line[name]) for name in ("median", "low", "high"))
    digits = 3 if line["unit"] == "ratio" else 1
    return f"{median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _origin(path: Path, lines: Sequence[Mapping[str, str]]) -> Iterable[str]:
    first = lines[0]
    machine = first.get("gpu") or f"{first['cpu']}, {first['cores']} core(s)"
    commit = (first["git_commit"] or "")[:12]
    yield f"- `{path.name}`: `{first['command']}`, {first['date'][:10]}, {machine}, {commit}"
