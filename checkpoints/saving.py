"""Saving checkpoints, so that a killed process leaves the old one or the new one, never a mix."""

import contextlib
import itertools
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from .names import by_tf1_name
from .reading import INTERNAL_PREFIX, NAMED_VARIABLES

FORMATS = ("tf1", "tf2", "h5")
_KERAS_SUFFIX = ".weights.h5"


def save(model: keras.Model, path: str | Path, format: str = "tf1") -> None:
    """Saves all variables of a model.

    An older checkpoint of that path is replaced as the last step, at once.

    Args:
        model: A built model.
        path: For `"tf1"` and `"tf2"` the prefix of the files to write, for `"h5"` a file name
            that ends in `.weights.h5`. Missing directories are made.
        format: `"tf1"` is a name-based checkpoint in TF1's V2 format, for `tf.train.Saver` and for
            every version of the model. `"tf2"` is a `tf.train.Checkpoint` of `model`, and of a
            dict `variables` from TF1 names to variables, by which every version of the model
            finds its own. `"h5"` is Keras' file for `load_weights`.

    Raises:
        ValueError: Unknown format, a path that does not suit it, or a model without variables.
        OSError: The files can't be written; an older checkpoint is left as it was.
    """
    path = Path(path)
    if format not in FORMATS:
        raise ValueError(f"There is no format {format!r}; formats are {', '.join(FORMATS)}.")
    if (format == "h5") != path.name.endswith(_KERAS_SUFFIX):
        ending = "end in" if format == "h5" else "not end in"
        raise ValueError(f"A path for format {format!r} has to {ending} {_KERAS_SUFFIX}: {path}")
    if not model.weights:
        raise ValueError(f"{model.name} has no variables yet: call it on images, or build it.")
    with _scratch_directory(path) as scratch:
        written = scratch / path.name
        if format == "h5":
            model.save_weights(written)
            os.replace(written, path)
        else:
            with _tensorflow_errors_as_os_errors():
                if format == "tf1":
                    _write_names(model, written)
                else:
                    _write_objects(model, written)
                _publish(written, path)


@contextlib.contextmanager
def _scratch_directory(path: Path) -> Iterator[Path]:
    """A directory beside `path`, on the same file system, that does not outlive the writing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
            yield Path(scratch)
    except OSError as error:
        raise OSError(f"{path} could not be written: {error}") from error


@contextlib.contextmanager
def _tensorflow_errors_as_os_errors() -> Iterator[None]:
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(error.message) from error


def _write_names(model: keras.Model, prefix: Path) -> None:
    values = {
        name: keras.ops.convert_to_numpy(variable.value)
        for name, variable in by_tf1_name(model.weights).items()
    }
    _write_bundle(prefix, values)


def _write_bundle(prefix: Path, values: dict) -> None:
    import tensorflow as tf

    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=list(values.values()),
    )


def _write_objects(model: keras.Model, prefix: Path) -> None:
    import tensorflow as tf

    tf.train.Checkpoint(**checkpoint_objects(model)).write(str(prefix))


def checkpoint_objects(model: keras.Model) -> dict[str, Any]:
    """What a `tf.train.Checkpoint` has to hold so that every version of a model can restore it.

    Args:
        model: A built model.

    Returns:
        Keyword arguments of `tf.train.Checkpoint`: the model, and its variables by TF1 name, each
        of which is stored once. On another backend than TensorFlow only copies of the variables.
    """
    named = by_tf1_name(model.weights)
    if keras.config.backend() == "tensorflow":
        variables = {name: variable.value for name, variable in named.items()}
        return {"model": model, NAMED_VARIABLES: variables}
    import tensorflow as tf

    return {
        NAMED_VARIABLES: {
            name: tf.Variable(keras.ops.convert_to_numpy(variable.value))
            for name, variable in named.items()
        }
    }


def _publish(written: Path, path: Path) -> None:
    """Moves a checkpoint of one `.data` file to its place.

    The `.index` file says in how many `.data` files the tensors are. A checkpoint that takes the
    place of another is spread over another number of files, so that both lie side by side until
    the new `.index` replaces the old one.
    """
    old = {
        file: int(match[1])
        for file in path.parent.iterdir()
        if (match := re.fullmatch(rf"{re.escape(path.name)}\.data-\d+-of-(\d+)", file.name))
    }
    count = next(n for n in itertools.count(1) if n not in old.values())
    if count > 1:
        written = _spread(written, count)
    for data in written.parent.glob(f"{written.name}.data-*"):
        os.replace(data, path.with_name(path.name + data.name.removeprefix(written.name)))
    os.replace(f"{written}.index", f"{path}.index")
    for file in old:
        file.unlink()


def _spread(written: Path, count: int) -> Path:
    """The same checkpoint with its tensors dealt out to `count` data files."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(written))
    names = sorted(reader.get_variable_to_shape_map())
    parts = [written.with_name(f"part{i}") for i in range(count)]
    for i, part in enumerate(parts):
        tensors = {name: reader.get_tensor(name) for name in names[i::count]}
        # TensorFlow writes no part without a tensor.
        _write_bundle(part, tensors or {f"{INTERNAL_PREFIX}{part.name}": 0})
    spread = written.with_name("spread")
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(part) for part in parts],
        destination_prefix=str(spread),
        delete_old_dirs=False,
    )
    return spread
