"""`shimzoo train`."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import pathlib
import shlex
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import models
from ..training import clusters, published_recipes, recipes, train_config
from . import settings
from .app import Debug, app, program

if TYPE_CHECKING:
    from ..training import TrainingInterrupted, TrainResult


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command an option for every setting of a run, in place of its `**given`."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = settings.parameters(train_config.TrainConfig, recipes.DEMO.config)

    @functools.wraps(command)
    def with_settings(**given: Any) -> None:
        command(**given)

    with_settings.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    return with_settings


def _recipes() -> str:
    """A table of the recipes, for the help."""
    rows = [("recipe", "models", "dataset", "test accuracy")]
    for name, recipe in published_recipes.RECIPES.items():
        dataset, _, _ = recipe.settings["dataset"].partition(":")
        reached = {
            expected.accuracy
            for model in models.list_models(recipe.trains)
            if (expected := recipe.expected(model)) is not None
        }
        rows.append((name, recipe.trains, dataset, _span(reached)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join([*map(str.ljust, row[:3], widths), row[3]]).rstrip() for row in rows]
    return "\b\n" + "\n".join(lines)


def _span(values: set[float]) -> str:
    ends = sorted({min(values), max(values)}) if values else []
    return " to ".join(f"{end:g}" for end in ends)


@app.command(epilog=_recipes())
@_with_settings
def train(
    *,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Where settings come from that are not given: a recipe of those below, or a "
            "model's name for that of its published result. [default: demo, whose values are the "
            "defaults here]",
        ),
    ] = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="DIR", help="Where its files go. [default: runs/<model>-<stage>-<time>]"
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out, with its settings.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run in --out.")
    ] = False,
    debug: Debug = False,
    **given: Any,
) -> None:
    """Train a model on a dataset, and test it on images held out.

    Without options: a quarter-width MobileNet on handwritten digits, in 45 to 90 s on 2 cores.
    Ctrl-C stops a run so that --resume continues it.
    """
    changes = settings.parse(train_config.TrainConfig, given)
    if resume and recipe is not None:
        raise typer.BadParameter(
            "--resume goes on with the settings of the run in --out: leave --recipe out."
        )
    _train(recipe or "demo", changes, out, resume, overwrite)


def _train(
    recipe: str,
    changes: dict[str, Any],
    out: pathlib.Path | None,
    resume: bool,
    overwrite: bool,
) -> None:
    from ..training import TrainingInterrupted, run_directory, startup

    try:
        if resume and out is not None:
            saved = run_directory.RunDirectory(out).read_config()
            config = dataclasses.replace(saved, **changes)
        else:
            config = published_recipes.get_recipe(recipe).changed(**changes)
        # Looked at before TensorFlow's import, which takes seconds, and again in `train`.
        if not clusters.has_several_processes(config.strategy):
            run_directory.choose(config, out, resume, overwrite)
        startup.import_tensorflow()

        from ..training import train

        followed = None if resume else recipe
        result = train(config, out=out, resume=resume, overwrite=overwrite, recipe=followed)
    except KeyboardInterrupt:  # Later ones are taken up by the run.
        typer.echo("stopped before training began", err=True)
        raise typer.Exit(128 + signal.SIGINT) from None
    except TrainingInterrupted as interruption:
        _print_interruption(interruption)
        raise typer.Exit(128 + interruption.signal_number) from None
    if result is not None:
        _print_result(result)


def _print_interruption(interruption: TrainingInterrupted) -> None:
    directory = shlex.quote(str(interruption.directory))
    typer.echo(
        f"stopped after {interruption.step} of {interruption.total_steps} steps, checkpoint saved; "
        f"continue with: {program()} train --resume --out {directory}"
    )


def _print_result(result: TrainResult) -> None:
    from ..training import run_directory

    files = run_directory.RunDirectory(result.directory)
    rows: dict[str, object] = {
        "stage": result.stage,
        "test accuracy": f"{result.test_accuracy:.4f}",
    }
    if (expected := files.read_expected()) is not None:
        rows["expected"] = expected
    if result.images_per_second is not None:
        rows["images/s"] = f"{result.images_per_second:,.0f} in training, median of the epochs"
    rows |= {
        "wall time": f"{result.wall_time_s:.0f} s, after TensorFlow's start",
        "settings": files.config_json,
        "metrics": files.metrics_jsonl,
        "curve": files.curve_png,
        "tensorboard": files.tensorboard,
        "checkpoints": files.checkpoints,
        "best weights": files.best_weights,
        "final weights": files.final_weights,
    }
    typer.echo()
    for name, value in rows.items():
        typer.echo(f"{name:<15}{value}")
