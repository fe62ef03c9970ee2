"""A training run, from its settings to its files: read `train` from top to bottom."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import pathlib
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import keras
import rich.console
import tensorflow as tf

from .. import checkpoints, models
from . import callbacks, loop, provenance, servers, strategies
from .checkpointing import Position, RunCheckpoint
from .clusters import Cluster
from .curve import draw_curve
from .datasets import Dataset, load_dataset
from .input_pipeline import evaluation_batches, steps_per_epoch, training_batches
from .interruption import TrainingFailed, stop_on_signals
from .progress import ProgressBar
from .recipes import TrainConfig
from .result import TrainResult
from .run_directory import RunDirectory, choose
from .strategies import Placement

# In that line: the operation that failed.
_OPERATION = re.compile(r"^\{\{.*?\}\} | \[Op:\w+\].*$")


def train(
    config: TrainConfig,
    *,
    out: pathlib.Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> TrainResult | None:
    """Trains a model and writes all about it into a directory.

    The directory gets `config.json`, `metrics.jsonl` (a line an epoch), `tensorboard/`,
    `checkpoints/` (what a continuation needs), `final.weights.h5`, `curve.png` and `result.json`.
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
        What the run gave, measured on the test part of the dataset after the last epoch; None in
        a task of a cluster that only served the chief.

    Raises:
        ValueError: A setting the model or the dataset can't take, or settings other than those of
            the run to resume. Nothing is written then.
        OSError: The directory can't be used as asked: see `run_directory.choose`.
        TrainingFailed: The disk or the memory was full on the way; `resume` continues.
        FloatingPointError: The loss is NaN or infinite; names the step.
        TrainingInterrupted: SIGINT or SIGTERM; `resume` continues.
    """
    start = time.perf_counter()
    resolved = strategies.resolve(config)
    cluster = strategies.find_cluster(resolved)
    if cluster is not None and resolved.strategy == "parameter_server" and not cluster.is_chief:
        servers.serve_until_the_chief_ends(cluster)
        return None
    is_chief = cluster is None or cluster.is_chief
    console = rich.console.Console(highlight=False, soft_wrap=True, quiet=not is_chief)
    directory = _choose(config, out, resume, overwrite, cluster)
    if resume and (finished := directory.read_result()) is not None:
        console.print(f"The run in '{directory.path}' is finished: there is nothing to resume.")
        return finished
    if cluster is not None:
        console.print(f"cluster  waiting for the {cluster.num_tasks} tasks of {cluster.origin}")
    placement = strategies.place(resolved, cluster)

    dataset = load_dataset(config.dataset)
    steps = steps_per_epoch(config, len(dataset.train))
    keras.utils.set_random_seed(config.seed)
    with placement.strategy.scope():
        model = _create_model(config, dataset)
        accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        _compile(model, config, steps, accuracy)
        # Now, as a checkpoint can only be restored into variables that are there.
        model.optimizer.build(model.trainable_variables)
    with _written(directory, placement) as written, written.in_use():
        if not resume:
            written.create(_record(config, model, dataset, steps, placement))
        position = Position(steps, config.epochs, [model.metrics[0], accuracy])
        checkpoint = RunCheckpoint(model, position, written.checkpoints, directory.checkpoints)
        origin = _restore(checkpoint, position, directory, written) if resume else None
        placement.check_agreement(config, position.step)
        _print_start(console, config, model, dataset, steps, placement, directory)
        if origin:
            console.print(f"resumed  {origin}", markup=False)

        throughput = callbacks.Throughput(config.batch_size)
        bar = ProgressBar(console, position, throughput, config.epochs)
        signals = stop_on_signals(placement.agree_on_signal)
        with signals as request, _failures_named(position, directory):
            after_steps = [
                callbacks.CountSteps(position),
                callbacks.ShareStatistics(),
                callbacks.StopOnBadLoss(position, config.learning_rate, directory),
                throughput,
                callbacks.LogMetrics(written, position, throughput, config.batch_size),
                keras.callbacks.TensorBoard(str(written.tensorboard), write_graph=False),
                bar,
                callbacks.SaveCheckpoints(checkpoint, position, request, directory),
            ]
            with bar:
                _fit(model, config, dataset, steps, position, placement, after_steps)
            result = _finish(model, config, written, start)
            placement.wait_for_all()
            return dataclasses.replace(result, directory=directory.path)


def _choose(
    config: TrainConfig,
    out: pathlib.Path | str | None,
    resume: bool,
    overwrite: bool,
    cluster: Cluster | None,
) -> RunDirectory:
    """The run's directory, which only the chief writes into; the others read it to resume."""
    if cluster is None or cluster.is_chief or out is None:
        return choose(config, out, resume, overwrite)
    return RunDirectory(out)


@contextlib.contextmanager
def _written(directory: RunDirectory, placement: Placement) -> Iterator[RunDirectory]:
    """Where this process writes.

    Values of variables that all processes have a part of are gathered from all of them, so each has
    to save when the chief does; what the others write is of no use.
    """
    if placement.is_chief:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="shimzoo-worker-") as folder:
        yield RunDirectory(folder)


def _restore(
    checkpoint: RunCheckpoint, position: Position, directory: RunDirectory, written: RunDirectory
) -> str:
    """Puts the run back to where it was; returns where that is, for the user."""
    restored = checkpoint.restore()
    # Killed between the first epoch's line and its checkpoint, a run starts over.
    if restored is None and len(directory.read_metrics()) > 1:
        raise ValueError(
            f"The run in '{directory.path}' has metrics of several epochs and no checkpoint in "
            f"'{directory.checkpoints}': put it back there, or start anew with --overwrite."
        )
    written.keep_metrics_until(position.step, directory.read_metrics())
    if restored is None:
        return "at the start, as the run has no checkpoint yet"
    return f"after {position.step} of {position.total_steps} steps, from {restored}"


@contextlib.contextmanager
def _failures_named(position: Position, directory: RunDirectory) -> Iterator[None]:
    """Turns what the machine refuses a run into one kind of error that tells how to go on."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow tells of the operation before and after the line that says what is wrong.
        line = str(error).partition("\n\t [[")[0].strip().splitlines()[-1]
        reason = _OPERATION.sub("", line).rstrip(".") + "."
        raise TrainingFailed(reason, position.step, position.total_steps, directory.path) from error


def _finish(
    model: keras.Model, config: TrainConfig, directory: RunDirectory, start: float
) -> TrainResult:
    """Writes what a finished run leaves."""
    checkpoints.save(model, directory.final_weights, format="h5")
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


def _create_model(config: TrainConfig, dataset: Dataset) -> keras.Model:
    model = models.create(
        config.model,
        config.stage,
        num_classes=len(dataset.class_names),
        input_size=config.image_size,
        weight_decay=config.weight_decay,
        dropout_keep_prob=config.dropout_keep_prob,
        batch_norm_decay=config.batch_norm_decay,
    )
    if config.sync_batch_norm:
        strategies.synchronize_batch_norm(model)
    return model


def _compile(
    model: keras.Model, config: TrainConfig, steps: int, accuracy: keras.metrics.Metric
) -> None:
    warmup_steps = config.warmup_examples // config.batch_size
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=config.learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=max(steps * config.epochs - warmup_steps, 1),
    )
    model.compile(
        optimizer=keras.optimizers.SGD(schedule, momentum=config.momentum, nesterov=True),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[accuracy],
        jit_compile=config.jit_compile,
    )


def _fit(
    model: keras.Model,
    config: TrainConfig,
    dataset: Dataset,
    steps: int,
    position: Position,
    placement: Placement,
    after_steps: list[keras.callbacks.Callback],
) -> None:
    """Trains from the run's position to its end; an epoch that has begun is first completed."""
    test = evaluation_batches(dataset.test, config)
    epoch, steps_done = divmod(position.step, steps)
    parts = [(epoch, epoch + 1, steps - steps_done)] if steps_done else []
    parts.append((epoch + len(parts), config.epochs, steps))
    for first_epoch, end_epoch, steps_each in parts:
        if first_epoch == end_epoch:
            continue
        if not placement.keras_can_fit:
            loop.fit(
                model,
                placement,
                functools.partial(_share, dataset, config, placement, position.step),
                initial_epoch=first_epoch,
                epochs=end_epoch,
                steps_per_epoch=steps_each,
                validation_batches=test,
                callbacks=after_steps,
            )
            continue
        model.fit(
            training_batches(dataset.train, config, position.step),
            initial_epoch=first_epoch,
            epochs=end_epoch,
            steps_per_epoch=steps_each,
            validation_data=test,
            shuffle=False,  # The batches come in their order.
            callbacks=after_steps,
            verbose=0,
        )


def _share(
    dataset: Dataset,
    config: TrainConfig,
    placement: Placement,
    first_step: int,
    num_workers: int,
    worker_index: int,
) -> tf.data.Dataset:
    """A worker's part of the batches from a step on."""
    if placement.name == "parameter_server":
        # A step is one worker's, so that each takes whole batches, and goes on if it is fast.
        config = dataclasses.replace(
            config,
            batch_size=config.batch_size * num_workers,
            epochs=config.epochs * steps_per_epoch(config, len(dataset.train)),
        )
        first_step //= num_workers
    return training_batches(dataset.train, config, first_step, num_workers, worker_index)


def _count_parameters(model: keras.Model) -> int:
    return sum(int(variable.value.shape.num_elements()) for variable in model.trainable_weights)


def _record(
    config: TrainConfig,
    model: keras.Model,
    dataset: Dataset,
    steps: int,
    placement: Placement,
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
            "optimizer": model.optimizer.get_config()["name"],
            "jit_compile": model.jit_compile,
            "precision": keras.config.dtype_policy().name,
            "strategy": placement.name,
            "replicas": placement.strategy.num_replicas_in_sync,
            "cluster": None if placement.cluster is None else dict(placement.cluster.tasks),
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
    placement: Placement,
    directory: RunDirectory,
) -> None:
    size = config.image_size
    lines = {
        "model": f"{config.model}, {config.stage}, {_count_parameters(model):,} parameters",
        "dataset": f"{config.dataset}, {len(dataset.train):,} training and {len(dataset.test):,} "
        f"test images, at {size}x{size}",
        "steps": f"{_counted(config.epochs, 'epoch')} of {_counted(steps, 'step')}, "
        f"global batch {config.batch_size}",
        "compute": f"{placement}, {keras.config.dtype_policy().name}, "
        f"jit_compile {model.jit_compile}",
        "files": str(directory.path),
    }
    for name, text in lines.items():
        console.print(f"{name:<9}{text}", markup=False)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
