"""How far long work has come, on stderr."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import typer

# Away from a terminal a line is enough every so often.
_SECONDS_BETWEEN_LINES = 30.0


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Shows how many of a number of images are done.

    Args:
        what: What is going on.
        total: Images in all.

    Yields:
        To be called with the number of images that are done since the last call.
    """
    import rich.console
    import rich.progress

    console = rich.console.Console(stderr=True)
    if not console.is_terminal:
        yield _lines(what, total)
        return
    columns = [
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("images, ETA"),
        rich.progress.TimeRemainingColumn(compact=True),
    ]
    with rich.progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda images: bar.advance(task, images)


def _lines(what: str, total: int) -> Callable[[int], None]:
    done, last_line = 0, time.monotonic()

    def advance(images: int) -> None:
        nonlocal done, last_line
        done += images
        if time.monotonic() - last_line > _SECONDS_BETWEEN_LINES:
            typer.echo(f"shimzoo: {what}: {done:,} of {total:,} images", err=True)
            last_line = time.monotonic()

    return advance
