"""TF1's pooling layers."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .base import Layer, functional
from .spatial import as_tuple, check_data_format, in_supported_format, padding_name, tensor_format


class Pooling(Layer):
    """Pools over windows of the spatial dimensions.

    Args:
        pool_size: size of the window, an integer or one for each spatial dimension.
        strides: strides of the window, likewise.
        padding: "valid" or "same", in any case.
        data_format: "channels_last" or "channels_first".
        name: name of the layer.
    """

    _rank: int
    _pooling_type: str

    def __init__(
        self,
        pool_size: Any,
        strides: Any,
        padding: str = "valid",
        data_format: str = "channels_last",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.pool_size = as_tuple(pool_size, self._rank, "pool_size")
        self.strides = as_tuple(strides, self._rank, "strides")
        self.padding = padding_name(padding)
        self.data_format = check_data_format(data_format)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if inputs.shape.rank != self._rank + 2:
            raise ValueError(
                f"{type(self).__name__} {self.name} needs inputs of rank {self._rank + 2}, got "
                f"shape {inputs.shape}."
            )
        return in_supported_format(self._pool, inputs, self.data_format)

    def _pool(self, inputs: tf.Tensor, data_format: str) -> tf.Tensor:
        pool = getattr(tf.nn, f"{self._pooling_type}_pool{self._rank}d")
        # What TF1 named the op of images; the other ranks' names are the same still.
        name = f"{self._pooling_type.title()}Pool" if self._rank == 2 else None
        return pool(
            inputs,
            ksize=self.pool_size,
            strides=self.strides,
            padding=self.padding,
            data_format=tensor_format(data_format, self._rank),
            name=name,
        )


class AveragePooling1D(Pooling):
    """Takes averages over windows of sequences; see `Pooling`."""

    _rank, _pooling_type = 1, "avg"


class AveragePooling2D(Pooling):
    """Takes averages over windows of images; see `Pooling`."""

    _rank, _pooling_type = 2, "avg"


class AveragePooling3D(Pooling):
    """Takes averages over windows of volumes; see `Pooling`."""

    _rank, _pooling_type = 3, "avg"


class MaxPooling1D(Pooling):
    """Takes maxima over windows of sequences; see `Pooling`."""

    _rank, _pooling_type = 1, "max"


class MaxPooling2D(Pooling):
    """Takes maxima over windows of images; see `Pooling`."""

    _rank, _pooling_type = 2, "max"


class MaxPooling3D(Pooling):
    """Takes maxima over windows of volumes; see `Pooling`."""

    _rank, _pooling_type = 3, "max"


average_pooling1d = functional(AveragePooling1D)
average_pooling2d = functional(AveragePooling2D)
average_pooling3d = functional(AveragePooling3D)
max_pooling1d = functional(MaxPooling1D)
max_pooling2d = functional(MaxPooling2D)
max_pooling3d = functional(MaxPooling3D)
