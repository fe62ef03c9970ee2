"""Arguments of layers with spatial dimensions: sizes, paddings, data formats."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context

_TENSOR_FORMATS = {
    "channels_last": {1: "NWC", 2: "NHWC", 3: "NDHWC"},
    "channels_first": {1: "NCW", 2: "NCHW", 3: "NCDHW"},
}


def as_tuple(value: Any, rank: int, argument: str) -> tuple[int, ...]:
    """A positive size given as an integer or as one for each of `rank` spatial dimensions."""
    if isinstance(value, int):
        sizes: tuple[int, ...] = (value,) * rank
    elif isinstance(value, tuple | list | Sequence | tf.TensorShape):
        sizes = tuple(int(size) for size in value)
    else:
        sizes = () if tf.is_tensor(value) else (int(value),) * rank
    if len(sizes) != rank or min(sizes) < 1:
        raise ValueError(f"{argument} must be a positive integer or {rank} of them, got {value!r}.")
    return sizes


def padding_name(padding: str, allowed: Sequence[str] = ("SAME", "VALID")) -> str:
    """A padding's name in capitals, as TensorFlow has it."""
    name = padding.upper()
    if name not in allowed:
        choice = " or ".join(repr(each.lower()) for each in allowed)
        raise ValueError(f"padding must be {choice}, got {padding!r}.")
    return name


def check_data_format(data_format: str) -> str:
    """Returns the data format if it is one."""
    if data_format not in _TENSOR_FORMATS:
        raise ValueError(
            f"data_format must be 'channels_last' or 'channels_first', got {data_format!r}."
        )
    return data_format


def tensor_format(data_format: str, rank: int) -> str:
    """TensorFlow's name of a data format: "NHWC" for "channels_last" images, of rank 2."""
    return _TENSOR_FORMATS[data_format][rank]


def for_all_dimensions(sizes: tuple[int, ...], data_format: str) -> list[int]:
    """Sizes of the spatial dimensions as sizes of all dimensions, 1 for batch and channels."""
    return [1, 1, *sizes] if data_format == "channels_first" else [1, *sizes, 1]


def in_supported_format(
    op: Callable[[tf.Tensor, str], tf.Tensor], inputs: tf.Tensor, data_format: str
) -> tf.Tensor:
    """Runs an op in its data format, or between transposes where that has no kernel.

    TensorFlow's convolutions and pooling know "channels_first" on GPUs; on CPUs some do, depending
    on the build, the size and whether gradients are taken.

    Args:
        op: callable `(inputs, data format) -> outputs`, both of the same rank.
        inputs: tensor in `data_format`.
        data_format: "channels_last" or "channels_first".

    Returns:
        The outputs, in `data_format`.
    """
    if data_format == "channels_last" or not _is_for_cpu(inputs):
        return op(inputs, data_format)
    rank = inputs.shape.rank
    outputs = op(tf.transpose(inputs, [0, *range(2, rank), 1]), "channels_last")
    return tf.transpose(outputs, [0, rank - 1, *range(1, rank - 1)])


def _is_for_cpu(inputs: tf.Tensor) -> bool:
    """Whether ops on these inputs run on a CPU, as far as is known before they are placed."""
    if not _has_accelerator():
        return True
    if tf.executing_eagerly():
        device = context.context().device_name or inputs.device
    else:
        device = tf.no_op().device  # Of a graph, only an op tells which device scopes it is in.
    return tf.DeviceSpec.from_string(device).device_type == "CPU"


@functools.cache
def _has_accelerator() -> bool:
    return any(device.device_type != "CPU" for device in tf.config.list_logical_devices())
