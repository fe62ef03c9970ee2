"""Writing the files of Keras, `.weights.h5` and `.keras`, as Keras does, with fewer copies."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras.src.saving import saving_lib

from .file_parts import FilePart
from .keras_archives import weights_into
from .keras_files import remember_what_keras_skips


def write_weights(model: keras.Model, path: Path) -> None:
    """Writes what `model.save_weights` does.

    Args:
        model: A built model; its variables may have values that are lent to them.
        path: The file, which ends in `.weights.h5`.

    Raises:
        OSError: It can't be written.
    """
    remember_what_keras_skips()
    with open(path, "wb+") as raw:
        content = FilePart(raw.fileno())
        with content.failing_as_it_did(), h5py.File(content, "w") as file:
            saving_lib._save_state(model, _Store(file), None, "", visited_saveables=set())


def write_model(model: keras.Model, path: Path) -> None:
    """Writes what `model.save` does, without the weights in memory before.

    Args:
        model: As for `write_weights`.
        path: The file, which ends in `.keras`.

    Raises:
        OSError: It can't be written.
    """
    remember_what_keras_skips()
    config, metadata = saving_lib._serialize_model_as_json(model)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", metadata)
        archive.writestr("config.json", config)
        assets = saving_lib.DiskIOStore("assets", archive=archive, mode="w")
        with (
            weights_into(archive) as content,
            content.failing_as_it_did(),
            h5py.File(content, "w") as file,
        ):
            saving_lib._save_state(model, _Store(file), assets, "", visited_saveables=set())
        assets.close()


class _Store(saving_lib.H5IOStore):
    """Stores arrays as they are, with HDF5's own calls; Keras' way copies each and asks much more.

    Args:
        file: What to write to.
    """

    def __init__(self, file: h5py.File) -> None:
        self.h5_file, self.mode = file, "w"
        self._properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        self._properties.set_obj_track_times(False)  # Times would make equal files differ.

    def __setitem__(self, key: str, value: Any) -> None:
        lent = value.value if isinstance(value, keras.Variable) else None
        is_plain = isinstance(lent, np.ndarray) and lent.dtype.kind in "fiu"
        if not is_plain or "/" in key or not key.isascii():
            super().__setitem__(key, value)
            return
        if not self._h5_entry_initialized:
            self._create_h5_group(self._h5_entry_path)
        stored = h5py.h5d.create(
            self._h5_entry_group.id,
            key.encode(),
            h5py.h5t.py_create(lent.dtype, logical=True),
            h5py.h5s.create_simple(lent.shape),
            dcpl=self._properties,
        )
        stored.write(h5py.h5s.ALL, h5py.h5s.ALL, np.require(lent, requirements="C"))
