"""Cases of TF1's layers, and what they compute in a TF1 graph with a session.

Run as a program, with `TF_USE_LEGACY_KERAS=1` and the path of an `.npz` file, it writes what the
official layers compute, which are in tf_keras. It imports nothing of the shim.
"""

import dataclasses
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1

# Training steps of a case.
STEPS = 3


@dataclasses.dataclass(frozen=True)
class Case:
    """TF1 code with layers.

    Args:
        code: callable `(layers, inputs, training) -> outputs`.
        shape: shape of the inputs.
        dtype: dtype of the inputs.
        dynamic: whether `training` is a tensor.
        scope: keyword arguments of the variable scope around the code.
    """

    code: Callable[[Any, tf.Tensor, Any], tf.Tensor]
    shape: tuple[int, ...]
    dtype: str = "float32"
    dynamic: bool = False
    scope: dict[str, Any] = dataclasses.field(default_factory=dict)


def wave(shape: Any, phase: float = 0.0) -> np.ndarray:
    """Different numbers between -1 and 1, in an order that no transposition keeps."""
    count = int(np.prod(shape))
    return np.sin(1.7 * np.arange(count) ** 1.1 + phase).reshape(shape)


def inputs_of(case: Case, step: int) -> np.ndarray:
    return (wave(case.shape, step) * (1 + 0.5 * step) + 0.3 * step).astype(case.dtype)


def initial(shape: Any, dtype: Any = None, partition_info: Any = None) -> tf.Tensor:
    return tf.cast(wave(tuple(shape), 0.5), dtype or tf.float32)


def initial_variance(shape: Any, dtype: Any = None, partition_info: Any = None) -> tf.Tensor:
    return tf.cast(1.5 + wave(tuple(shape), 0.7), dtype or tf.float32)


def half_sum_of_squares(variable: Any) -> tf.Tensor:
    return 0.05 * tf.reduce_sum(tf.square(variable))


def sum_of_magnitudes(variable: Any) -> tf.Tensor:
    return 0.03 * tf.reduce_sum(tf.abs(variable))


def stretch(shape: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """An adjustment of batch norm that depends on nothing random."""
    channels = tf.cast(tf.range(shape[-1]), tf.float32)
    return 1.0 + 0.1 * channels, 0.2 - 0.1 * channels


WEIGHTS = {"kernel_initializer": initial, "bias_initializer": initial}
SEPARABLE = {
    "depthwise_initializer": initial,
    "pointwise_initializer": initial,
    "bias_initializer": initial,
}
NORM = {
    "beta_initializer": initial,
    "gamma_initializer": initial_variance,
    "moving_mean_initializer": initial,
    "moving_variance_initializer": initial_variance,
    "momentum": 0.8,
}
SEQUENCES, IMAGES, VOLUMES = (4, 9, 3), (4, 7, 6, 3), (2, 5, 4, 6, 3)
FIRST = {"data_format": "channels_first"}


def function(name: str, shape: tuple[int, ...], *args: Any, **kwargs: Any) -> Case:
    """A case of a function without an argument `training`."""
    return Case(lambda layers, x, training: getattr(layers, name)(x, *args, **kwargs), shape)


def norm(shape: tuple[int, ...], dtype: str = "float32", dynamic: bool = False, **kw: Any) -> Case:
    return Case(
        lambda layers, x, training: layers.batch_normalization(
            x, training=training, **{**NORM, **kw}
        ),
        shape,
        dtype,
        dynamic,
    )


def automatic_names(layers: Any, x: tf.Tensor, training: Any) -> tf.Tensor:
    x = layers.conv2d(x, 2, 3, **WEIGHTS)
    with tf1.variable_scope("inner"):
        x = layers.conv2d(x, 3, 1, **WEIGHTS)
        x = layers.conv2d(x, 3, 1, **WEIGHTS)
    x = layers.conv2d(x, 2, 1, name="named", **WEIGHTS)
    x = layers.batch_normalization(layers.conv2d(x, 2, 1, **WEIGHTS), training=training, **NORM)
    return layers.dense(layers.flatten(layers.max_pooling2d(x, 2, 2)), 3, **WEIGHTS)


def reuse(layers: Any, x: tf.Tensor, training: Any) -> tf.Tensor:
    first = layers.conv2d(x, 3, 3, padding="same", name="conv", **WEIGHTS)
    second = layers.conv2d(first, 3, 3, padding="same", name="conv", reuse=True, **WEIGHTS)
    with tf1.variable_scope("conv", reuse=True):
        bias = tf1.get_variable("bias")
    return second * bias


def objects(layers: Any, x: tf.Tensor, training: Any) -> tf.Tensor:
    convolution = layers.Conv2D(3, 3, padding="same", activation="relu", **WEIGHTS)
    normalization = layers.BatchNormalization(name="norm", **NORM)
    twice = convolution(normalization.apply(convolution(x), training=training))
    namesake = layers.Conv2D(2, 1, trainable=False, **WEIGHTS)
    return namesake.apply(twice) + tf.reduce_sum(convolution.kernel)


def custom_layer(layers: Any, x: tf.Tensor, training: Any) -> tf.Tensor:
    class Affine(layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.scale = self.add_variable(
                "scale", [input_shape[-1]], initializer=initial, regularizer=half_sum_of_squares
            )
            self.shift = self.add_weight(
                "shift", [input_shape[-1]], initializer=initial, trainable=False
            )
            self.built = True

        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return inputs * self.scale + self.shift

    layer = Affine()
    return layer(layer(x)) + Affine(name="affine")(x)


def built_beforehand(layers: Any, x: tf.Tensor, training: Any) -> tf.Tensor:
    layer = layers.Dense(3, name="tied", **WEIGHTS)
    layer.build(x.shape)
    return tf.matmul(layer(x), layer.kernel, transpose_b=True)


def regularized(layers: Any, x: tf.Tensor, training: Any) -> tf.Tensor:
    x = layers.conv2d(x, 2, 3, kernel_regularizer=half_sum_of_squares, name="conv", **WEIGHTS)
    x = layers.conv2d(
        x,
        2,
        1,
        bias_regularizer=sum_of_magnitudes,
        activity_regularizer=half_sum_of_squares,
        **WEIGHTS,
    )
    return layers.dense(
        x, 2, kernel_regularizer="l2", activity_regularizer=sum_of_magnitudes, **WEIGHTS
    )


CASES = {
    "conv1d": function("conv1d", SEQUENCES, 2, 3, **WEIGHTS),
    "conv1d_strides": function("conv1d", SEQUENCES, 2, 3, 2, "same", **WEIGHTS),
    "conv1d_dilation": function("conv1d", SEQUENCES, 2, 3, dilation_rate=2, **WEIGHTS),
    "conv1d_causal": function("conv1d", SEQUENCES, 2, 3, padding="causal", **WEIGHTS),
    "conv1d_first": function("conv1d", (4, 3, 9), 2, 3, **FIRST, **WEIGHTS),
    "conv2d": function("conv2d", IMAGES, 2, 3, **WEIGHTS),
    "conv2d_strides": function(
        "conv2d", IMAGES, 2, (3, 2), (2, 1), "SAME", activation=tf.nn.relu, **WEIGHTS
    ),
    "conv2d_dilation": function("conv2d", IMAGES, 2, 3, dilation_rate=(1, 2), **WEIGHTS),
    "conv2d_no_bias": function("conv2d", IMAGES, 2, 3, use_bias=False, **WEIGHTS),
    "conv2d_first": function("conv2d", (4, 3, 7, 6), 2, 3, 2, "same", **FIRST, **WEIGHTS),
    "conv3d": function("conv3d", VOLUMES, 2, 3, **WEIGHTS),
    "conv3d_first": function("conv3d", (2, 3, 5, 4, 6), 2, 2, (1, 2, 1), **FIRST, **WEIGHTS),
    "conv2d_transpose": function("conv2d_transpose", IMAGES, 2, 3, 2, **WEIGHTS),
    "conv2d_transpose_same": function(
        "conv2d_transpose", IMAGES, 2, (3, 2), (1, 3), "same", activation="tanh", **WEIGHTS
    ),
    "conv2d_transpose_first": function(
        "conv2d_transpose", (4, 3, 7, 6), 2, 2, (3, 2), **FIRST, **WEIGHTS
    ),
    "conv3d_transpose": function("conv3d_transpose", VOLUMES, 2, 3, 2, **WEIGHTS),
    "conv3d_transpose_first": function(
        "conv3d_transpose", (2, 3, 5, 4, 6), 2, 2, 2, "same", use_bias=False, **FIRST, **WEIGHTS
    ),
    "separable_conv1d": function("separable_conv1d", SEQUENCES, 2, 3, 2, **SEPARABLE),
    "separable_conv1d_dilation": function(
        "separable_conv1d", SEQUENCES, 4, 2, dilation_rate=3, depth_multiplier=2, **SEPARABLE
    ),
    "separable_conv1d_causal": function(
        "separable_conv1d", SEQUENCES, 2, 3, padding="causal", **SEPARABLE
    ),
    "separable_conv1d_first": function(
        "separable_conv1d", (4, 3, 9), 2, 3, padding="same", **FIRST, **SEPARABLE
    ),
    "separable_conv2d": function("separable_conv2d", IMAGES, 2, 3, 2, "same", **SEPARABLE),
    "separable_conv2d_dilation": function(
        "separable_conv2d", IMAGES, 4, (3, 2), dilation_rate=2, depth_multiplier=2, **SEPARABLE
    ),
    "separable_conv2d_first": function(
        "separable_conv2d", (4, 3, 7, 6), 2, 3, **FIRST, **SEPARABLE
    ),
    "dense": function("dense", (4, 5), 3, **WEIGHTS),
    "dense_images": function("dense", IMAGES, 2, tf.nn.relu, use_bias=False, **WEIGHTS),
    "dense_float64": Case(
        lambda layers, x, training: layers.dense(x, 2, **WEIGHTS), (4, 5), "float64"
    ),
    "flatten": function("flatten", IMAGES),
    "flatten_first": function("flatten", IMAGES, data_format="channels_first"),
    "flatten_vectors": function("flatten", (4,)),
    "dropout_not_training": function("dropout", IMAGES),
    "dropout_of_nothing": Case(
        lambda layers, x, training: layers.dropout(x, 0.0, training=training), IMAGES
    ),
    **{
        f"{kind}_pooling{rank}d{suffix}": function(
            f"{kind}_pooling{rank}d", (2, 3, *shape) if first else (2, *shape, 3), 3, 2, **arguments
        )
        for kind in ("max", "average")
        for rank, shape in ((1, (9,)), (2, (7, 6)), (3, (5, 4, 6)))
        for suffix, first, arguments in (
            ("", False, {}),
            ("_same", False, {"padding": "same"}),
            ("_first", True, {"padding": "same", **FIRST}),
        )
    },
    "norm_images": norm(IMAGES),
    "norm_images_first": norm((4, 3, 7, 6), axis=1),
    "norm_images_third_axis": norm(IMAGES, axis=-2),
    "norm_images_batch_axis": norm(IMAGES, axis=[0]),
    "norm_images_not_fused": norm(IMAGES, fused=False, epsilon=0.1),
    "norm_images_first_not_fused": norm((4, 3, 7, 6), axis=[1], fused=False),
    "norm_images_float64": norm(IMAGES, "float64"),
    "norm_two_axes": norm(IMAGES, axis=[1, 3]),
    "norm_plain": norm(IMAGES, center=False, scale=False),
    "norm_plain_not_fused": norm(IMAGES, center=False, scale=False, fused=False),
    "norm_not_trainable": norm(IMAGES, trainable=False),
    "norm_regularized": norm(
        IMAGES, gamma_regularizer=sum_of_magnitudes, beta_regularizer=half_sum_of_squares
    ),
    "norm_vectors": norm((8, 3)),
    "norm_sequences": norm(SEQUENCES),
    "norm_volumes": norm(VOLUMES),
    "norm_volumes_first": norm((2, 3, 5, 4, 6), axis=1),
    "norm_volumes_fourth_axis": norm(VOLUMES, axis=3),
    "norm_renorm": norm(IMAGES, renorm=True),
    "norm_renorm_fused": norm(IMAGES, renorm=True, fused=True, scale=False),
    "norm_renorm_clipped": norm(
        (8, 3),
        renorm=True,
        renorm_clipping={"rmin": 0.8, "rmax": 1.1, "dmax": 0.2},
        renorm_momentum=0.7,
    ),
    "norm_renorm_first": norm((4, 3, 7, 6), axis=1, renorm=True, center=False),
    "norm_renorm_two_axes": norm(IMAGES, axis=[1, 3], renorm=True),
    "norm_virtual": norm(IMAGES, virtual_batch_size=2),
    "norm_virtual_vectors": norm((8, 3), virtual_batch_size=4),
    "norm_virtual_first": norm((4, 3, 7, 6), axis=1, virtual_batch_size=2, fused=True),
    "norm_virtual_two_axes": norm(IMAGES, axis=[1, 3], virtual_batch_size=2),
    "norm_virtual_renorm": norm(IMAGES, virtual_batch_size=2, renorm=True),
    "norm_adjusted": norm(IMAGES, adjustment=stretch),
    "norm_adjusted_renorm": norm((8, 3), adjustment=stretch, renorm=True, scale=False),
    "norm_dynamic": norm(IMAGES, dynamic=True),
    "norm_dynamic_not_fused": norm(IMAGES, dynamic=True, fused=False),
    "norm_dynamic_renorm": norm(IMAGES, dynamic=True, renorm=True),
    "norm_dynamic_adjusted": norm(IMAGES, dynamic=True, adjustment=stretch),
    "automatic_names": Case(automatic_names, IMAGES),
    "reuse": Case(reuse, IMAGES),
    "objects": Case(objects, IMAGES),
    "custom_layer": Case(custom_layer, (4, 5)),
    "built_beforehand": Case(built_beforehand, (4, 5)),
    "regularized": Case(regularized, IMAGES),
    "regularized_by_scope": Case(regularized, IMAGES, scope={"regularizer": sum_of_magnitudes}),
    "defaults_of_scope": Case(
        lambda layers, x, training: layers.conv2d(x, 2, 3), IMAGES, scope={"initializer": initial}
    ),
}


def run_in_session(case: Case, layers: Any) -> dict[str, np.ndarray]:
    """What a case gives in a TF1 graph: training steps, then an inference, by TF1's rules.

    Args:
        case: the case.
        layers: the module with the layers.

    Returns:
        Arrays by name: `names`, `shapes` and `trainable` flags of the variables; for each step
        outputs, regularization loss and gradients; the final values of the variables and the
        outputs in inference.
    """
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(case.dtype, case.shape)
        training = tf1.placeholder(tf.bool, []) if case.dynamic else True
        with tf1.variable_scope("net", **case.scope):
            outputs = case.code(layers, x, training)
        loss = tf1.losses.get_regularization_loss()
        updates = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
        variables, trainable = tf1.global_variables(), tf1.trainable_variables()
        total = loss_of(outputs) + tf.cast(loss, outputs.dtype)
        gradients = {
            variable.op.name: gradient
            for variable, gradient in zip(trainable, tf.gradients(total, trainable), strict=True)
            if gradient is not None
        }
        gradients["inputs"] = tf.gradients(total, x)[0]
        evaluation = outputs
        if not case.dynamic:
            with tf1.variable_scope("net", reuse=True, **case.scope):
                evaluation = case.code(layers, x, False)
        session.run(tf1.global_variables_initializer())
        results = description(variables, trainable)
        for step in range(STEPS):
            feed = {x: inputs_of(case, step), **({training: True} if case.dynamic else {})}
            values = session.run([outputs, loss, gradients, updates], feed)
            results.update(step_results(step, *values[:3]))
        results.update(final_values(variables, session.run(variables)))
        feed = {x: inputs_of(case, STEPS), **({training: False} if case.dynamic else {})}
        results["evaluation"] = session.run(evaluation, feed)
    return results


def loss_of(outputs: tf.Tensor) -> tf.Tensor:
    weights = wave([int(size) for size in outputs.shape], 0.2)
    return tf.reduce_sum(outputs * tf.cast(weights, outputs.dtype))


def description(variables: list[Any], trainable: list[Any]) -> dict[str, np.ndarray]:
    trainable_names = {variable.op.name for variable in trainable}
    return {
        "names": np.array([variable.op.name for variable in variables]),
        "shapes": np.array([str(tuple(variable.shape)) for variable in variables]),
        "trainable": np.array([variable.op.name in trainable_names for variable in variables]),
    }


def step_results(step: int, outputs: Any, loss: Any, gradients: dict) -> dict[str, np.ndarray]:
    return {
        f"outputs{step}": np.asarray(outputs),
        f"regularization{step}": np.asarray(loss),
        **{f"gradient{step}:{name}": np.asarray(value) for name, value in gradients.items()},
    }


def final_values(variables: list[Any], values: list[Any]) -> dict[str, np.ndarray]:
    return {
        f"value:{variable.op.name}": np.asarray(value)
        for variable, value in zip(variables, values, strict=True)
    }


def signatures(layers: Any) -> dict[str, np.ndarray]:
    """The arguments of all functions and classes, in order, with their defaults."""
    found = {}
    for name in dir(layers):
        value = getattr(layers, name)
        if not name.startswith("_") and callable(value) and name != "InputSpec":
            # Of a class that has a `__new__` too, Python's releases differ in which one they show.
            called = value.__init__ if inspect.isclass(value) else value
            parameters = [
                parameter
                for parameter in inspect.signature(called).parameters.values()
                if parameter.kind != parameter.VAR_KEYWORD and parameter.name != "self"
            ]
            found[name] = np.array([described(parameter) for parameter in parameters])
    return found


def described(parameter: inspect.Parameter) -> str:
    default = parameter.default
    if default is parameter.empty:
        return parameter.name
    if isinstance(default, tuple) and set(default) == {1}:
        default = 1  # An integer stands for all dimensions.
    is_plain = default is None or isinstance(default, bool | int | float | str)
    return f"{parameter.name}={default if is_plain else type(default).__name__}"


def main(path: str) -> None:
    layers = tf1.layers
    results = {f"signature/{name}": value for name, value in signatures(layers).items()}
    for name, case in CASES.items():
        try:
            values = run_in_session(case, layers)
        except (tf.errors.UnimplementedError, tf.errors.InvalidArgumentError) as error:
            values = {"failure": np.array(str(error))}
        results.update({f"{name}/{key}": value for key, value in values.items()})
    np.savez(Path(path), **results)


if __name__ == "__main__":
    main(sys.argv[1])
