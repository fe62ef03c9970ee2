"""Restoring a checkpoint into a model: all of it or nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from .. import models
from . import optimizer_state, skeletons
from .checkpoint import Checkpoint
from .fitting import Ema, Fit, Rules, fit, spec_of
from .names import names_in, scope_around, variables_of
from .opening import open_checkpoint
from .report import RestoreReport

if TYPE_CHECKING:
    import tensorflow as tf


def restore(
    model: keras.Layer | tf.Module,
    path: str | Path,
    *,
    rename: Mapping[str, str] | None = None,
    exclude: Sequence[str] = (),
    exclude_head: bool = False,
    ema: Ema = "auto",
    include_optimizer: bool = False,
) -> RestoreReport:
    """Fills all variables of a model from a checkpoint of any of its versions.

    Every variable of the model has to be in the checkpoint, with the same shape and dtype, and
    every tensor of the checkpoint has to be a variable of the model; optimizer slots, moving
    averages, copies of replicas and the global step are left out. If anything does not fit, the
    model keeps its values.

    Args:
        model: A built model: one of `shimzoo.models`, or any Keras model or layer or `tf.Module`
            whose variables carry TF1 names.
        path: A TF1 checkpoint (prefix, or one of its files; version V2 or V1), a `.tar.gz` or
            `.tgz` of one, a TF1 SavedModel's directory, a frozen graph (`.pb`), a TF2 checkpoint
            (`tf.train.Checkpoint` of the model or of objects that hold it), a `.weights.h5`,
            `.keras` or `.safetensors` file, or a directory or `checkpoint` state file, which stand
            for the newest one.
        rename: For a file whose names differ from the model's: what is in the file -> what it is
            in the model. Scopes end in "/", as for `tf.compat.v1.train.init_from_checkpoint`, and
            "/" alone is all; anything else is a regular expression for a whole name, whose groups
            the new name can have (`re.Match.expand`). The first that matches counts. Tensors that
            none matches are left out.
        exclude: Variables that keep their values: names, scopes or regular expressions for them.
            Tensors of these names are left out.
        exclude_head: Likewise for the variant's head: the layers that depend on the classes.
        ema: Whether moving averages (`<name>/ExponentialMovingAverage`) are taken for the
            variables: `"auto"` where every variable has one; True where there is one, and every
            trainable variable has to have it; False never.
        include_optimizer: Whether to restore the state of the model's optimizer too, from names
            as TF1 has them (SGD with momentum, RMSprop, Adam).

    Returns:
        What was restored and what was left out.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The checkpoint is damaged, or does not fit the model; the message lists the
            differences.
    """
    if not variables_of(model):
        raise ValueError(f"{model.name} has no variables yet: call it on images, or build it.")
    rules = rules_for(model, rename, exclude, exclude_head, ema)
    with open_checkpoint(path) as opened:
        checkpoint, found = fitting(model, opened, rules)
        values = {tensor: checkpoint.read(tensor) for tensor in found.sources}
        if include_optimizer:
            _restore_optimizer(model, checkpoint)
    for tensor, variable in found.sources.items():
        variable.assign(values.pop(tensor))
    return report_of(model, opened, found)


def rules_for(
    model: keras.Layer | tf.Module,
    rename: Mapping[str, str] | None,
    exclude: Sequence[str],
    exclude_head: bool,
    ema: Ema,
) -> Rules:
    """What the arguments of `restore` say of a model.

    Raises:
        ValueError: One of them is none of those allowed, or the model's head is not known.
    """
    return Rules(rename, [*exclude, *(_head_of(model) if exclude_head else ())], ema)


def fitting(
    model: keras.Layer | tf.Module, opened: Checkpoint, rules: Rules
) -> tuple[Checkpoint, Fit]:
    """Finds the tensor for each variable of a model, or tells what does not fit.

    Args:
        model: A built model; its variables need no values.
        opened: A checkpoint.
        rules: What the user says.

    Returns:
        The checkpoint with TF1 names, and how it fits.

    Raises:
        ValueError: It does not fit.
    """
    checkpoint, found = best_fit(model, opened, rules)
    check_fit(model, opened, found)
    return checkpoint, found


def check_fit(model: keras.Layer | tf.Module, opened: Checkpoint, found: Fit) -> None:
    """Raises ValueError, which tells what does not fit, unless all of a checkpoint fits a model."""
    if not found.is_perfect:
        raise ValueError(
            f"{opened.path} does not fit {_describe(model)}: {found.describe()}. "
            f"{_advice(model, found, opened.path)}"
        )


def report_of(model: keras.Layer | tf.Module, opened: Checkpoint, found: Fit) -> RestoreReport:
    """What has been restored if all that fits has been."""
    variables = variables_of(model)
    named = {id(v): both[0] for v, both in zip(variables, names_in(variables), strict=True)}
    return RestoreReport(
        path=opened.path,
        format=opened.format,
        restored={named[id(variable)]: tensor for tensor, variable in found.sources.items()},
        specs={named[id(variable)]: spec_of(variable) for variable in found.sources.values()},
        excluded=tuple(found.excluded),
        left_out=found.left_out,
        is_averaged=found.is_averaged,
        offers_averages=found.offers_averages,
    )


def _head_of(model: keras.Layer | tf.Module) -> list[str]:
    variant = getattr(model, "variant", None)
    if not isinstance(variant, models.Variant):
        raise ValueError(
            f"{model.name} is no model of the zoo, so it is not known which layers are its head: "
            "name them with exclude (--exclude)."
        )
    return [f"{model.name}/{scope}" for scope in variant.head_scopes]


def _advice(model: keras.Layer | tf.Module, found: Fit, path: Path) -> str:
    """What may help a user whose file does not fit."""
    scope = "" if found.sources else scope_around(found.unused, model.name)
    if scope:
        old, new = f"{scope}{model.name}/", f"{model.name}/"
        return (
            f"The file has the model under scope {scope}: rename={{{old!r}: {new!r}}} "
            f"(--rename {old}={new}) takes it from there."
        )
    if isinstance(getattr(model, "variant", None), models.Variant):
        heads = tuple(f"{scope}/" for scope in _head_of(model))
        if all(name.startswith(heads) for name in found.different):
            return (
                "Only the head differs: exclude_head=True (--exclude-head) leaves the model its "
                "own, and a model that is made with the file's num_classes takes it."
            )
    return f"`shimzoo inspect {shlex.quote(str(path))}` tells what it is."


def _restore_optimizer(model: keras.Model, checkpoint: Checkpoint) -> None:
    slots = [name for name in checkpoint.specs if _may_be_a_slot(name)]
    optimizer_state.restore(model, {name: checkpoint.read(name) for name in slots})


def _may_be_a_slot(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last == optimizer_state.GLOBAL_STEP or last.startswith(("Momentum", "RMSProp", "Adam"))


def _describe(model: keras.Layer | tf.Module) -> str:
    variant = getattr(model, "variant", None)
    return f"{model.name} ({variant.name})" if variant else model.name


def best_fit(
    model: keras.Layer | tf.Module, opened: Checkpoint, rules: Rules
) -> tuple[Checkpoint, Fit]:
    """The checkpoint with names, and how it fits, be it well or not.

    Where the file has none they are those of the version of the model that wrote it, which the file
    does not tell either: of all versions the one that fits best.

    Args:
        model: A built model; its variables need no values.
        opened: A checkpoint.
        rules: What the user says.

    Returns:
        The checkpoint with TF1 names, and how it fits.

    Raises:
        ValueError: The file has no names, and the model can't give it any.
    """
    variables = variables_of(model)
    if opened.named_by is None:
        return opened, fit(variables, opened, rules)
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"{opened.path} has no TF1 names, which only a whole keras.Model can give it."
        )
    tried = []
    for version in _versions(model):
        checkpoint = opened.named_by(version)
        found = fit(variables, checkpoint, rules)
        if found.is_perfect:
            return checkpoint, found
        tried.append((checkpoint, found))
    return min(tried, key=lambda attempt: attempt[1].distance)


def _versions(model: keras.Model) -> Iterator[keras.Model]:
    yield model
    if isinstance(getattr(model, "variant", None), models.Variant):
        for stage in models.STAGES:
            if stage != models.stage_of(model):
                yield skeletons.in_stage(model, stage).model
