"""Runs an idiom in a TF1 graph with a session, and decorated by a shim; with any Keras.

What a run gives is a flat dictionary of arrays, the same keys for all ways of running:
`names`, `shapes` and `trainable` of the variables in their order, `initial/<name>` the values at
first of those that a training step does not assign, `outputs/...`, `losses` and `gradients/<name>`
of a training step from known values, `values/<name>` after it, `evaluation/...` the outputs out of
training then, and `collections/<key>` what a training step has in TF1's collections: the names of
variables, and for tensors how many.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from shimzoo.tests.shim.tf1_idioms import Idiom, known_value

tf1 = tf.compat.v1

# Where TF1 graphs keep what nobody asks for in TF2: updates run at once, control flow is Python's.
_OF_GRAPHS = {tf1.GraphKeys.UPDATE_OPS, "cond_context", "while_context"}

Results = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Shim:
    """A shim and the Keras it belongs to.

    Args:
        layer_class: `keras.Layer`.
        decorator: its `track_tf1_style_variables`.
        tool: its `DeterministicRandomTestTool`.
        variables: gives the variables that a layer has, as `tf.Variable`s by name, in its order.
        guard: makes a context in which no variables may be made.
    """

    layer_class: type
    decorator: Callable
    tool: type
    variables: Callable[[Any], dict[str, tf.Variable]]
    guard: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext

    def random(self) -> Any:
        """Has random ops draw the same numbers whatever runs them."""
        return self.tool(mode="constant").scope()

    def layer(self, idiom: Idiom) -> Any:
        """A layer of that idiom, which notes its collections in `collections`."""
        decorator, noted = self.decorator, {}

        class IdiomLayer(self.layer_class):
            @decorator
            def call(self, features, training=False):
                outputs = idiom.forward(features, training)
                noted.update(collections_now())
                return outputs

        layer = IdiomLayer()
        object.__setattr__(layer, "collections", noted)
        return layer


def collections_now() -> Results:
    """What is in TF1's collections."""
    graph = tf1.get_default_graph()
    keys = [key for key in graph.get_all_collection_keys() if isinstance(key, str)]
    contents = {key: tf1.get_collection(key) for key in set(keys) - _OF_GRAPHS}
    return {
        f"collections/{key}": _names_or_count(items) for key, items in contents.items() if items
    }


def _names_or_count(items: list) -> np.ndarray:
    if all(isinstance(item, tf.Variable) for item in items):
        return np.array([item.op.name for item in items])
    return np.array(len(items))


def features_of(idiom: Idiom) -> dict[str, tf.Tensor]:
    return {name: tf.constant(array) for name, array in idiom.features.items()}


def loss_of(outputs: dict[str, tf.Tensor], losses: list[tf.Tensor]) -> tf.Tensor:
    """A loss that every number of the outputs has a part of its own in."""
    parts = [tf.zeros([]), *losses]
    for output in outputs.values():
        if output.dtype.is_floating:
            flat = tf.reshape(output, [-1])
            places = tf.range(tf.size(flat), dtype=tf.float32)
            parts.append(tf.reduce_mean(flat * tf.sin(1.0 + places)))
    return tf.add_n(parts)


@contextlib.contextmanager
def tf1_shapes() -> Iterator[None]:
    """Lets dimensions of shapes be objects with a `value`, as they were in TF1."""
    tf1.disable_v2_tensorshape()
    try:
        yield
    finally:
        tf1.enable_v2_tensorshape()


@contextlib.contextmanager
def _tf1(shim: Shim) -> Iterator[tf1.Session]:
    config = tf1.ConfigProto()  # A graph that is run once is not worth being optimized.
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.opt_level = tf1.OptimizerOptions.L0
    with (
        tf1_shapes(),
        tf.Graph().as_default(),
        tf1.Session(config=config) as session,
        shim.random(),
    ):
        yield session


def run_in_session(idiom: Idiom, shim: Shim) -> Results:
    """Runs an idiom as TF1 did."""
    results = _trained_in_session(idiom, shim)
    with _tf1(shim) as session:
        outputs = idiom.forward(features_of(idiom), False)
        _load(session, lambda v: results[f"values/{v.op.name}"])
        results.update(_prefixed("evaluation", session.run(outputs)))
    return results


def _trained_in_session(idiom: Idiom, shim: Shim) -> Results:
    with _tf1(shim) as session:
        outputs = idiom.forward(features_of(idiom), True)
        variables = {v.op.name: v for v in tf1.global_variables()}
        collections = collections_now()
        # Some code puts others into the collection of those.
        trainable = {name: v for name, v in variables.items() if v.trainable}
        losses = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
        gradients = tf.gradients(loss_of(outputs, losses), list(trainable.values()))
        gradients = dict(zip(trainable, gradients, strict=True))
        session.run(tf1.global_variables_initializer())
        initial = session.run(variables)
        _load(session, lambda v: known_value(v.op.name, v.shape.as_list(), v.dtype.base_dtype.name))
        updates = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
        fetched = session.run(
            {
                "outputs": outputs,
                "losses": tf.add_n([tf.zeros([]), *losses]),
                "gradients": {
                    k: tf.convert_to_tensor(g) for k, g in gradients.items() if g is not None
                },
                "updates": updates,
            }
        )
        values = session.run(variables)
    return {
        "names": np.array(list(variables)),
        "shapes": np.array([str(v.shape) for v in variables.values()]),
        "trainable": np.array([name in trainable for name in variables]),
        **_prefixed("initial", _unassigned(initial, values)),
        **_prefixed("outputs", fetched["outputs"]),
        "losses": fetched["losses"],
        **_prefixed("gradients", fetched["gradients"]),
        **_prefixed("values", values),
        **collections,
    }


def _load(session: tf1.Session, value_of: Callable[[tf.Variable], np.ndarray]) -> None:
    for variable in tf1.global_variables():
        variable.load(value_of(variable), session)


def run_decorated(idiom: Idiom, shim: Shim, wrap: Callable[[Callable], Callable]) -> Results:
    """Runs an idiom in a decorated layer.

    Args:
        idiom: the idiom.
        shim: the shim.
        wrap: `tf.function`, or what leaves a function as it is.
    """
    layer, features = shim.layer(idiom), features_of(idiom)
    with shim.random():
        wrap(lambda x: layer(x, training=True))(features)
    initial = {name: v.numpy() for name, v in shim.variables(layer).items()}
    give_known_values(shim.variables(layer))
    with shim.random(), shim.guard():
        outputs, losses, gradients = wrap(lambda x: training_step(layer, shim, x))(features)
    collections = dict(layer.collections)
    values = {name: v.numpy() for name, v in shim.variables(layer).items()}
    with shim.guard():
        evaluated = wrap(lambda x: layer(x, training=False))(features)
    variables = shim.variables(layer)
    return {
        "names": np.array(list(variables)),
        "shapes": np.array([str(v.shape) for v in variables.values()]),
        "trainable": np.array([v.trainable for v in variables.values()]),
        **_prefixed("initial", _unassigned(initial, values)),
        **_prefixed("outputs", outputs),
        "losses": losses.numpy(),
        **_prefixed("gradients", gradients),
        **_prefixed("values", values),
        **_prefixed("evaluation", evaluated),
        **collections,
    }


def give_known_values(variables: dict[str, tf.Variable]) -> None:
    for name, variable in variables.items():
        variable.assign(known_value(name, variable.shape.as_list(), variable.dtype.name))


def training_step(layer: Any, shim: Shim, features: dict[str, tf.Tensor]) -> tuple:
    """The outputs, the sum of the layer's losses, and the gradients by name."""
    with tf.GradientTape() as tape:
        outputs = layer(features, training=True)
        losses = list(layer.losses)
        loss = loss_of(outputs, losses)
    trainable = {name: v for name, v in shim.variables(layer).items() if v.trainable}
    gradients = tape.gradient(loss, trainable)
    found = {name: tf.convert_to_tensor(g) for name, g in gradients.items() if g is not None}
    return outputs, tf.add_n([tf.zeros([]), *losses]), found


def _unassigned(initial: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Those of the values at first that a training step, which the first call may be, has left."""
    return {
        name: value
        for name, value in initial.items()
        if np.array_equal(values[name], known_value(name, value.shape, value.dtype.name))
    }


def _prefixed(prefix: str, arrays: dict[str, Any]) -> Results:
    return {f"{prefix}/{name}": np.asarray(array) for name, array in arrays.items()}


def assert_same(found: Results, expected: Results) -> None:
    """Holds what one run gave against what another gave, numbers within float32's rounding."""
    assert set(found) == set(expected)
    for key, value in expected.items():
        if value.dtype.kind == "f" and value.size:
            scale = max(np.abs(value).max(), 1e-3)
            np.testing.assert_allclose(found[key], value, 1e-4, 1e-5 * scale, err_msg=key)
        else:
            np.testing.assert_array_equal(found[key], value, err_msg=key)
