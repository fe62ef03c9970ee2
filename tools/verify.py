"""Whether two models compute the same: versions of the zoo's, or one's own and its migration.

The rungs are the variables, what is computed in evaluation, the regularization losses, what is
computed in training, the moving statistics after it, and the gradients.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import rich.console
import rich.table
import tensorflow as tf

from .. import checkpoints, models
from ..checkpoints.fitting import Rules
from .noise_weights import MOVING, by_name, fill, settle
from .rungs import Rung, compare_arrays, compare_variables

# Of the largest value of what is compared: float32 sums in another order, and sums of those over
# whole batches of maps.
TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 1e-4
# As a share of the largest gradient of all. Smaller ones are compared on this scale: those of what
# a norm takes away again, such as biases before it, are rounding alone.
_LEAST_GRADIENT = 0.03

_BATCH_SIZE = 2
_DECAY = 0.5  # So that old and new moving statistics both count in what is compared.


def compare(
    first: keras.Model,
    second: keras.Model,
    images: np.ndarray,
    *,
    rename: Mapping[str, str] | None = None,
    tolerance: float = TOLERANCE,
    gradient_tolerance: float = GRADIENT_TOLERANCE,
) -> list[Rung]:
    """Compares two models, after giving the second one the weights of the first, by TF1 name.

    Both are called as `model(images, training=...)` and give one tensor. If both have a method
    `end_points(images, training=...)` that gives a dict of tensors, all of these are compared too,
    and gradients are those of all that are called logits, or else of the last. Make the models
    without dropout: they would drop other features.

    Args:
        first: A built model, such as one that runs TF1 code under the shim. Its moving statistics
            are those of a training step afterwards.
        second: Another, such as its migration. Its weights are overwritten.
        images: What they are called with, `[B, ...]`.
        rename: What in the first model is called how in the second, as `checkpoints.restore` takes
            it: `{"Net/": "/"}` for a functional model, whose variables have no scope. Names that
            no rule matches stay.
        tolerance: What two values may differ by, as a share of the largest absolute value.
        gradient_tolerance: Likewise for gradients.

    Returns:
        The rungs, in order. If the variables are not the same, there is no other.

    Raises:
        ValueError: A model has no weights yet, has two of one name, or does not give one tensor; or
            `rename` has what is no regular expression, or makes one name of two.
    """
    for model in (first, second):
        if not model.built:
            raise ValueError(f"{model.name} has no weights yet: call it with images once.")
    weights = [_renamed(by_name(first), Rules(rename)), by_name(second)]
    variables = compare_variables(*weights)
    if not variables.is_equal:
        return [variables]
    for name, weight in weights[0].items():
        weights[1][name].assign(weight)
    start = {name: weight.numpy() for name, weight in weights[0].items()}
    has_end_points = all(hasattr(model, "end_points") for model in (first, second))
    seen = [
        _run(model, named, images, start, has_end_points)
        for model, named in zip((first, second), weights, strict=True)
    ]
    rungs = [variables]
    for name in seen[0]:
        allowed = gradient_tolerance if name == "gradients" else tolerance
        least = _LEAST_GRADIENT if name == "gradients" else 0.0
        rungs.append(compare_arrays(name, seen[0][name], seen[1][name], allowed, least))
    return rungs


def compare_stages(
    name: str,
    stages: Sequence[str] = models.STAGES,
    *,
    checkpoint: str | pathlib.Path | None = None,
    input_size: int | None = None,
    **options: Any,
) -> dict[str, list[Rung]]:
    """Compares versions of a model of the zoo with each other.

    Args:
        name: A name as in `models.list_models`.
        stages: Two or more of `models.STAGES`. The others are compared with the first.
        checkpoint: Where the weights are from, as `checkpoints.restore` takes it; None for noise
            that follows from the variables' names.
        input_size: Height and width of the images, in pixels; the model's own if None.
        **options: The model's options; dropout is off if they don't say otherwise.

    Returns:
        The stage that was compared with the first -> the rungs.

    Raises:
        ValueError: Unknown model or stage, fewer than two stages, an option out of its range, or a
            checkpoint that does not fit.
    """
    if len(set(stages)) != len(stages) or len(stages) < 2:
        raise ValueError(
            f"Name two or all of the stages {', '.join(models.STAGES)} to compare, each once."
        )
    for stage in stages:
        models.check_stage(stage)
    known = {field.name for field in dataclasses.fields(models.default_options(name))}
    quiet = {"dropout_keep_prob": 1.0} if "dropout_keep_prob" in known else {}
    settings: dict[str, Any] = {**quiet, "batch_norm_decay": _DECAY, **options}
    first = models.create(name, stages[0], input_size=input_size, **settings)
    size = models.get_variant(name).input_size if input_size is None else input_size
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (_BATCH_SIZE, size, size, 3)).astype("float32")
    if checkpoint is None:
        fill(first)
        settle(first, images, settings["batch_norm_decay"])
    else:
        checkpoints.restore(first, checkpoint)
    start = {key: weight.numpy() for key, weight in by_name(first).items()}
    found = {}
    for stage in stages[1:]:
        for key, weight in by_name(first).items():
            weight.assign(start[key])
        other = models.create(name, stage, input_size=size, **settings)
        found[stage] = compare(first, other, images)
    return found


def show(
    found: Mapping[str, Sequence[Rung]], first: str, console: rich.console.Console | None = None
) -> None:
    """Prints a table of rungs for each model that was compared with the first.

    Args:
        found: What the other models are called -> their rungs.
        first: What the first model is called.
        console: Where to print; None for standard output.
    """
    console = console or rich.console.Console(highlight=False)
    for other, rungs in found.items():
        table = rich.table.Table(title=f"{first} and {other}", title_justify="left")
        table.add_column("rung", no_wrap=True)
        for heading in ("compared", "largest deviation", "allowed"):
            table.add_column(heading, justify="right")
        table.add_column("where", overflow="fold")
        for rung in rungs:
            deviation = "-" if rung.difference else f"{rung.deviation:.1e}"
            style = "" if rung.is_equal else "red"
            where = rung.difference or rung.worst
            cells = (rung.name, str(rung.compared), deviation, f"{rung.tolerance:.0e}", where)
            table.add_row(*cells, style=style)
        console.print(table)


def _renamed(weights: Mapping[str, keras.Variable], rules: Rules) -> dict[str, keras.Variable]:
    renamed = {rules.renamed(name) or name: weight for name, weight in weights.items()}
    if len(renamed) < len(weights):
        raise ValueError("rename gives two weights of the first model one name.")
    return renamed


def _run(
    model: keras.Model,
    weights: Mapping[str, keras.Variable],
    images: np.ndarray,
    start: Mapping[str, np.ndarray],
    has_end_points: bool,
) -> dict[str, dict[str, Any]]:
    """What a model gives on each rung, from the weights it has; these are put back on the way."""
    seen = {"evaluation": _outputs(model, images, has_end_points, training=False)}
    seen["regularization loss"] = {"sum": _regularization(model)}
    seen["training"] = _outputs(model, images, has_end_points, training=True)
    seen["moving statistics"] = {
        name: weight.numpy() for name, weight in weights.items() if name.endswith(MOVING)
    }
    for name, weight in weights.items():
        weight.assign(start[name])
    trainable = {name: weight.value for name, weight in weights.items() if weight.trainable}
    with tf.GradientTape() as tape:
        outputs = _outputs(model, images, has_end_points, training=True)
        logits = [value for name, value in outputs.items() if name.lower().endswith("logits")]
        heads = logits or list(outputs.values())[-1:]
        loss = tf.add_n([_loss(head) for head in heads]) + _regularization(model)
    seen["gradients"] = tape.gradient(loss, trainable)
    return seen


def _outputs(
    model: Any, images: np.ndarray, has_end_points: bool, training: bool
) -> dict[str, Any]:
    end_points = model.end_points(images, training=training) if has_end_points else {}
    if training and end_points:
        return end_points  # Another call would update the moving statistics twice.
    output = model(images, training=training)
    if not hasattr(output, "shape"):
        raise ValueError(
            f"{model.name} gives a {type(output).__name__}, where models that give one tensor can "
            "be compared: leave one for `call`, and give all of them in a method `end_points`."
        )
    return {**end_points, "output": output}


def _regularization(model: keras.Model) -> tf.Tensor:
    return tf.add_n([tf.zeros(()), *model.losses])


def _loss(head: tf.Tensor) -> tf.Tensor:
    """A sum with weights that differ from value to value, so that none cancels another."""
    noise = np.random.default_rng(1).standard_normal(head.shape)
    return tf.reduce_mean(head * tf.constant(noise, head.dtype))
