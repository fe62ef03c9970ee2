"""A training run, from its settings to its files: read `train` and then `_train_placed`."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Mapping

import keras
import rich.console

from . import servers, strategies
from .checkpointing import Position, newest_step
from .cluster import Cluster
from .console import make_console, tell
from .continuation import check_same_data
from .datasets import Dataset, load_dataset
from .failures import failures_named, losses_named
from .fitting import fit
from .input_check import check_input
from .input_pipeline import steps_per_epoch
from .interruption import stop_on_signals
from .measurements import Throughput
from .ongoing import OngoingRun
from .optimizers import check_replicas
from .placement import Placement
from .progress import ProgressBar
from .result import TrainResult
from .resuming import checkpoint_of, go_on
from .run_callbacks import run_callbacks
from .run_directory import RunDirectory, choose
from .run_end import finish
from .run_input import RunInput
from .run_record import describe_data, describe_recipe, record, start_lines
from .tensorboard import Profile, show_images
from .train_config import TrainConfig
from .training_model import (
    TrainingModel,
    check_steps_per_execution,
    create_training_model,
    start_from_checkpoint,
)
from .writing import place_to_write


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
            an uninterrupted run, dropout included, as long as strategy and number of replicas are
            the same; where "auto" or a cluster leads to others, a line says so. A finished run is
            left as it is, and its result returned.
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
            out, or too many whose label is none of the classes, as labels seem to begin at 1.
        OSError: The directory can't be used as asked: see `run_directory.choose`.
        MemoryError: The batch is too large for the machine.
        TrainingFailed: The disk was full on the way, checkpoints could not be read, or a process
            was lost; `resume` continues.
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
    console = make_console(is_quiet=not is_chief)
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
        asked = _Asked(config, directory, resume, overwrite, followed, console, start)
        return _train_placed(asked, placement)


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What `train` was asked for, as far as it got before the processes met."""

    config: TrainConfig
    directory: RunDirectory
    resume: bool
    overwrite: bool
    recipe: dict[str, str | None] | None
    console: rich.console.Console
    start: float


def _train_placed(asked: _Asked, placement: Placement) -> TrainResult | None:
    """What a run does once its processes have met."""
    config, directory = asked.config, asked.directory
    placement.check_same_settings({**dataclasses.asdict(config), "resume": asked.resume})
    check_replicas(config, placement.strategy.num_replicas_in_sync)
    dataset, run_input = _load(asked, placement)
    steps = steps_per_epoch(config, len(dataset.train))
    model, position = _make(config, dataset, steps, placement)
    start_from = None if asked.resume else start_from_checkpoint(model, config)
    with place_to_write(directory, placement.is_chief) as written:
        run = OngoingRun(
            config=config,
            placement=placement,
            dataset=dataset,
            steps_per_epoch=steps,
            input=run_input,
            model=model,
            position=position,
            directory=directory,
            written=written,
        )
        checkpoint = checkpoint_of(run)
        resumed: dict[str, str | None] = {}
        if asked.resume:
            resumed = go_on(run, checkpoint)
            if not position.step:
                start_from = start_from_checkpoint(model, config)
        else:
            made = record(config, model, dataset, steps, placement, asked.recipe)
            written.create(made, asked.overwrite)
        placement.check_same_step(position.step)
        _tell_of_the_start(run, asked.console, {"weights": start_from, **resumed})

        throughput = Throughput(position, config.batch_size, run_input.timing)
        bar = ProgressBar(asked.console, position, throughput, config.epochs)
        profile = Profile(position, config, written.tensorboard)
        signals = stop_on_signals(placement.stop_request)
        with signals, failures_named(position, directory, config, placement.cluster):
            called = run_callbacks(run, checkpoint, throughput, bar, profile)
            if not position.step:
                show_images(run_input.first(), written.tensorboard / "train")
            with bar, profile:
                fit(run, called)
            return finish(run, asked.start)


def _load(asked: _Asked, placement: Placement) -> tuple[Dataset, RunInput]:
    """Loads what a run is trained on, which all its processes have to find alike."""
    config, directory = asked.config, asked.directory
    with placement.all_have_to_succeed("load its data"):
        dataset = load_dataset(config.dataset, config.data_dir, config.labels_offset)
        data = describe_data(dataset)
        if asked.resume and directory.config_json.exists():
            check_same_data(directory.read_resolved(), data, directory.path)
        check_steps_per_execution(config, steps_per_epoch(config, len(dataset.train)))
        check_input(dataset, config)
        run_input = RunInput(dataset, config, placement)
    placement.check_same_data(data)
    if asked.resume:  # Before anything is restored, as values of all processes are restored by all.
        placement.check_same_step(newest_step(directory.checkpoints))
    return dataset, run_input


def _make(
    config: TrainConfig, dataset: Dataset, steps: int, placement: Placement
) -> tuple[TrainingModel, Position]:
    """Makes a run's model, and its position at its start."""
    keras.utils.set_random_seed(config.seed)
    with placement.strategy.scope():
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
        model = create_training_model(
            config, len(dataset.class_names), steps * config.batch_size * config.epochs, accuracy
        )
    return model, Position(steps, config.epochs, [model.metrics[0], accuracy])


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


def _tell_of_the_wait(cluster: Cluster) -> None:
    tell(f"cluster  waiting for the {cluster.num_tasks} tasks of {cluster.origin}")


def _tell_of_the_start(
    run: OngoingRun, console: rich.console.Console, more: Mapping[str, str | None]
) -> None:
    lines = start_lines(run.config, run.model, run.dataset, run.steps_per_epoch, run.placement)
    told = {**lines, "files": str(run.directory.path)}
    if run.placement.is_chief and (expected := run.directory.read_expected()) is not None:
        told["expected"] = f"test accuracy {expected}"
    for name, text in {**told, **more}.items():
        if text:
            console.print(f"{name:<9}{text}", markup=False)
