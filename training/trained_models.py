"""What a checkpoint is of, and the model with its weights.

Nothing heavy is imported before a model is made, so that the command line can refuse at once.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import models
from . import preprocessing as preprocessings
from . import run_directory
from .datasets import Dataset, load_dataset
from .recipes import DEMO, TrainConfig

if TYPE_CHECKING:
    import keras

    from ..checkpoints.fitting import Ema

# What measuring takes over from the run, and what of that is about the run's dataset alone.
_READING = ("dataset", "batch_size", "max_bad_fraction")
_WHERE = ("data_dir", "labels_offset")

# TF-Slim's datasets come with a labels.txt of such lines: "0:daisy".
_NUMBERED = re.compile(r"(\d+):(.+)")


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
        labels: A file with a class name a line, or with TF-Slim's lines `number:name`; the names
            of the run if None.
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
    run, class_names = _run_of(checkpoint)
    if run_directory.is_run(checkpoint):
        checkpoint = _weights_of(run_directory.RunDirectory(checkpoint))
    name = _model_of(checkpoint, model, run)
    variant = models.get_variant(name)
    num_classes = options.pop("num_classes", len(class_names or ()) or variant.num_classes)
    if not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes={num_classes!r} is not allowed: it has to be 1 or more.")
    if labels is not None:
        class_names = read_labels(labels, num_classes)
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
    )


def read_labels(path: pathlib.Path, num_classes: int) -> tuple[str, ...]:
    """Reads the names of classes.

    Args:
        path: A text file with a name a line, in the classes' order, or with TF-Slim's lines
            `number:name`, in any order.
        num_classes: How many there have to be.

    Returns:
        `num_classes` names.

    Raises:
        ValueError: There are more or fewer names, or a number is missing.
        OSError: The file can't be read.
    """
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"'{path}' is not a text in UTF-8: a class name a line it takes."
        ) from error
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if lines and all(numbered):
        names = {int(match[1]): match[2].strip() for match in numbered}
        if len(names) < len(lines) or set(names) != set(range(len(names))):
            raise ValueError(
                f"'{path}' numbers its {len(lines)} classes otherwise than 0 to {len(lines) - 1}, "
                "each once."
            )
        lines = [names[number] for number in range(len(names))]
    if len(lines) != num_classes:
        background = (
            " (TF-Slim's class 0 is the background: put a line for it first)"
            if len(lines) == num_classes - 1
            else ""
        )
        raise ValueError(
            f"'{path}' names {len(lines)} classes, and the model has {num_classes}: a line for "
            f"each is needed{background}."
        )
    return tuple(lines)


def data_settings(trained: TrainedModel, **given: Any) -> TrainConfig:
    """The settings by which a dataset is read for a trained model.

    Args:
        trained: The model.
        **given: Fields of `TrainConfig` about data, None for what the user left open: that is as
            in the run, or else the default. Where the data is and its labels' offset are as in the
            run for its own dataset only.

    Returns:
        Settings for `evaluation_batches`; what they say of training means nothing.

    Raises:
        ValueError: No dataset is known, or a setting is out of its range.
    """
    settings = {name: value for name, value in given.items() if value is not None}
    if (run := trained.run) is not None:
        is_the_runs = settings.get("dataset", run.dataset) == run.dataset
        taken = _READING + _WHERE if is_the_runs else _READING
        settings = {name: getattr(run, name) for name in taken} | settings
    if "dataset" not in settings:
        raise ValueError(
            f"'{trained.checkpoint}' is not of a run of `shimzoo train`, which would name a "
            "dataset: pass --dataset NAME."
        )
    settings |= {
        "model": trained.model,
        "stage": trained.stage,
        "image_size": trained.image_size,
        "preprocessing": trained.preprocessing,
    }
    # Fields without a default are about training, except those given.
    training = {
        field.name: getattr(DEMO.config, field.name)
        for field in dataclasses.fields(TrainConfig)
        if field.default is dataclasses.MISSING
    }
    return TrainConfig(**training | settings)


def load_data(trained: TrainedModel, config: TrainConfig) -> Dataset:
    """Loads the dataset that a trained model is to be measured on.

    Args:
        trained: The model.
        config: What `data_settings` gave.

    Returns:
        The dataset.

    Raises:
        ValueError: It has another number of classes than the model.
    """
    dataset = load_dataset(config.dataset, config.data_dir, config.labels_offset)
    if len(dataset.class_names) != trained.num_classes:
        raise ValueError(
            f"{trained.model} from '{trained.checkpoint}' has {trained.num_classes} classes, and "
            f"the dataset {dataset.name} has {len(dataset.class_names)}: choose a dataset of the "
            "model's classes."
        )
    return dataset


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


def _run_of(checkpoint: pathlib.Path) -> tuple[TrainConfig | None, tuple[str, ...] | None]:
    """Settings and class names of the run that has the checkpoint in its directory."""
    path = checkpoint.absolute()
    for directory in (path, path.parent, path.parent.parent):
        if run_directory.is_run(directory):
            found = run_directory.RunDirectory(directory)
            return found.read_config(), found.read_class_names()
    return None, None


def _weights_of(run: run_directory.RunDirectory) -> pathlib.Path:
    if run.final_weights.exists():
        return run.final_weights
    if run.checkpoints.exists():
        return run.checkpoints
    raise FileNotFoundError(
        f"The run in '{run.path}' has no checkpoint yet: it writes the first after its first epoch."
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
