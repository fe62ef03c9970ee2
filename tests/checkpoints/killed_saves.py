"""Processes that save a model over and over again, to be killed while they do."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import keras
import numpy as np
from shimzoo import checkpoints


def make_model() -> keras.Model:
    """Big enough for a save to take some milliseconds."""
    inputs = keras.Input([300])
    layers = [keras.layers.Dense(300, name=f"layer_{i}") for i in range(6)]
    outputs = inputs
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs, name="net")


def save_forever(format: str, path: Path, saved_once: Any) -> None:
    """All weights of a save are the same number, another one each time."""
    model, number = make_model(), 0
    while True:
        for weight in model.weights:
            weight.assign(np.full(weight.shape, number))
        checkpoints.save(model, path, format)
        saved_once.set()
        number += 1


def saving_processes(format: str, path: Path, count: int) -> Iterator[BaseProcess]:
    """Processes that save a model to a path, one at a time, each once it has saved for once."""
    context = multiprocessing.get_context("forkserver")
    # What all of them need is imported once; TensorFlow begins to run in each for itself.
    context.set_forkserver_preload([__name__])
    for _ in range(count):
        saved_once = context.Event()
        process = context.Process(target=save_forever, args=(format, path, saved_once))
        process.start()
        assert saved_once.wait(60), "nothing was saved in a minute"
        yield process


def is_left_by(file: Path, path: Path) -> bool:
    """Whether a death may leave this file: of the checkpoint, or a folder beside it for writing."""
    return file.name.startswith((path.name, f".{path.name}."))
