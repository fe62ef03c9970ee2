"""A training run, from its settings to its files: read `train` and then `_train_placed`."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Iterator

import keras
import rich.console

from . import callbacks, loop, measurements, servers, strategies
from .bad_examples import ReportBadExamples
from .checkpointing import Position, RunCheckpoint, newest_step
from .cluster import Cluster
from .continuation import check_same_data
from .curve import draw_curve
from .datasets import load_dataset
from .ema import TestAverages
from .failures import failures_named, losses_named
from .input_check import check_input
from .input_pipeline import steps_per_epoch
from .interruption import stop_on_signals
from .optimizers import check_replicas
from .placement import Placement
from .progress import ProgressBar
from .result import TrainResult
from .run_directory import RunDirectory, choose
from .run_input import RunInput
from .run_record import count_parameters, describe_data, describe_recipe, record, start_lines
from .tensorboard import Profile, show_images
from .train_config import TrainConfig
from .training_model import (
    TrainingModel,
    check_steps_per_execution,
    create_training_model,
    start_from_checkpoint,
)


def train(
    config: TrainConfig,
    *,
    out: pathlib.Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    recipe: str | None = None,
) -> TrainResult | None:
    """Trains a model and writes all about it into a directory.

    The directory gets `config.json`, `metrics.jsonl` (a line an epoch, and some within),
    `tensorboard/`, `checkpoints/` (what a continuation needs), `best.weights.h5` (of the epoch that
    tested best), `final.weights.h5`, `curve.png` and `result.json`. With moving averages, those are
    what is tested and saved as weights.
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
        recipe: Name of the recipe that `config` was made from, whose accuracy is told beside the
            run's; a run that is resumed has its own.

    Returns:
        What the run gave, measured on the test part of the dataset after the last epoch; None in
        all processes of a cluster but its chief.

    Raises:
        ValueError: A setting the model or the dataset can't take, a checkpoint to start from that
            does not fit, or settings or data other than those of the run to resume. Nothing
            is written then, unless it is an image on the way whose class `labels_offset` leaves
            out.
        OSError: The directory can't be used as asked: see `run_directory.choose`.
        MemoryError: The batch is too large for the machine.
        TrainingFailed: The disk was full on the way, or a process was lost; `resume` continues.
        FloatingPointError: The loss is NaN or infinite; names the step and the last checkpoint.
        TrainingInterrupted: SIGINT or SIGTERM; `resume` continues.
    """
    start = time.perf_counter()
    followed = None if recipe is None else describe_recipe(recipe, config)
    resolved = strategies.resolve(config)
    cluster = strategies.find_cluster(resolved)
    is_chief = cluster is None or cluster.is_chief
    if cluster is not None and resolved.strategy == "parameter_server" and not is_chief:
        _tell_of_the_wait(cluster)
        servers.serve_until_the_chief_ends(cluster)
        return None
    console = rich.console.Console(highlight=False, soft_wrap=True, quiet=not is_chief)
    directory = _choose(config, out, resume, overwrite, is_chief)
    if resume and (finished := directory.read_result()) is not None:
        console.print(
            f"The run in '{directory.path}' is finished: there is nothing to resume.", markup=False
        )
        return finished if is_chief else None
    if cluster is not None:
        _tell_of_the_wait(cluster)
    with losses_named(cluster):
        placement = strategies.place(resolved, cluster)
        return _train_placed(
            config, placement, directory, resume, overwrite, followed, console, start
        )


def _train_placed(
    config: TrainConfig,
    placement: Placement,
    directory: RunDirectory,
    resume: bool,
    overwrite: bool,
    followed: dict[str, str | None] | None,
    console: rich.console.Console,
    start: float,
) -> TrainResult | None:
    """What a run does once its processes have met."""
    is_chief = placement.is_chief
    placement.check_same_settings({**dataclasses.asdict(config), "resume": resume})
    check_replicas(config, placement.strategy.num_replicas_in_sync)

    with placement.all_have_to_succeed("load its data"):
        dataset = load_dataset(config.dataset, config.data_dir, config.labels_offset)
        data = describe_data(dataset)
        if resume and directory.config_json.exists():
            check_same_data(directory.read_resolved(), data, directory.path)
        steps = steps_per_epoch(config, len(dataset.train))
        check_steps_per_execution(config, steps)
        check_input(dataset, config)
        run_input = RunInput(dataset, config, placement)
    placement.check_same_data(data)
    if resume:  # Before anything is restored, as values of all processes are restored by all.
        placement.check_same_step(newest_step(directory.checkpoints))
    keras.utils.set_random_seed(config.seed)
    with placement.strategy.scope():
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
        model = create_training_model(
            config, len(dataset.class_names), steps * config.batch_size * config.epochs, accuracy
        )
    start_from = None if resume else start_from_checkpoint(model, config)
    with _written(directory, is_chief) as written, written.in_use():
        if not resume:
            written.create(record(config, model, dataset, steps, placement, followed), overwrite)
        position = Position(steps, config.epochs, [model.metrics[0], accuracy])
        checkpoint = RunCheckpoint(
            model,
            position,
            written.checkpoints,
            config.keep,
            directory.checkpoints,
            functools.partial(_before_save, placement, position, run_input),
        )
        origin = _restore(checkpoint, position, directory, written) if resume else None
        run_input.take_up_bad(position.step, position.bad)
        if resume and is_chief:
            directory.record_settings(config)
        if resume and not position.step:
            start_from = start_from_checkpoint(model, config)
        placement.check_same_step(position.step)
        told = start_lines(config, model, dataset, steps, placement)
        told["files"] = str(directory.path)
        if is_chief and (expected := directory.read_expected()) is not None:
            told["expected"] = f"test accuracy {expected}"
        for name, text in (*told.items(), ("weights", start_from), ("resumed", origin)):
            if text:
                console.print(f"{name:<9}{text}", markup=False)

        throughput = measurements.Throughput(position, config.batch_size, run_input.timing)
        bar = ProgressBar(console, position, throughput, config.epochs)
        profile = Profile(position, config, written.tensorboard)
        signals = stop_on_signals(placement.stop_request)
        with signals as request, failures_named(position, directory, config, placement.cluster):
            bad_loss = callbacks.StopOnBadLoss(
                position, config.learning_rate, checkpoint, directory
            )
            called = [
                callbacks.CountSteps(position),
                ReportBadExamples(
                    run_input.bad,
                    run_input.bad_in_test,
                    position,
                    placement.union,
                    _print_from_any_process,
                ),
                callbacks.ShareStatistics(),
                bad_loss,
                throughput,
                measurements.LogSteps(
                    written, position, throughput, config.batch_size, config.log_every
                ),
                bar,
                profile,
                callbacks.SaveCheckpoints(
                    checkpoint,
                    position,
                    request,
                    bad_loss,
                    throughput,
                    directory,
                    config.save_every,
                ),
                *([TestAverages(model.averages)] if model.averages is not None else []),
                callbacks.KeepBest(model, written),
                keras.callbacks.TensorBoard(str(written.tensorboard), write_graph=False),
                measurements.LogMetrics(written, position, throughput, config.batch_size),
            ]
            if not position.step:
                show_images(run_input.first(), written.tensorboard / "train")
            with bar, profile:
                _fit(model, config, position, placement, run_input, called)
            result = _finish(model, config, written, start)
            placement.wait_for_all()
            return dataclasses.replace(result, directory=directory.path) if is_chief else None


def _tell_of_the_wait(cluster: Cluster) -> None:
    _print_from_any_process(
        f"cluster  waiting for the {cluster.num_tasks} tasks of {cluster.origin}"
    )


def _print_from_any_process(line: str) -> None:
    """Shows what only this process may know."""
    rich.console.Console(highlight=False, soft_wrap=True).print(line, markup=False)


def _choose(
    config: TrainConfig,
    out: pathlib.Path | str | None,
    resume: bool,
    overwrite: bool,
    is_chief: bool,
) -> RunDirectory:
    """The run's directory, which only the chief writes into; the others read it to resume."""
    if is_chief or out is None:
        return choose(config, out, resume, overwrite)
    return RunDirectory(out)


@contextlib.contextmanager
def _written(directory: RunDirectory, is_chief: bool) -> Iterator[RunDirectory]:
    """Where this process writes.

    Values of variables that all processes have a part of are gathered from all of them, so each has
    to save when the chief does; what the others write is of no use.
    """
    if is_chief:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="shimzoo-worker-") as folder:
        yield RunDirectory(folder)


def _before_save(placement: Placement, position: Position, run_input: RunInput) -> None:
    """Makes the run's position whole; called by all processes, as they save together."""
    placement.finish_steps()
    position.bad = placement.union(run_input.bad_until(position.step))


def _restore(
    checkpoint: RunCheckpoint, position: Position, directory: RunDirectory, written: RunDirectory
) -> str:
    """Puts the run back to where it was; returns where that is, for the user."""
    lines = directory.read_lines()
    tested = {int(line["step"]) for line in lines if "epoch" in line}
    restored = checkpoint.restore(tested)
    if restored is None and tested:
        raise ValueError(
            f"The run in '{directory.path}' has metrics of whole epochs and no checkpoint in "
            f"'{directory.checkpoints}': put it back there, or start anew with --overwrite."
        )
    written.keep_metrics_until(position.step, lines)
    if restored is None:
        return "at the start, as the run has no checkpoint yet"
    position.awaits_test = not position.is_mid_epoch and position.step not in tested
    return f"after {position.step} of {position.total_steps} steps, from {restored}"


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
        parameters=count_parameters(model),
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
    model: TrainingModel,
    config: TrainConfig,
    position: Position,
    placement: Placement,
    run_input: RunInput,
    called: list[keras.callbacks.Callback],
) -> None:
    """Trains from the run's position to its end; an epoch that has begun is first completed."""
    steps, test = position.total_steps // config.epochs, run_input.test()
    if position.awaits_test:
        loop.test_epoch(
            model,
            placement,
            functools.partial(run_input.training, position.step),
            epoch=position.step // steps - 1,
            training_logs=position.finish_metrics,
            validation_batches=test,
            callbacks=called,
        )
        position.awaits_test = False
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
                functools.partial(run_input.training, position.step),
                initial_epoch=first_epoch,
                epochs=end_epoch,
                steps_per_epoch=steps_each,
                validation_batches=test,
                count_bad=run_input.bad.count_unnamed,
                callbacks=called,
            )
            continue
        model.fit(
            run_input.training(position.step),
            initial_epoch=first_epoch,
            epochs=end_epoch,
            steps_per_epoch=steps_each,
            validation_data=test,
            shuffle=False,  # The batches come in their order.
            callbacks=called,
            verbose=0,
        )
