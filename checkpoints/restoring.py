"""Restoring a checkpoint into a model: all of it or nothing."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from .. import models
from .assignment import tensors_for
from .names import left_out_kind, tf1_name, variables_of
from .reading import (
    Checkpoint,
    TensorSpec,
    is_keras_file,
    locate,
    open_checkpoint,
    open_keras_file,
)

if TYPE_CHECKING:
    import tensorflow as tf

    from .names import AnyVariable

# Of each kind of difference a message shows so many.
_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class RestoreReport:
    """What `restore` did.

    Args:
        path: The file that was read, or the prefix of the `.index` and `.data` files.
        format: `"tf1"`, `"tf2"`, `"h5"` or `"keras"`.
        restored: TF1 names of the model's variables, all of which were filled.
        left_out: Names in the file that are no model's, by kind: `"optimizer slots"`,
            `"optimizer counters"`, `"moving averages"`, `"global step"`.
    """

    path: Path
    format: str
    restored: tuple[str, ...]
    left_out: dict[str, tuple[str, ...]]

    def __str__(self) -> str:
        text = f"Restored {len(self.restored)} variables from {self.path} ({self.format})"
        if self.left_out:
            kinds = ", ".join(f"{len(names)} {kind}" for kind, names in self.left_out.items())
            text += f"; left out {kinds}"
        return text + "."


def restore(
    model: keras.Layer | tf.Module,
    path: str | Path,
    assignment_map: Mapping[str, str] | None = None,
) -> RestoreReport:
    """Fills all variables of a model from a checkpoint of any of its versions.

    Every variable of the model has to be in the checkpoint, with the same shape and dtype, and
    every tensor of the checkpoint has to be a variable of the model; optimizer slots, moving
    averages and the global step are left out. If anything does not fit, the model keeps its values.

    Args:
        model: A built model: one of `shimzoo.models`, or any Keras model or layer or `tf.Module`
            whose variables carry TF1 names.
        path: A name-based TF1 checkpoint (prefix, or one of its files), a TF2 checkpoint that
            `save` wrote, a `.weights.h5` or `.keras` file, or a directory or `checkpoint` state
            file, which stand for the newest one.
        assignment_map: For a model whose names differ from the checkpoint's, or that shares but a
            part with it: name or scope in the checkpoint -> name or scope in the model, as for
            `tf.compat.v1.train.init_from_checkpoint`. Scopes end in "/"; "/" alone is all. Only
            what is mapped is filled, and other tensors in the checkpoint are not looked at.

    Returns:
        What was restored and what was left out.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The checkpoint is damaged, or does not fit the model; the message lists the
            differences.
    """
    variables = variables_of(model)
    if not variables:
        raise ValueError(f"{model.name} has no variables yet: call it on images, or build it.")
    path = locate(path)
    if is_keras_file(path):
        if assignment_map is not None or not isinstance(model, keras.Model):
            raise ValueError(
                f"{path} is a file of Keras, which only a whole keras.Model can read, and without "
                "assignment_map."
            )
        wanted = tensors_for(variables, ())
        checkpoint, fit = _open_keras_file(path, model, _specs(wanted))
    else:
        checkpoint = open_checkpoint(path)
        wanted = tensors_for(variables, checkpoint.specs, assignment_map)
        fit = _Fit.of(_specs(wanted), checkpoint.specs, is_partial=assignment_map is not None)
    if not fit.is_perfect:
        raise ValueError(f"{path} does not fit {_describe(model)}: {fit.describe()}.")
    values = {name: checkpoint.read(name) for name in wanted}
    for name, variable in wanted.items():
        variable.assign(values[name])
    restored = tuple(tf1_name(variable) for variable in wanted.values())
    return RestoreReport(path, checkpoint.format, restored, fit.left_out)


def _specs(variables: dict[str, AnyVariable]) -> dict[str, TensorSpec]:
    return {name: _spec(variable) for name, variable in variables.items()}


def _spec(variable: AnyVariable) -> TensorSpec:
    return TensorSpec(tuple(variable.shape), keras.backend.standardize_dtype(variable.dtype))


def _describe(model: keras.Layer | tf.Module) -> str:
    variant = getattr(model, "variant", None)
    return f"{model.name} ({variant.name})" if variant else model.name


def _open_keras_file(
    path: Path, model: keras.Model, wanted: dict[str, TensorSpec]
) -> tuple[Checkpoint, _Fit]:
    """Reads the file as the version of the model that wrote it, which it does not tell."""
    tried = []
    for version in _versions(model):
        checkpoint = open_keras_file(path, version)
        fit = _Fit.of(wanted, checkpoint.specs)
        if fit.is_perfect:
            return checkpoint, fit
        tried.append((checkpoint, fit))
    return min(tried, key=lambda attempt: attempt[1].distance)


def _versions(model: keras.Model) -> Iterator[keras.Model]:
    yield model
    if isinstance(getattr(model, "variant", None), models.Variant):
        for stage in models.STAGES:
            if stage != models.stage_of(model):
                yield models.in_stage(model, stage)


@dataclasses.dataclass(frozen=True)
class _Fit:
    """How the tensors of a checkpoint fit a model's variables."""

    missing: list[str]
    unused: list[str]
    unequal: list[str]
    left_out: dict[str, tuple[str, ...]]
    wanted_count: int
    is_partial: bool

    @classmethod
    def of(
        cls,
        wanted: dict[str, TensorSpec],
        stored: dict[str, TensorSpec],
        *,
        is_partial: bool = False,
    ) -> _Fit:
        unused: list[str] = []
        left_out: dict[str, tuple[str, ...]] = {}
        known = wanted.keys() | stored.keys()
        for name in sorted(stored.keys() - wanted.keys()):
            kind = left_out_kind(name, known)
            if kind is None:
                unused.append(name)
            else:
                left_out[kind] = (*left_out.get(kind, ()), name)
        return cls(
            missing=[name for name in wanted if name not in stored],
            unused=unused,
            unequal=[
                f"{name} is {stored[name]} in the file and {spec} in the model"
                for name, spec in wanted.items()
                if name in stored and stored[name] != spec
            ],
            left_out=left_out,
            wanted_count=len(wanted),
            is_partial=is_partial,
        )

    @property
    def distance(self) -> tuple[int, int]:
        """Differences in names, which weigh more, and in shapes and dtypes."""
        unused = 0 if self.is_partial else len(self.unused)
        return len(self.missing) + unused, len(self.unequal)

    @property
    def is_perfect(self) -> bool:
        return self.distance == (0, 0)

    def describe(self) -> str:
        parts = []
        if self.unequal:
            parts.append(f"{len(self.unequal)} of another shape or dtype: {_some(self.unequal)}")
        if self.missing:
            near = [self._with_nearest(name) for name in self.missing[:_SHOWN]]
            parts.append(
                f"{len(self.missing)} of the model's {self.wanted_count} variables are not in the "
                f"file: {_some([*near, *self.missing[_SHOWN:]])}"
            )
        if self.unused and not self.is_partial:
            parts.append(
                f"{len(self.unused)} tensors of the file are not in the model: {_some(self.unused)}"
            )
        return "; ".join(parts)

    def _with_nearest(self, name: str) -> str:
        nearest = difflib.get_close_matches(name, self.unused, n=1)
        return f"{name} (nearest in the file: {nearest[0]})" if nearest else name


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
