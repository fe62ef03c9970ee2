"""Frozen graphs: a GraphDef whose variables have become constants."""

from pathlib import Path
from typing import Any

import numpy as np

from .checkpoint import Checkpoint, TensorSpec

# What reads a variable's value in a graph; of a frozen one, these read its constant.
_READERS = ("Identity", "ReadVariableOp")


def open_graph(path: Path) -> Checkpoint:
    """Reads the weights of a frozen GraphDef.

    Args:
        path: A `.pb` file, as `freeze_graph` or `convert_variables_to_constants` wrote it.

    Returns:
        The constants that were variables, under their names, those of an import scope included.

    Raises:
        ValueError: It is no GraphDef, or one without weights.
    """
    from google.protobuf import message
    from tensorflow.core.framework import graph_pb2

    graph = graph_pb2.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except message.DecodeError as error:
        raise ValueError(f"{path} is not a frozen graph, or a damaged one.") from error
    constants = {node.name: node for node in graph.node if node.op == "Const"}
    weights = {
        name: constants[name]
        for node in graph.node
        if node.op in _READERS and node.input
        for name in [node.input[0].removesuffix(":0")]
        if name in constants and _is_read_by(node.name, name)
    }
    if not weights:
        raise ValueError(
            f"{path} has no weights: it is no GraphDef, or one that is not frozen, or whose "
            "variables were folded into other constants."
        )
    specs = {name: _spec(path, node) for name, node in weights.items()}
    return Checkpoint(path, "graph", specs, lambda name: _value(path, weights[name], specs[name]))


def _is_read_by(reader: str, variable: str) -> bool:
    """Whether an op was made to read a variable: `v/read`, or anywhere a `ReadVariableOp`."""
    return reader.startswith(f"{variable}/") or "ReadVariableOp" in reader.rpartition("/")[2]


def _spec(path: Path, node: Any) -> TensorSpec:
    import tensorflow as tf

    tensor = node.attr["value"].tensor
    shape = tuple(dimension.size for dimension in tensor.tensor_shape.dim)
    try:
        spec = TensorSpec(shape, tf.as_dtype(tensor.dtype).name)
    except TypeError as error:
        raise ValueError(f"{path} is damaged: {node.name} has no dtype.") from error
    if any(size < 0 for size in shape):
        raise ValueError(f"{path} is damaged: {node.name} would be {spec}.")
    return spec


def _value(path: Path, node: Any, spec: TensorSpec) -> np.ndarray:
    import tensorflow as tf

    tensor = node.attr["value"].tensor
    # A constant of one repeated value is stored once, whatever its shape.
    is_whole = len(tensor.tensor_content) == spec.elements * tf.as_dtype(spec.dtype).size
    if (tensor.tensor_content and not is_whole) or spec.elements > _MOST_ELEMENTS:
        raise ValueError(f"{path} is damaged: {node.name} is not the {spec} it says it is.")
    try:
        return tf.make_ndarray(tensor)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {node.name} can't be read.") from error


# A protocol buffer holds 2 GiB at most; what is not in it can't be a weight of a net.
_MOST_ELEMENTS = 2**31
