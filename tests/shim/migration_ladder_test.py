"""The way from TF1 to Keras layers: G13 (equal numbers) and G15 (object-based checkpoints)."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1
layers = shim.layers

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(6, 8, 8, 3)).astype("float32")
LABELS = RANDOM.normal(size=(6, 2)).astype("float32")
WEIGHT_DECAY = 0.01
DROPOUT_RATE = 0.4
LEARNING_RATE = 0.1
MOMENTUM, EPSILON = 0.9, 1e-3
NAMES = [
    "model/conv2d/kernel",
    "model/conv2d/bias",
    "model/batch_normalization/gamma",
    "model/batch_normalization/beta",
    "model/batch_normalization/moving_mean",
    "model/batch_normalization/moving_variance",
    "model/conv2d_1/kernel",
    "model/conv2d_1/bias",
    "model/dense/kernel",
    "model/dense/bias",
]
BOTH_MODES = pytest.mark.parametrize("mode", ["constant", "num_random_ops"])


def l2(scale):
    return keras.regularizers.L2(scale)


def tf1_net(images, training):
    """The net as TF1 code has it."""
    with tf1.variable_scope("model"):
        x = layers.conv2d(images, 4, 3, kernel_regularizer=l2(WEIGHT_DECAY))
        x = layers.batch_normalization(x, momentum=MOMENTUM, epsilon=EPSILON, training=training)
        x = tf.nn.relu(x)
        x = layers.dropout(x, DROPOUT_RATE, training=training)
        x = layers.conv2d(
            x, 5, 3, kernel_initializer=tf1.truncated_normal_initializer(stddev=0.2), strides=2
        )
        x = layers.flatten(x)
        x = layers.dropout(x, DROPOUT_RATE, training=training)
        return layers.dense(
            x,
            2,
            kernel_initializer=tf1.random_normal_initializer(stddev=0.1),
            kernel_regularizer=l2(2 * WEIGHT_DECAY),
        )


class Shimmed(keras.Layer):
    """The TF1 net, untouched, in a decorated method."""

    @shim.track_tf1_style_variables
    def call(self, images, training=False):
        return tf1_net(images, training)


def keras_conv():
    return keras.layers.Conv2D(4, 3, kernel_regularizer=l2(WEIGHT_DECAY), name="conv2d")


def keras_conv_1():
    return keras.layers.Conv2D(
        5, 3, strides=2, kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.2)
    )


def keras_norm():
    return keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON)


def keras_dropout():
    return keras.layers.Dropout(DROPOUT_RATE)


def keras_dense():
    return keras.layers.Dense(
        2,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.1),
        kernel_regularizer=l2(2 * WEIGHT_DECAY),
    )


class PartlyNative(keras.Layer):
    """Native layers, one an attribute and one made in the method, beside TF1 layers."""

    def __init__(self):
        super().__init__()
        self.conv2d = keras_conv()

    def build(self, input_shape):
        """Lets the layers build themselves when called, in TF1's order."""

    @shim.track_tf1_style_variables
    def call(self, images, training=False):
        with tf1.variable_scope("model"):
            x = self.conv2d(images)
            shim.record_scope("conv2d")
            x = layers.batch_normalization(x, momentum=MOMENTUM, epsilon=EPSILON, training=training)
            x = tf.nn.relu(x)
            x = shim.get_or_create_layer("dropout", keras_dropout)(x, training=training)
            x = layers.conv2d(
                x, 5, 3, kernel_initializer=tf1.truncated_normal_initializer(stddev=0.2), strides=2
            )
            x = layers.flatten(x)
            x = layers.dropout(x, DROPOUT_RATE, training=training)
            return shim.get_or_create_layer("dense", keras_dense)(x)


class Native(keras.Layer):
    """Keras layers only."""

    def __init__(self):
        super().__init__()
        self.conv2d = keras_conv()
        self.batch_normalization = keras_norm()
        self.dropout = keras_dropout()
        self.conv2d_1 = keras_conv_1()
        self.flatten = keras.layers.Flatten()
        self.dense = keras_dense()

    def build(self, input_shape):
        """Lets the layers build themselves when called, in TF1's order."""

    def call(self, images, training=False):
        x = self.batch_normalization(self.conv2d(images), training=training)
        x = self.dropout(tf.nn.relu(x), training=training)
        x = self.dropout(self.flatten(self.conv2d_1(x)), training=training)
        return self.dense(x)


@functools.cache
def in_session(mode, training):
    """One step of the TF1 net: outputs, losses, gradients, and the weights after it."""
    tool = shim.DeterministicRandomTestTool(mode=mode)
    with tool.scope(), tf.Graph().as_default(), tf1.Session() as session:
        outputs = tf1_net(tf.constant(IMAGES), training)
        regularization = tf.add_n(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES))
        loss = tf.reduce_mean(tf.square(outputs - LABELS)) + regularization
        variables = tf1.trainable_variables()
        gradients = tf.gradients(loss, variables)
        with tf.control_dependencies([loss, *gradients]):
            steps = [
                v.assign_sub(LEARNING_RATE * g) for v, g in zip(variables, gradients, strict=True)
            ]
        session.run(tf1.global_variables_initializer())
        updates = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
        *results, _ = session.run([outputs, regularization, gradients, [steps, updates]])
        return [*results, session.run(tf1.global_variables())], [
            v.op.name for v in tf1.global_variables()
        ]


class NativeUnderTF1Names(keras.Layer):
    """Keras layers only, made in the method where TF1's were, under TF1's names."""

    @shim.track_tf1_style_variables
    def call(self, images, training=False):
        with tf1.variable_scope("model"):
            x = shim.get_or_create_layer("conv2d", keras_conv)(images)
            x = shim.get_or_create_layer("batch_normalization", keras_norm)(x, training=training)
            x = shim.get_or_create_layer("dropout", keras_dropout)(tf.nn.relu(x), training=training)
            x = layers.flatten(shim.get_or_create_layer("conv2d_1", keras_conv_1)(x))
            x = layers.dropout(x, DROPOUT_RATE, training=training)
            return shim.get_or_create_layer("dense", keras_dense)(x)


RUNGS = [Shimmed, PartlyNative, NativeUnderTF1Names, Native]


def in_keras(make, mode, training, run):
    """The same step by a layer: outputs, losses, gradients, and the weights after it."""
    layer = make()
    images = tf.constant(IMAGES)

    def step():
        with tf.GradientTape() as tape:
            outputs = layer(images, training=training)
            regularization = tf.add_n(layer.losses)
            loss = tf.reduce_mean(tf.square(outputs - LABELS)) + regularization
        variables = [v.value for v in layer.trainable_weights]
        gradients = tape.gradient(loss, variables)
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(LEARNING_RATE * gradient)
        return outputs, regularization, gradients

    with shim.DeterministicRandomTestTool(mode=mode).scope():
        results = run(step)()
    return [*results, [w.numpy() for w in layer.weights]]


def unbiased_as_in_tf1(make, weights):
    """Keras averages the batches' biased variances, TF1's fused kernel those times n / (n - 1)."""
    if make in (Native, NativeUnderTF1Names):
        count = 6 * 6 * 6  # Images, and the convolution's outputs in each.
        index = NAMES.index("model/batch_normalization/moving_variance")
        batch_variance = (weights[index] - MOMENTUM) / (1 - MOMENTUM)
        batch_variance = batch_variance * count / (count - 1)
        weights[index] = MOMENTUM + (1 - MOMENTUM) * batch_variance
    return weights


@BOTH_MODES
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "fn"])
@pytest.mark.parametrize("make", RUNGS)
def test_g13_every_rung_of_the_ladder_computes_what_the_tf1_session_does(make, run, training, mode):
    expected, names = in_session(mode, training)
    outputs, regularization, gradients, weights = in_keras(make, mode, training, run)
    if training:
        weights = unbiased_as_in_tf1(make, weights)
    assert names == NAMES
    assert len(gradients) == len(NAMES) - 2
    for ours, theirs in zip(
        [outputs, regularization, *gradients, *weights],
        [*expected[:2], *expected[2], *expected[3]],
        strict=True,
    ):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@BOTH_MODES
def test_g13_the_net_draws_random_numbers_where_it_should(mode):
    """Otherwise the ladder would compare constants."""
    (in_training, _, _, weights), _ = in_session(mode, training=True)
    (in_inference, *_), _ = in_session(mode, training=False)
    assert not np.allclose(in_training, in_inference, atol=1e-2)
    assert all(np.std(weights[NAMES.index(name)]) > 0.01 for name in NAMES if "kernel" in name)


def conv_options(scale):
    return {"kernel_regularizer": l2(scale), "padding": "same"}


class Functional:
    """Step 1: TF1's functions."""

    @shim.track_tf1_style_variables
    def call(self, images):
        with tf1.variable_scope("model"):
            x = layers.conv2d(images, 3, 3, **conv_options(0.1))
            x = layers.batch_normalization(x)
            x = layers.separable_conv2d(x, 4, 2)
            x = layers.conv2d_transpose(x, 4, 2, strides=2)
            x = x * tf1.get_variable("scale", [4])
            x = layers.conv2d(x, 5, 3, **conv_options(0.1))
            return layers.dense(x, 2)


class Objects:
    """Step 2: TF1's layer objects and the variable, as attributes."""

    def __init__(self):
        super().__init__()
        self.conv_1 = layers.Conv2D(3, 3, **conv_options(0.1))
        self.norm_1 = layers.BatchNormalization()
        self.separable_1 = layers.SeparableConv2D(4, 2)
        self.transpose_1 = layers.Conv2DTranspose(4, 2, strides=2)
        self.conv_2 = layers.Conv2D(5, 3, **conv_options(0.1))
        self.dense_1 = layers.Dense(2)

    @shim.track_tf1_style_variables
    def call(self, images):
        with tf1.variable_scope("model"):
            x = self.separable_1(self.norm_1(self.conv_1(images)))
            x = self.transpose_1(x)
            self.scale = tf1.get_variable("scale", [4])
            return self.dense_1(self.conv_2(x * self.scale))


class Beside:
    """Step 3: native layers beside TF1 layers, functions and objects."""

    def __init__(self):
        super().__init__()
        self.conv_1 = keras.layers.Conv2D(3, 3, **conv_options(0.1))
        self.norm_1 = keras.layers.BatchNormalization()
        self.separable_1 = keras.layers.SeparableConv2D(4, 2)
        self.conv_2 = layers.Conv2D(5, 3, **conv_options(0.1))

    @shim.track_tf1_style_variables
    def call(self, images):
        with tf1.variable_scope("model"):
            x = self.conv_1(images)
            shim.record_scope("conv2d")
            x = self.separable_1(self.norm_1(x, training=False))
            x = layers.conv2d_transpose(x, 4, 2, strides=2)
            x = x * tf1.get_variable("scale", [4])
            return layers.dense(self.conv_2(x), 2)


class NativeEnd:
    """Step 4: native layers only."""

    def __init__(self):
        super().__init__()
        self.conv_1 = keras.layers.Conv2D(3, 3, **conv_options(0.1))
        self.norm_1 = keras.layers.BatchNormalization()
        self.separable_1 = keras.layers.SeparableConv2D(4, 2)
        self.transpose_1 = keras.layers.Conv2DTranspose(4, 2, strides=2)
        self.conv_2 = keras.layers.Conv2D(5, 3, **conv_options(0.1))
        self.dense_1 = keras.layers.Dense(2)
        self.scale = None

    def call(self, images):
        x = self.separable_1(self.norm_1(self.conv_1(images), training=False))
        x = self.transpose_1(x)
        if self.scale is None:
            self.scale = tf.Variable(tf.zeros([4]))
        return self.dense_1(self.conv_2(x * self.scale))


STEPS = [Functional, Objects, Beside, NativeEnd]


def make(step, base):
    return type(step.__name__, (step, base), {})()


def with_random_weights(model):
    """The model, called once, with other weights than those of a first call."""
    model.call(tf.constant(IMAGES))
    variables = model.variables
    for variable in variables:
        variable.assign(RANDOM.uniform(0.1, 0.3, variable.shape))
    return model


@pytest.mark.parametrize("base", [keras.Layer, tf.Module])
@pytest.mark.parametrize("called_before", [False, True], ids=["fresh", "called"])
@pytest.mark.parametrize("step", STEPS[1:])
def test_g15_a_checkpoint_of_step_2_restores_at_every_later_step(
    step, called_before, base, tmp_path
):
    saved, restored = with_random_weights(make(Objects, base)), make(step, base)
    path = tf.train.Checkpoint(model=saved).write(str(tmp_path / "checkpoint"))
    if called_before:
        restored.call(tf.constant(IMAGES))
    status = tf.train.Checkpoint(model=restored).read(path)
    outputs = restored.call(tf.constant(IMAGES))
    np.testing.assert_allclose(outputs, saved.call(tf.constant(IMAGES)), rtol=1e-4, atol=1e-5)
    status.assert_existing_objects_matched()


@pytest.mark.parametrize("base", [keras.Layer, tf.Module])
def test_g15_a_checkpoint_of_step_1_restores_at_step_2(base, tmp_path):
    """There it is saved anew, and then serves the later steps."""
    saved, restored = with_random_weights(make(Functional, base)), make(Objects, base)
    path = tf.train.Checkpoint(model=saved).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=restored).read(path).expect_partial()
    outputs = restored.call(tf.constant(IMAGES))
    np.testing.assert_array_equal(outputs, saved.call(tf.constant(IMAGES)))


def test_g15_all_steps_have_the_same_variables_under_tf1_names():
    names = []
    for step in STEPS[:2]:
        model = make(step, keras.Layer)
        model.call(tf.constant(IMAGES))
        model.call(tf.constant(IMAGES))
        names.append([v.path for v in model.weights])
    assert names[0] == names[1]
    beside = make(Beside, keras.Layer)
    beside.call(tf.constant(IMAGES))
    remaining = [v.path for v in beside.weights if v.path.startswith("model/")]
    native = ("conv2d/", "batch_normalization/", "separable_conv2d/")
    assert remaining == [n for n in names[0] if not n.removeprefix("model/").startswith(native)]


def test_g15_the_layers_of_step_2_hold_the_variables_themselves():
    model = make(Objects, keras.Layer)
    model.call(tf.constant(IMAGES))
    weights = {v.path: v.value for v in model.weights}
    assert weights["model/conv2d/kernel"] is model.conv_1.kernel
    assert weights["model/conv2d_1/bias"] is model.conv_2.bias
    assert weights["model/batch_normalization/moving_mean"] is model.norm_1.moving_mean


def test_g15_native_weights_made_in_the_method_keep_their_checkpoints(tmp_path):
    class Made(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, images):
            with tf1.variable_scope("model"):
                x = shim.get_or_create_layer("conv2d", keras_conv)(images)
                shim.record_scope("conv2d")
                return layers.conv2d(x, 2, 1)

    saved, restored = with_random_weights(Made()), Made()
    path = tf.train.Checkpoint(model=saved).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=restored).read(path)
    outputs = restored.call(tf.constant(IMAGES))
    np.testing.assert_array_equal(outputs, saved.call(tf.constant(IMAGES)))


@pytest.mark.parametrize("make_rung", [Shimmed, NativeUnderTF1Names])
def test_g15_a_name_based_checkpoint_restores_where_native_layers_have_tf1_names(
    make_rung, tmp_path
):
    with tf.Graph().as_default(), tf1.Session() as session:
        outputs = tf1_net(tf.constant(IMAGES), training=False)
        session.run(tf1.global_variables_initializer())
        expected = session.run(outputs)
        path = tf1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    layer = make_rung()
    layer(IMAGES)
    assert [v.path for v in layer.weights] == NAMES
    tf1.train.Saver({v.path: v.value for v in layer.weights}).restore(None, path)
    np.testing.assert_allclose(layer(IMAGES), expected, rtol=1e-4, atol=1e-5)
