"""Small pieces of TF1 code that tell shims apart, and what a shim makes of them.

Each function runs its code under the shim given and returns what came out, as plain data.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from shimzoo.tests.shim.idiom_runs import Shim, features_of
from shimzoo.tests.shim.tf1_idioms import IDIOMS

tf1 = tf.compat.v1

INPUTS = np.ones([2, 3], "float32")


def decorated(shim: Shim, code: Callable) -> Any:
    """A layer whose forward pass is TF1 code."""

    class Decorated(shim.layer_class):
        @shim.decorator
        def call(self, inputs):
            return code(inputs)

    return Decorated()


def names(shim: Shim, layer: Any) -> list[str]:
    return list(shim.variables(layer))


def outcome(run: Callable[[], Any]) -> Any:
    """What a function returns, or its error's text."""
    try:
        return run()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def call(layer: Any, wrap: Callable = lambda f: f) -> Any:
    """What a layer makes of the inputs, as a list; or the error."""
    return outcome(lambda: wrap(lambda x: layer(x))(tf.constant(INPUTS)).numpy().tolist())


def unnamed_layers_at_the_root(shim: Shim) -> list[list[str]]:
    """Names after the first, second and third call."""
    layer, after_each_call = decorated(shim, lambda x: tf1.layers.dense(x, 2)), []
    with warnings.catch_warnings():  # Such names depend on the order of the calls.
        warnings.simplefilter("ignore")
        for _ in range(3):
            call(layer)
            after_each_call.append(names(shim, layer))
    return after_each_call


def order_of_weights(shim: Shim) -> list[str]:
    def code(x):
        tf1.get_variable("b", [2], trainable=False)
        return x * tf1.get_variable("c", []) * tf1.get_variable("a", [])

    layer = decorated(shim, code)
    call(layer)
    return names(shim, layer)


def tensor_initializer(shim: Shim) -> Any:
    """The outputs eagerly and in a function."""

    def code(x):
        return x * tf1.get_variable("v", initializer=tf.fill([3], 2.0))

    return [call(decorated(shim, code)), call(decorated(shim, code), tf.function)]


def names_of_tensors(shim: Shim) -> Any:
    """What eager tensors answer to `name` and `op.name`."""
    found: list[str] = []

    def code(x, ask):
        with tf1.variable_scope("net"):
            found.append(ask(tf.identity(x)))
        return x

    asked = [lambda tensor: tensor.name, lambda tensor: tensor.op.name]
    errors = [call(decorated(shim, lambda x, ask=ask: code(x, ask))) for ask in asked]
    return found or errors


def dimension_values(shim: Shim) -> Any:
    return call(decorated(shim, lambda x: x * x.shape[1].value))


def bare_variables(shim: Shim) -> dict[str, Any]:
    """Whether they are tracked and found again, and what a function makes of them."""
    made = []

    def code(x):
        made.append(tf.Variable(tf.ones([3]), name="v"))
        return x * made[-1]

    layer = decorated(shim, code)
    call(layer), call(layer)
    return {
        "tracked": names(shim, layer),
        "found again": made[0] is made[1],
        "in a function": call(decorated(shim, code), tf.function),
    }


def reuse_of_what_does_not_exist(shim: Shim) -> Any:
    def code(x):
        with tf1.variable_scope("net", reuse=True):
            return x * tf1.get_variable("missing", [3], initializer=tf1.ones_initializer())

    return call(decorated(shim, code))


def partitioned(shim: Shim) -> Any:
    ones = tf1.ones_initializer()
    partitioner = tf1.fixed_size_partitioner(3)
    return call(
        decorated(
            shim,
            lambda x: x * tf1.get_variable("v", [3], initializer=ones, partitioner=partitioner),
        )
    )


def regularizers_of_scopes(shim: Shim) -> list[float]:
    """The layer's losses."""

    def code(x):
        with tf1.variable_scope("net", regularizer=tf.reduce_sum):
            return x * tf1.get_variable("v", [3], initializer=tf1.ones_initializer())

    layer = decorated(shim, code)
    call(layer)
    return [float(loss) for loss in layer.losses]


def template_in_turns(shim: Shim) -> Any:
    """The outputs of a template made once and called in functions and eagerly, in turns."""

    class Templated(shim.layer_class):
        def __init__(self):
            super().__init__()
            self.scale = tf1.make_template(
                "scale",
                lambda x: x * tf1.get_variable("v", [3], initializer=tf1.ones_initializer()),
            )

        @shim.decorator
        def call(self, inputs):
            with tf1.variable_scope("net"):
                return self.scale(inputs)

    layer = Templated()
    return [call(layer, wrap) for wrap in (tf.function, lambda f: f, tf.function)]


def function_inside(shim: Shim) -> Any:
    """The variables of two layers whose methods call one `tf.function` that asks for some."""
    function = tf.function(lambda x: x * tf1.get_variable("v", [3]))
    layers = [decorated(shim, lambda x: function(x)) for _ in range(2)]
    errors = [error for layer in layers if isinstance(error := call(layer), str)]
    return errors or [names(shim, layer) for layer in layers]


def nested_names(shim: Shim) -> list[str]:
    inner = decorated(shim, lambda x: x * tf1.get_variable("v", [3]))

    def code(x):
        with tf1.variable_scope("outer"):
            return inner(x)

    outer = decorated(shim, code)
    outer.inner = inner
    call(outer)
    return names(shim, outer)


def collections(shim: Shim) -> dict[str, list[int]]:
    """How much there is in a call of the variables, losses and end points, and after it.

    The second call of a layer, by collection: `[in the call, in the global graph after it]`.
    """
    graph, found = tf1.get_default_graph(), {}
    keys = ["variables", "regularization_losses", "losses", "end_points"]
    for key in keys:
        graph.clear_collection(key)

    def code(x):
        x = x * tf1.get_variable("v", [3], regularizer=tf.reduce_sum)
        tf1.losses.add_loss(tf.reduce_sum(x))
        tf1.add_to_collection("end_points", x)
        found.update({key: [len(tf1.get_collection(key))] for key in keys})
        return x

    layer = decorated(shim, code)
    call(layer), call(layer)
    for key in keys:
        found[key].append(len(graph.get_collection(key)))
    return found


def keras_file(shim: Shim, keras_package: Any, folder: Path) -> dict[str, Any]:
    """Whether a reloaded functional model has its variables and gives the same outputs."""

    @keras_package.saving.register_keras_serializable("facts")
    class Saved(shim.layer_class):
        @shim.decorator
        def call(self, inputs):
            with tf1.variable_scope("net"):
                return tf.matmul(inputs, tf1.get_variable("kernel", [3, 2]))

    inputs = keras_package.Input([3])
    model = keras_package.Model(inputs, Saved()(inputs))
    model.save(folder / "model.keras")
    loaded = keras_package.models.load_model(folder / "model.keras")
    return {
        "variables": len(loaded.weights),
        "same outputs": bool(np.allclose(model(INPUTS), loaded(INPUTS))),
    }


def trained_variables(shim: Shim, first_training: bool) -> list[str]:
    """What is trainable of code with `trainable=is_training`, by the mode of the first call."""
    layer, features = shim.layer(IDIOMS["vggish"]), features_of(IDIOMS["vggish"])
    layer(features, training=first_training)
    layer(features, training=True)
    return sorted(name for name, variable in shim.variables(layer).items() if variable.trainable)


def seeded_initializers(shim: Shim, keras_package: Any) -> bool:
    """Whether Keras' initializers draw the same each time under the tool for determinism."""
    draws = []
    for _ in range(2):
        with shim.random():
            draws.append(np.array(keras_package.initializers.GlorotUniform()([2, 2])))
    return bool(np.array_equal(*draws))


def on_two_replicas(shim: Shim) -> list[str]:
    """The kinds of a layer's variables whose first call is on two replicas."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = decorated(shim, lambda x: x * tf1.get_variable("v", [3]))
    strategy.run(tf.function(lambda x: layer(x)), (tf.constant(INPUTS),))
    variables = shim.variables(layer).values()
    return [type(variable).__name__ for variable in variables]


def created_layers(shim: Shim, get_or_create_layer: Callable) -> dict[str, Any]:
    """Whether a Keras 3 layer made in a method runs, and how many variables of it are tracked."""

    def code(x):
        with tf1.variable_scope("net"):
            return get_or_create_layer("native", lambda: keras.layers.Dense(2))(x)

    layer = decorated(shim, code)
    runs = isinstance(call(layer), list)
    return {"runs": runs, "tracked": len(names(shim, layer))}


def losses_of_a_module(shim: Shim) -> list[str]:
    """What a `tf.Module` says of losses by its own attributes."""

    class Decorated(tf.Module):
        @shim.decorator
        def __call__(self, inputs):
            return inputs * tf1.get_variable("v", [3], regularizer=tf.reduce_sum)

    module = Decorated()
    module(tf.constant(INPUTS))
    return [name for name in dir(module) if "loss" in name]


def tf1_checkpoint(shim: Shim, folder: Path) -> Any:
    """What a layer computes whose variable was restored by a TF1 saver."""
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = tf1.get_variable("net/v", initializer=[1.0, 2.0, 3.0])
        session.run(variable.initializer)
        path = tf1.train.Saver().save(session, str(folder / "tf1"))

    def code(x):
        with tf1.variable_scope("net"):
            return x * tf1.get_variable("v", [3])

    layer = decorated(shim, code)
    call(layer)
    tf1.train.Saver(shim.variables(layer)).restore(None, path)
    return call(layer)


def facts(shim: Shim, keras_package: Any, folder: Path) -> dict[str, Any]:
    """All of them, by name."""
    alone = [
        unnamed_layers_at_the_root,
        order_of_weights,
        tensor_initializer,
        names_of_tensors,
        dimension_values,
        bare_variables,
        reuse_of_what_does_not_exist,
        partitioned,
        regularizers_of_scopes,
        template_in_turns,
        function_inside,
        nested_names,
        collections,
        losses_of_a_module,
        on_two_replicas,
    ]
    get_or_create_layer = tf1.keras.utils.get_or_create_layer
    found = {measure.__name__: outcome(lambda measure=measure: measure(shim)) for measure in alone}
    found["keras_file"] = keras_file(shim, keras_package, folder)
    found["created_layers"] = outcome(lambda: created_layers(shim, get_or_create_layer))
    found["tf1_checkpoint"] = tf1_checkpoint(shim, folder)
    found["seeded_initializers"] = seeded_initializers(shim, keras_package)
    for training in (True, False):
        found[f"trained_variables {training}"] = trained_variables(shim, training)
    found["layers_are_keras_layers"] = issubclass(tf1.layers.Dense, shim.layer_class)
    return found
