"""The application: what all commands share."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer

app = typer.Typer(
    add_completion=False,
    # Typer's coloured help takes three times as long.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@app.callback(
    invoke_without_command=True,
    epilog="In a checkout, `./zoo test [ARGS]` runs the test suite; ARGS are pytest's.",
)
def root(context: typer.Context, debug: Debug = False) -> None:
    """TF-Slim and compat.v1 models, alive on today's TensorFlow with Keras 3."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def whole_number(text: str) -> int:
    """Parses an option's value; raises typer.BadParameter where it isn't one."""
    return _parsed(text, int, "a whole number")


def number(text: str) -> float:
    """Parses an option's value; raises typer.BadParameter where it isn't one."""
    return _parsed(text, float, "a number")


def _parsed(text: str, parse: Callable[[str], Any], what: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not {what}") from None


def program() -> str:
    """How this program was called, for commands to be copied from its output."""
    if "SHIMZOO_COMMAND" in os.environ:  # Set by a launcher.
        return os.environ["SHIMZOO_COMMAND"]
    called = pathlib.Path(sys.argv[0])
    if called.name != "shimzoo":
        return f"{shlex.quote(sys.executable)} -m shimzoo.cli"
    on_path = shutil.which("shimzoo")
    is_this = on_path is not None and called.exists() and called.samefile(on_path)
    return "shimzoo" if is_this else shlex.quote(str(called))


def tell(line: str) -> None:
    """Shows on stderr what a user should know beside the results."""
    typer.echo(f"shimzoo: {line}", err=True)


def print_rows(rows: Mapping[str, str]) -> None:
    """Prints a table of names and values."""
    width = max(map(len, rows)) + 2
    for name, value in rows.items():
        typer.echo(f"{name:<{width}}{value}")


# How long a command may work before it says so.
PATIENCE_S = 1.0


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Shows on stderr that something goes on, once it takes longer than a second."""
    import rich.console
    import rich.progress

    console = rich.console.Console(stderr=True)
    columns = [
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.TimeElapsedColumn(),
    ]
    progress = rich.progress.Progress(*columns, console=console, transient=True)
    progress.add_task(what)
    line = f"shimzoo: {what} ..."
    start = threading.Timer(
        PATIENCE_S, progress.start if console.is_terminal else lambda: typer.echo(line, err=True)
    )
    start.start()
    try:
        yield
    finally:
        start.cancel()
        start.join()
        if progress.live.is_started:  # Else the end of it would be a blank line.
            progress.stop()
