"""Saving checkpoints, so that a killed process leaves the old one or the new one, never a mix."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from . import optimizer_state
from .keras_writing import write_model, write_weights
from .names import by_tf1_name, is_tf1_variable, variables_of
from .safetensors_files import write_safetensors
from .scratch import scratch_directory
from .tensorflow_files import NAMED_VARIABLES
from .tensorflow_writing import (
    publish_checkpoint,
    taken_counts,
    write_lent_objects,
    write_objects,
    write_tensors,
)

if TYPE_CHECKING:
    import tensorflow as tf

    from .names import AnyVariable

# Format -> how the path has to end; those without an ending are prefixes of several files.
SUFFIXES = {
    "tf1": "",
    "tf2": "",
    "h5": ".weights.h5",
    "keras": ".keras",
    "safetensors": ".safetensors",
}
FORMATS = tuple(SUFFIXES)
# Those that hold tensors by TF1 name and nothing else.
NAMED_FORMATS = ("tf1", "safetensors")
# What people call HDF5 files, as Keras 2 did; no format has such an ending.
_HDF5_SUFFIXES = (".h5", ".hdf5")


def save(
    model: keras.Layer | tf.Module,
    path: str | Path,
    format: str | None = None,
    *,
    include_optimizer: bool = False,
) -> None:
    """Saves all variables of a model.

    An older checkpoint of that path is replaced as the last step, at once.

    Args:
        model: A built model. A layer that is no model, or a `tf.Module`, has no `"h5"` and
            `"keras"` files.
        path: For `"tf1"` and `"tf2"` the prefix of the files to write, for the others a file name
            that ends as `SUFFIXES` says. Missing directories are made.
        format: None is that of the path's ending, `"tf1"` if it has none. `"tf1"` is a name-based
            checkpoint in TF1's V2 format, for `tf.train.Saver` and for every version of the model.
            `"tf2"` is a `tf.train.Checkpoint` of `model`, and of a
            dict `variables` from TF1 names to variables, by which every version of the model
            finds its own. `"h5"` is Keras' file for `load_weights`, `"keras"` the one for
            `keras.saving.load_model`, and `"safetensors"` has the tensors by TF1 name.
        include_optimizer: Whether to save the state of the model's optimizer too, with the names
            and the meaning it has in TF1 checkpoints; formats `"tf1"`, `"tf2"` and
            `"safetensors"`. (Keras' own files hold that of a compiled model in any case.)

    Raises:
        ValueError: Unknown format, a path that does not suit it, a model without variables, or an
            optimizer whose state has no place in the format.
        OSError: The files can't be written; an older checkpoint is left as it was.
    """
    path = Path(path)
    format = format or format_of(path)
    check_target(path, format)
    if not variables_of(model):
        raise ValueError(f"{model.name} has no variables yet: call it on images, or build it.")
    write(model, path, format, optimizer_state.tensors_of(model) if include_optimizer else {})


def write(
    model: keras.Layer | tf.Module,
    path: Path,
    format: str,
    state: Mapping[str, np.ndarray],
    lent: Sequence[keras.Variable] = (),
    check: Callable[[Path], None] | None = None,
) -> None:
    """Writes a model's variables, and more tensors by TF1 name, such as an optimizer's.

    Args:
        model: A built model.
        path: As for `save`, checked.
        format: Likewise.
        state: The tensors.
        lent: Those of the variables that have no value but one that `skeletons.lend` gave them.
        check: Gets the path of what was written, before it is moved to its place; what it raises
            keeps it from there.

    Raises:
        ValueError: The format has no place for such tensors.
        OSError: The files can't be written; an older checkpoint is left as it was.
    """
    if state and format in ("h5", "keras"):
        raise ValueError(
            f"format {format!r} has no TF1 names for an optimizer's state: it holds Keras' own."
        )
    if format in ("h5", "keras") and not isinstance(model, keras.Model):
        raise ValueError(
            f"Format {format!r} is for a keras.Model, and {model.name} is a "
            f"{type(model).__name__}: {', '.join(f for f in FORMATS if f not in ('h5', 'keras'))} "
            "hold it."
        )
    with scratch_directory(path) as scratch:
        written = scratch / path.name
        if SUFFIXES[format]:
            _write_file(model, written, format, state)
        elif format == "tf2" and lent:
            objects = checkpoint_objects(model, state)
            write_lent_objects(objects, lent, written, taken_counts(path))
        elif format == "tf2":
            write_objects(checkpoint_objects(model, state), written, taken_counts(path))
        else:
            write_tensors(_tensors_of(model, state), written, taken_counts(path))
        if check is not None:
            check(written)
        if SUFFIXES[format]:
            os.replace(written, path)
        else:
            publish_checkpoint(written, path)


def _write_file(
    model: keras.Layer | tf.Module, path: Path, format: str, state: Mapping[str, np.ndarray]
) -> None:
    """Writes a format of one file."""
    if format == "safetensors":
        # The library stores an array's memory as it lies there.
        packed = {
            name: np.require(_as_array(value), requirements="C")
            for name, value in _tensors_of(model, state)
        }
        write_safetensors(packed, path)
    elif format == "h5":
        write_weights(model, path)
    else:
        write_model(model, path)


def format_of(path: Path, without_suffix: str = "tf1") -> str:
    """The format that the end of a path stands for, or another answer if it stands for none."""
    suffixes = ((format, suffix) for format, suffix in SUFFIXES.items() if suffix)
    return next((f for f, suffix in suffixes if path.name.endswith(suffix)), without_suffix)


def check_target(path: Path, format: str) -> None:
    """Raises ValueError if the format is none of `FORMATS`, or the path does not suit it."""
    if format not in FORMATS:
        raise ValueError(f"There is no format {format!r}; formats are {', '.join(FORMATS)}.")
    said = format_of(path, without_suffix="")
    if not said and path.suffix in _HDF5_SUFFIXES:
        raise ValueError(f"{path}: a weights file of Keras has to end in .weights.h5; use that.")
    if SUFFIXES[format] and said != format:
        raise ValueError(f"A path for format {format!r} has to end in {SUFFIXES[format]}: {path}")
    if said and not SUFFIXES[format]:
        raise ValueError(
            f"{path} has the ending of format {said!r}, and format {format!r} has none: leave out "
            "the one or the other."
        )


def _tensors_of(
    model: keras.Layer | tf.Module, state: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, Any]]:
    """All that a format by TF1 name holds, each once: what the state has is not the model's."""
    return itertools.chain(_values_of(model, without=state), state.items())


def _values_of(
    model: keras.Layer | tf.Module, without: Collection[str] = ()
) -> Iterator[tuple[str, Any]]:
    """A model's variables by TF1 name, each as the backend has it, one at a time."""
    for name, variable in by_tf1_name(variables_of(model)).items():
        if name not in without:
            yield name, _inner(variable)


def _inner(variable: AnyVariable) -> Any:
    """The variable of the backend."""
    return variable.value if isinstance(variable, keras.Variable) else variable


def _as_array(value: Any) -> np.ndarray:
    """What Keras would copy if it were an array already."""
    return value if isinstance(value, np.ndarray) else keras.ops.convert_to_numpy(value)


def is_there(path: Path, format: str) -> bool:
    """Whether saving to a path would replace something."""
    return path.exists() or (not SUFFIXES[format] and Path(f"{path}.index").exists())


def checkpoint_objects(
    model: keras.Layer | tf.Module, state: Mapping[str, np.ndarray | tf.Variable] | None = None
) -> dict[str, Any]:
    """What a `tf.train.Checkpoint` has to hold so that every version of a model can restore it.

    Args:
        model: A built model.
        state: More tensors by TF1 name, such as an optimizer's; variables are stored as they are
            when the checkpoint is written.

    Returns:
        Keyword arguments of `tf.train.Checkpoint`: the model, and its variables by TF1 name, each
        of which is stored once. On another backend than TensorFlow only copies of the variables.
    """
    import tensorflow as tf

    more = {
        name: value if isinstance(value, tf.Variable) else tf.Variable(value)
        for name, value in (state or {}).items()
    }
    if keras.config.backend() == "tensorflow":
        named = by_tf1_name(variables_of(model)).items()
        return {
            "model": model,
            NAMED_VARIABLES: {name: _tracked(variable) for name, variable in named} | more,
        }
    copies = {name: tf.Variable(value) for name, value in _values_of(model)}
    return {NAMED_VARIABLES: copies | more}


def _tracked(variable: AnyVariable) -> Any:
    """The object that a model's own checkpoint knows a variable by, so that it is stored once."""
    return _inner(variable) if is_tf1_variable(variable) else variable
