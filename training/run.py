"""A training run, from its settings to its files: read `train` from top to bottom."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import pathlib
import re
import statistics
import time
from collections.abc import Iterator
from typing import Any

import keras
import rich.console
import tensorflow as tf

from . import callbacks, provenance
from .bad_examples import BadExamples, ReportBadExamples, TooManyBadExamples
from .checkpointing import Position, RunCheckpoint
from .curve import draw_curve
from .datasets import Dataset, load_dataset
from .ema import TestAverages
from .input_check import check_input
from .input_pipeline import evaluation_batches, steps_per_epoch, training_batches
from .interruption import TrainingFailed, stop_on_signals
from .optimizers import check_replicas
from .progress import ProgressBar
from .recipes import TrainConfig
from .result import TrainResult
from .run_directory import RunDirectory, choose
from .tensorboard import Profile, show_images
from .training_model import (
    TrainingModel,
    check_steps_per_execution,
    create_training_model,
    start_from_checkpoint,
)

# In that line: the operation that failed.
_OPERATION = re.compile(r"^\{\{.*?\}\} | \[Op:\w+\].*$")


def train(
    config: TrainConfig,
    *,
    out: pathlib.Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> TrainResult:
    """Trains a model and writes all about it into a directory.

    The directory gets `config.json`, `metrics.jsonl` (a line an epoch), `tensorboard/`,
    `checkpoints/` (what a continuation needs), `best.weights.h5` (of the epoch that tested best),
    `final.weights.h5`, `curve.png` and `result.json`. With moving averages, those are what is
    tested and saved as weights.
    What goes on is shown on standard output. The first SIGINT or SIGTERM ends the run at the end
    of the step, with a checkpoint.

    Args:
        config: What to train, on what, and how.
        out: The directory; `runs/<model>-<stage>-<time>` if None. Unless it is new or empty,
            `resume` or `overwrite` is needed.
        resume: Continue the run in `out` exactly where it stopped: its final weights are those of
            an uninterrupted run, dropout included. A finished run is left as it is, and its
            result returned.
        overwrite: Replace the run in `out`.

    Returns:
        What the run gave, measured on the test part of the dataset after the last epoch.

    Raises:
        ValueError: A setting the model or the dataset can't take, a checkpoint to start from that
            does not fit, or settings other than those of the run to resume. Nothing is written
            then.
        OSError: The directory can't be used as asked: see `run_directory.choose`.
        TrainingFailed: The disk or the memory was full on the way; `resume` continues.
        FloatingPointError: The loss is NaN or infinite; names the step and the last checkpoint.
        TrainingInterrupted: SIGINT or SIGTERM; `resume` continues.
    """
    start = time.perf_counter()
    console = rich.console.Console(highlight=False, soft_wrap=True)
    directory = choose(config, out, resume, overwrite)
    if resume and (finished := directory.read_result()) is not None:
        console.print(f"The run in '{directory.path}' is finished: there is nothing to resume.")
        return finished

    dataset = load_dataset(config.dataset, config.data_dir, config.labels_offset)
    steps = steps_per_epoch(config, len(dataset.train))
    check_steps_per_execution(config, steps)
    check_input(dataset, config)
    keras.utils.set_random_seed(config.seed)
    strategy = tf.distribute.get_strategy()
    check_replicas(config, strategy.num_replicas_in_sync)
    with strategy.scope():
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
        model = create_training_model(
            config, len(dataset.class_names), steps * config.batch_size * config.epochs, accuracy
        )
    start_from = None if resume else start_from_checkpoint(model, config)
    with directory.in_use():
        if not resume:
            directory.create(_record(config, model, dataset, steps, strategy))
        position = Position(steps, config.epochs, [model.metrics[0], accuracy])
        checkpoint = RunCheckpoint(model, position, directory.checkpoints, config.keep)
        origin = _restore(checkpoint, position, directory) if resume else None
        if resume and not position.step:
            start_from = start_from_checkpoint(model, config)
        _print_start(console, config, model, dataset, steps, strategy, directory)
        for name, text in (("weights", start_from), ("resumed", origin)):
            if text:
                console.print(f"{name:<9}{text}", markup=False)

        throughput = callbacks.Throughput(position, config.batch_size)
        bad = BadExamples(dataset.train, config.max_bad_fraction)
        bad_in_test = BadExamples(dataset.test, config.max_bad_fraction, "test")
        bar = ProgressBar(console, position, throughput, config.epochs)
        profile = Profile(position, config, directory.tensorboard)
        with stop_on_signals() as request, _failures_named(position, directory):
            after_steps = [
                callbacks.CountSteps(position),
                ReportBadExamples(bad, bad_in_test, functools.partial(console.print, markup=False)),
                callbacks.StopOnBadLoss(position, config.learning_rate, checkpoint, directory),
                throughput,
                *([TestAverages(model.averages)] if model.averages is not None else []),
                callbacks.KeepBest(model, directory),
                callbacks.LogMetrics(directory, position, throughput, config.batch_size),
                keras.callbacks.TensorBoard(str(directory.tensorboard), write_graph=False),
                bar,
                profile,
                callbacks.SaveCheckpoints(checkpoint, position, request, directory),
            ]
            if not position.step:
                batches = training_batches(dataset.train, config)
                show_images(batches, directory.tensorboard / "train")
            with bar, profile:
                _fit(model, config, dataset, steps, position, after_steps, bad, bad_in_test)
            return _finish(model, config, directory, start)


def _restore(checkpoint: RunCheckpoint, position: Position, directory: RunDirectory) -> str:
    """Puts the run back to where it was; returns where that is, for the user."""
    restored = checkpoint.restore()
    # Killed between the first epoch's line and its checkpoint, a run starts over.
    if restored is None and len(directory.read_metrics()) > 1:
        raise ValueError(
            f"The run in '{directory.path}' has metrics of several epochs and no checkpoint in "
            f"'{directory.checkpoints}': put it back there, or start anew with --overwrite."
        )
    directory.keep_metrics_until(position.step)
    if restored is None:
        return "at the start, as the run has no checkpoint yet"
    return f"after {position.step} of {position.total_steps} steps, from {restored}"


@contextlib.contextmanager
def _failures_named(position: Position, directory: RunDirectory) -> Iterator[None]:
    """Turns what the machine refuses a run into one kind of error that tells how to go on."""
    try:
        yield
    except TooManyBadExamples as error:
        raise TrainingFailed(
            str(error), position.step, position.total_steps, directory.path
        ) from error
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow tells of the operation before and after the line that says what is wrong.
        line = str(error).partition("\n\t [[")[0].strip().splitlines()[-1]
        reason = _OPERATION.sub("", line).rstrip(".") + "."
        raise TrainingFailed(reason, position.step, position.total_steps, directory.path) from error


def _finish(
    model: TrainingModel, config: TrainConfig, directory: RunDirectory, start: float
) -> TrainResult:
    """Writes what a finished run leaves."""
    model.save_tested_weights(directory.final_weights)
    metrics = directory.read_metrics()
    draw_curve(metrics, f"{config.model}, {config.stage}, on {config.dataset}", directory.curve_png)
    rates = [line["images_per_second"] for line in metrics if line["images_per_second"]]
    result = TrainResult(
        model=config.model,
        stage=config.stage,
        dataset=config.dataset,
        parameters=_count_parameters(model),
        epochs=config.epochs,
        test_accuracy=metrics[-1]["test_accuracy"],
        test_loss=metrics[-1]["test_loss"],
        images_per_second=statistics.median(rates) if rates else None,
        wall_time_s=time.perf_counter() - start,
        directory=directory.path,
    )
    directory.write_result(result)
    return result


def _fit(
    model: keras.Model,
    config: TrainConfig,
    dataset: Dataset,
    steps: int,
    position: Position,
    after_steps: list[keras.callbacks.Callback],
    bad: BadExamples,
    bad_in_test: BadExamples,
) -> None:
    """Trains from the run's position to its end; an epoch that has begun is first completed."""
    test = evaluation_batches(dataset.test, config, bad_in_test)
    epoch, steps_done = divmod(position.step, steps)
    parts = [(epoch, epoch + 1, steps - steps_done)] if steps_done else []
    parts.append((epoch + len(parts), config.epochs, steps))
    for first_epoch, end_epoch, steps_each in parts:
        if first_epoch == end_epoch:
            continue
        model.fit(
            training_batches(dataset.train, config, position.step, bad=bad),
            initial_epoch=first_epoch,
            epochs=end_epoch,
            steps_per_epoch=steps_each,
            validation_data=test,
            shuffle=False,  # The batches come in their order.
            callbacks=after_steps,
            verbose=0,
        )


def _count_parameters(model: keras.Model) -> int:
    return sum(int(variable.value.shape.num_elements()) for variable in model.trainable_weights)


def _name(strategy: tf.distribute.Strategy) -> str:
    return type(strategy).__name__.strip("_")


def _record(
    config: TrainConfig,
    model: keras.Model,
    dataset: Dataset,
    steps: int,
    strategy: tf.distribute.Strategy,
) -> dict[str, Any]:
    """What `config.json` says: settings, what they led to, and what made the run."""
    return {
        "config": dataclasses.asdict(config),
        "resolved": {
            "parameters": _count_parameters(model),
            "train_images": len(dataset.train),
            "test_images": len(dataset.test),
            "class_names": dataset.class_names,
            "steps_per_epoch": steps,
            "optimizer": model.optimizer.name,
            "jit_compile": model.jit_compile,
            "precision": config.precision,
            "strategy": _name(strategy),
            "replicas": strategy.num_replicas_in_sync,
            "devices": provenance.devices(),
        },
        "versions": provenance.versions(),
        "git_revision": provenance.git_revision(),
        "command": provenance.command(),
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _print_start(
    console: rich.console.Console,
    config: TrainConfig,
    model: keras.Model,
    dataset: Dataset,
    steps: int,
    strategy: tf.distribute.Strategy,
    directory: RunDirectory,
) -> None:
    size = config.image_size
    lines = {
        "model": f"{config.model}, {config.stage}, {_count_parameters(model):,} parameters",
        "dataset": f"{config.dataset}, {len(dataset.train):,} training and {len(dataset.test):,} "
        f"test images, at {size}x{size}",
        "steps": f"{_counted(config.epochs, 'epoch')} of {_counted(steps, 'step')}, "
        f"global batch {config.batch_size}",
        "rate": f"{config.optimizer}, {config.schedule} from {config.learning_rate}",
        "compute": f"{_counted(strategy.num_replicas_in_sync, 'replica')} ({_name(strategy)}), "
        f"{config.precision}, jit_compile {model.jit_compile}",
        "files": str(directory.path),
    }
    for name, text in lines.items():
        console.print(f"{name:<9}{text}", markup=False)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
