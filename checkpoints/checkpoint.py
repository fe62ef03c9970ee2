"""What a checkpoint on disk is to the rest of this package: tensors by name, read one by one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import numpy as np

# Format -> what messages call it.
FORMAT_NAMES = {
    "tf1": "TF1 name-based checkpoint",
    "tf2": "TF2 object-based checkpoint",
    "h5": "Keras weights file",
    "keras": "Keras model file",
    "safetensors": "safetensors file",
    "graph": "frozen GraphDef",
}


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """Shape and dtype of a tensor, as numbers and name."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"

    @property
    def elements(self) -> int:
        """Number of its elements."""
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """An open checkpoint; good as long as the `with` of `open_checkpoint` that gave it lasts.

    Args:
        path: The file, or the prefix of the `.index` and `.data` files; of what is packed in an
            archive that of the archive with the name in it behind.
        format: A key of `FORMAT_NAMES`.
        specs: Shape and dtype of every tensor by its name.
        read: Gives the value of a tensor by its name; ValueError if the file is damaged there.
        named_by: Of a file without TF1 names, where the names say at which place in the file a
            tensor is: gives the same checkpoint with those that a built model, made as the one that
            wrote it, has at these places. Else None.
        config: What the file says of the model beside its tensors: the arguments of its constructor
            by name, as JSON has them; of Keras' model files alone.
    """

    path: Path
    format: str
    specs: dict[str, TensorSpec]
    read: Callable[[str], np.ndarray]
    named_by: Callable[[keras.Model], Checkpoint] | None = None
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def first_line(error: Exception) -> str:
    """The first line of an error's message, as a sentence."""
    line = (getattr(error, "message", None) or str(error)).strip().split("\n")[0]
    return line if line.endswith(".") else line + "."
