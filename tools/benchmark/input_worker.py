"""A contender of `input`, in its own process: called with its name, settings and a folder."""

from __future__ import annotations

import dataclasses
import functools
import platform
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .input_settings import OURS, PHOTOGRAPHS, InputSettings
from .throughput_worker import pin
from .worker import Task, serve

if TYPE_CHECKING:
    import tensorflow as tf

    from ...training.datasets import Dataset

# How long a timed run takes, at least.
_RUN_S = 1.0
# Batches that a pipeline has begun at any time: three, and one that is waiting.
_MOST_UNDER_WAY = 4
# The model is of no matter: it is never made.
_MODEL = "inception_v3"


def tasks_of(contender: str, settings: InputSettings, folder: str) -> dict[str, Task]:
    """What a contender is asked for, by name.

    Args:
        contender: `OURS` or `TEXTBOOK`.
        settings: what is measured.
        folder: where the photographs are.
    """
    import tensorflow as tf

    from ...training.datasets import load_dataset

    name = settings.dataset
    if name == PHOTOGRAPHS:
        name = f"folder:{folder}"
    dataset = load_dataset(name, settings.data_dir)
    make = _ours if contender == OURS else _textbook
    pipelines = make(dataset, dataclasses.replace(settings, dataset=name))
    tasks: dict[str, Task] = {
        measure: functools.partial(_rate_of_a_core, batches, settings.threads)
        for measure, batches in pipelines.items()
    }
    tasks["facts"] = lambda: {"python": platform.python_version(), "tensorflow": tf.__version__}
    return tasks


def _rate_of_a_core(make: Callable[[], Any], threads: int) -> float:
    return images_a_second(make) / threads


def _ours(dataset: Dataset, settings: InputSettings) -> dict[str, Callable[[], Any]]:
    from ...training import input_pipeline
    from ...training.input_check import check_input
    from ...training.train_config import TrainConfig
    from . import textbook_input

    config = TrainConfig(
        model=_MODEL,
        dataset=settings.dataset,
        data_dir=settings.data_dir,
        preprocessing=settings.preprocessing,
        image_size=settings.image_size,
        batch_size=settings.batch_size,
        epochs=1_000_000,
        learning_rate=0.1,
        weight_decay=0.0,
    )
    check_input(dataset, config)
    return {
        "decode": lambda: textbook_input.decoded(dataset.train).map(_as_batch),
        "evaluate": lambda: input_pipeline.evaluation_batches(dataset.train, config),
        "train": lambda: input_pipeline.training_batches(dataset.train, config),
    }


def _textbook(dataset: Dataset, settings: InputSettings) -> dict[str, Callable[[], Any]]:
    from . import textbook_input

    given = settings.preprocessing, settings.image_size, settings.batch_size
    return {
        "evaluate": lambda: textbook_input.evaluation_batches(dataset.train, *given),
        "train": lambda: textbook_input.training_batches(dataset.train, *given),
    }


def _as_batch(image: tf.Tensor) -> tuple[tf.Tensor, int]:
    return image[None], 0


def images_a_second(make: Callable[[], tf.data.Dataset]) -> float:
    """How many images a pipeline gives in a second, once it runs.

    A new iterator each time, as what one prepares while nobody asks for it would count for nothing;
    and without its first batches, when fewer are under way than later on.

    Args:
        make: makes the dataset of batches, images first.
    """
    batches = iter(make().repeat())
    for _ in range(_MOST_UNDER_WAY):
        next(batches)
    images, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < _RUN_S or not images:
        images += next(batches)[0].shape[0]
    return images / elapsed


if __name__ == "__main__":
    given = InputSettings.from_json(sys.argv[2])
    pin(given.threads)
    serve(lambda: tasks_of(sys.argv[1], given, sys.argv[3]))
