"""Runs a command line, and reports what is wrong with it."""

from __future__ import annotations

import sys
import traceback

import typer
import typer.main

# Each of these adds its commands to the application, in the order of the help.
from . import (  # noqa: F401
    benchmark_results,
    benchmarks,
    checkpoints,
    evaluate,
    export,
    predict,
    train,
    zoo,
)
from .app import app
from .keyboard import interrupts_kept

# Whose options people know from the scripts of TF-Slim that these take the place of.
_LIKE_SLIM_SCRIPTS = ("train", "evaluate", "export")


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line.

    Args:
        arguments: What follows the program's name; None for this process' own.

    Returns:
        The exit code: 0; 2 for a wrong command line or setting; 1 for a failure on the way;
        128 + the signal's number after a signal. `--debug` does not change it.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        command = typer.main.get_command(app)
        with interrupts_kept():
            return command.main(arguments, prog_name="shimzoo", standalone_mode=False) or 0
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        return _report(error)


def _report(error: Exception) -> int:
    """Says in one line what was wrong."""
    from ..training import TrainingFailed
    from ..training.datasets import TooManyBadExamples

    bad_input = isinstance(
        error, typer.TyperException | ValueError | OSError | ModuleNotFoundError | MemoryError
    )
    if isinstance(error, typer.TyperException):
        message = error.format_message()
        context = getattr(error, "ctx", None)
        # Our options have hyphens.
        is_like_slims = "_" in getattr(error, "option_name", "")
        if is_like_slims and context is not None and context.info_name in _LIKE_SLIM_SCRIPTS:
            message += (
                "; docs/training.md tells under 'Coming from TF-Slim' what its flags are here"
            )
    elif isinstance(error, OSError) and error.strerror and error.filename:
        message = f"'{error.filename}': {error.strerror}"
    else:
        message = str(error)
    if isinstance(error, MemoryError) and "out of memory" not in message:
        message = f"Out of memory: take a smaller batch or smaller images. {message}"
    if not bad_input and not isinstance(
        error, FloatingPointError | TooManyBadExamples | TrainingFailed
    ):
        message = f"{type(error).__name__}: {message} (--debug shows the traceback)"
    typer.echo(f"shimzoo: error: {' '.join(message.split())}", err=True)
    return 2 if bad_input else 1
