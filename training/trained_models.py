"""What a checkpoint is of, and the model with its weights.

Nothing heavy is imported before a model is made, so that the command line can refuse at once.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import models
from . import preprocessing as preprocessings
from . import run_directory
from .datasets import read_class_names
from .train_config import TrainConfig

if TYPE_CHECKING:
    import keras

    from ..checkpoints.fitting import Ema


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A checkpoint and all that is needed to use it.

    Args:
        checkpoint: What `checkpoints.restore` takes.
        model: A name as in `models.list_models`.
        stage: One of `models.STAGES`; any checkpoint loads in any of them.
        image_size: Height and width of the images, in pixels.
        preprocessing: One of `preprocessing.PREPROCESSINGS`.
        num_classes: Classes of its head.
        options: More options of the model.
        class_names: What the classes stand for, `num_classes` of them; None if that isn't known.
        ema: Whether moving averages are taken for the weights, as in `checkpoints.restore`.
        run: The settings of the run that wrote the checkpoint; None if no run did.
        recorded: What that run found at its start, "resolved" in its `config.json`, such as class
            names and fingerprints of its data; empty without a run.
    """

    checkpoint: pathlib.Path
    model: str
    stage: str
    image_size: int
    preprocessing: str
    num_classes: int
    options: Mapping[str, Any]
    class_names: tuple[str, ...] | None
    ema: Ema
    run: TrainConfig | None
    recorded: Mapping[str, Any]


def find(
    checkpoint: pathlib.Path,
    *,
    model: str | None = None,
    stage: str | None = None,
    image_size: int | None = None,
    preprocessing: str | None = None,
    labels: pathlib.Path | None = None,
    ema: Ema = "auto",
    options: Mapping[str, Any] | None = None,
) -> TrainedModel:
    """Finds out what a checkpoint is of, and reads no weights yet.

    What a run of `shimzoo train` wrote is described by its `config.json`.

    Args:
        checkpoint: What `checkpoints.restore` takes; the directory of a run stands for its final
            weights or, while it is unfinished, its newest checkpoint.
        model: The model's name; needed where no run wrote the checkpoint.
        stage: One of `models.STAGES`; that of the run, else "native", if None.
        image_size: Height and width of the images, in pixels; the run's, else the model's own.
        preprocessing: One of `preprocessing.PREPROCESSINGS`; the run's, else the model's own, if
            None.
        labels: A file of class names, as `datasets.read_class_names` takes it; the names of the
            run if None.
        ema: As in `checkpoints.restore`.
        options: More options of the model; `num_classes` is the run's, else the model's own.

    Returns:
        The description.

    Raises:
        ValueError: It isn't known what the checkpoint is of, or a setting that does not suit it.
        FileNotFoundError: It is a run that has no checkpoint yet.
        OSError: The file of labels can't be read.
    """
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size={image_size} is not allowed: it has to be 1 or more.")
    options = dict(options or {})
    directory = _run_of(checkpoint)
    run = None if directory is None else directory.read_config()
    class_names = None if directory is None else directory.read_class_names()
    recorded = {} if directory is None else directory.read_resolved()
    if run_directory.is_run(checkpoint):
        checkpoint = _weights_of(run_directory.RunDirectory(checkpoint))
    name = _model_of(checkpoint, model, run)
    variant = models.get_variant(name)
    num_classes = options.pop("num_classes", len(class_names or ()) or variant.num_classes)
    if not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes={num_classes!r} is not allowed: it has to be 1 or more.")
    if labels is not None:
        class_names = _class_names_in(labels, num_classes)
    stage = stage or (run.stage if run else "native")
    models.check_stage(stage)
    image_size = image_size or (run.image_size if run else variant.input_size)
    preprocessing = preprocessing or (run and run.preprocessing) or variant.preprocessing
    preprocessings.check(preprocessing, image_size)
    return TrainedModel(
        checkpoint=checkpoint,
        model=name,
        stage=stage,
        image_size=image_size,
        preprocessing=preprocessing,
        num_classes=num_classes,
        options=options,
        class_names=class_names,
        ema=ema,
        run=run,
        recorded=recorded,
    )


def load(trained: TrainedModel) -> tuple[keras.Model, str]:
    """Makes the model with its weights.

    Args:
        trained: What `find` gave.

    Returns:
        The model, and what was restored, in words.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The checkpoint is damaged or does not fit, or the model refuses an option.
    """
    from .. import checkpoints
    from ..checkpoints import locating

    locating.locate(trained.checkpoint)
    try:
        model = models.create(
            trained.model,
            trained.stage,
            input_size=trained.image_size,
            num_classes=trained.num_classes,
            **trained.options,
        )
    except TypeError as error:
        raise ValueError(f"{trained.model} does not take these options: {error}.") from error
    report = checkpoints.restore(model, trained.checkpoint, ema=trained.ema)
    averages = ", moving averages" if report.is_averaged else ""
    return model, f"{report.path} ({report.format}{averages})"


def _run_of(checkpoint: pathlib.Path) -> run_directory.RunDirectory | None:
    """The run that has the checkpoint in its directory."""
    path = checkpoint.absolute()
    for directory in (path, path.parent, path.parent.parent):
        if run_directory.is_run(directory):
            return run_directory.RunDirectory(directory)
    return None


def _class_names_in(path: pathlib.Path, num_classes: int) -> tuple[str, ...]:
    names = read_class_names(path)
    if len(names) == num_classes:
        return names
    background = (
        " (TF-Slim's class 0 is the background: put a line for it first)"
        if len(names) == num_classes - 1
        else ""
    )
    raise ValueError(
        f"'{path}' names {len(names)} classes, and the model has {num_classes}: a line for each is "
        f"needed{background}."
    )


def _weights_of(run: run_directory.RunDirectory) -> pathlib.Path:
    if run.final_weights.exists():
        return run.final_weights
    if run.checkpoints.exists():
        return run.checkpoints
    raise FileNotFoundError(
        f"The run in '{run.path}' has no checkpoint yet: it writes the first after "
        "`--save-every` seconds, or at the end of its first epoch."
    )


def _model_of(checkpoint: pathlib.Path, asked: str | None, run: TrainConfig | None) -> str:
    if run is None and asked is None:
        raise ValueError(
            f"'{checkpoint}' is not of a run of `shimzoo train`, which would name the model: pass "
            f"--model NAME; `shimzoo inspect {shlex.quote(str(checkpoint))}` tells which fit."
        )
    if run is not None and asked not in (None, run.model):
        raise ValueError(
            f"'{checkpoint}' is of a run that trained {run.model}, and --model is {asked}: leave "
            "--model out."
        )
    return asked or run.model
