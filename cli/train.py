"""`shimzoo train`."""

from __future__ import annotations

import dataclasses
import pathlib
import shlex
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import models
from ..training import clusters, datasets, recipes
from .app import Debug, app, number, program, whole_number

if TYPE_CHECKING:
    from ..training import TrainingInterrupted, TrainResult

_DEFAULTS = recipes.DEMO.config


def _setting(help_text: str, default: object, parser: Callable | None = None) -> Any:
    """An option of `train`: its default is the recipe's or, with --resume, the run's."""
    metavar = {whole_number: "N", number: "X", None: "NAME"}[parser]
    return typer.Option(help=f"{help_text} [default: {default}]", metavar=metavar, parser=parser)


@app.command()
def train(
    model: Annotated[
        str | None,
        _setting("What to train, as `shimzoo list` prints it.", _DEFAULTS.model),
    ] = None,
    stage: Annotated[
        str | None,
        _setting(f"Which version of it: {', '.join(models.STAGES)}.", _DEFAULTS.stage),
    ] = None,
    dataset: Annotated[
        str | None,
        _setting(f"What to train on: {', '.join(datasets.DATASETS)}.", _DEFAULTS.dataset),
    ] = None,
    image_size: Annotated[
        int | None,
        _setting("Height and width of the images, in pixels.", _DEFAULTS.image_size, whole_number),
    ] = None,
    batch_size: Annotated[
        int | None,
        _setting("Images in a training step.", _DEFAULTS.batch_size, whole_number),
    ] = None,
    epochs: Annotated[
        int | None,
        _setting("Passes over the training images.", _DEFAULTS.epochs, whole_number),
    ] = None,
    learning_rate: Annotated[
        float | None,
        _setting("Peak of the learning rate.", _DEFAULTS.learning_rate, number),
    ] = None,
    seed: Annotated[
        int | None,
        _setting("Decides fresh weights, order and shifts.", _DEFAULTS.seed, whole_number),
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
) -> None:
    """Train a model on a dataset, and test it on images held out.

    Without options: a quarter-width MobileNet on handwritten digits, in 45 to 90 s on 2 cores.
    Ctrl-C stops a run so that --resume continues it.
    """
    given = {
        "model": model,
        "stage": stage,
        "dataset": dataset,
        "image_size": image_size,
        "batch_size": batch_size,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    _train(
        {name: value for name, value in given.items() if value is not None}, out, resume, overwrite
    )


def _train(
    settings: dict[str, Any], out: pathlib.Path | None, resume: bool, overwrite: bool
) -> None:
    from ..training import TrainingInterrupted, run_directory, startup

    try:
        base = _DEFAULTS
        if resume and out is not None:
            base = run_directory.RunDirectory(out).read_config()
        config = dataclasses.replace(base, **settings)
        # Looked at before TensorFlow's import, which takes seconds, and again in `train`.
        if not clusters.has_several_processes(config.strategy):
            run_directory.choose(config, out, resume, overwrite)
        startup.import_tensorflow()

        from ..training import train

        result = train(config, out=out, resume=resume, overwrite=overwrite)
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
    if result.images_per_second is not None:
        rows["images/s"] = f"{result.images_per_second:,.0f} in training, median of the epochs"
    rows |= {
        "wall time": f"{result.wall_time_s:.0f} s, after TensorFlow's start",
        "settings": files.config_json,
        "metrics": files.metrics_jsonl,
        "curve": files.curve_png,
        "tensorboard": files.tensorboard,
        "checkpoints": files.checkpoints,
        "final weights": files.final_weights,
    }
    typer.echo()
    for name, value in rows.items():
        typer.echo(f"{name:<15}{value}")
