"""G17: every public layer of TF-Slim gives decorated what it gives in a TF1 graph and session."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

shim.install()

import tf_slim as slim  # noqa: E402  (TF1 code, imported as its users do, after install)
from tf_slim.layers import layers as slim_layers  # noqa: E402
from tf_slim.layers import normalization as slim_normalization  # noqa: E402
from tf_slim.layers import rev_block_lib  # noqa: E402

tf1 = tf.compat.v1

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(1.0, 2.0, (2, 8, 8, 4)).astype("float32")
CHANNELS_FIRST = IMAGES.transpose(0, 3, 1, 2)
VOLUMES = RANDOM.normal(1.0, 2.0, (2, 4, 4, 4, 2)).astype("float32")
SEQUENCES = RANDOM.normal(1.0, 2.0, (3, 6, 4)).astype("float32")
VECTORS = RANDOM.normal(1.0, 2.0, (5, 6)).astype("float32")
LABELS = np.array([2, 0, 3])
TOKENS = np.array([[1, 2, 0], [3, 0, 0]])

l2 = slim.l2_regularizer(0.1)
training_norm = {"normalizer_fn": slim.batch_norm, "normalizer_params": {"is_training": True}}


def halves(layer):
    def call(inputs):
        outputs = layer(*tf.split(inputs, 2, -1))
        return tf.concat(outputs, -1)

    return call


def residual(inputs):
    return slim.fully_connected(inputs, 3)


# Slim's name, what is told apart, inputs, the call.
CASES = [
    ("avg_pool2d", "", IMAGES, lambda x: slim.avg_pool2d(x, 3)),
    ("avg_pool2d", "same", IMAGES, lambda x: slim.avg_pool2d(x, [2, 3], 1, "SAME")),
    ("avg_pool2d", "nchw", CHANNELS_FIRST, lambda x: slim.avg_pool2d(x, 2, data_format="NCHW")),
    ("avg_pool3d", "", VOLUMES, lambda x: slim.avg_pool3d(x, 2)),
    ("batch_norm", "", IMAGES, slim.batch_norm),
    ("batch_norm", "inference", IMAGES, lambda x: slim.batch_norm(x, is_training=False)),
    ("batch_norm", "scale", IMAGES, lambda x: slim.batch_norm(x, scale=True, center=False)),
    ("batch_norm", "not_fused", IMAGES, lambda x: slim.batch_norm(x, fused=False)),
    ("batch_norm", "at_once", IMAGES, lambda x: slim.batch_norm(x, updates_collections=None)),
    (
        "batch_norm",
        "at_once_not_fused",
        IMAGES,
        lambda x: slim.batch_norm(x, fused=False, updates_collections=None),
    ),
    ("batch_norm", "vectors", VECTORS, slim.batch_norm),
    ("batch_norm", "sequences", SEQUENCES, slim.batch_norm),
    ("batch_norm", "volumes", VOLUMES, slim.batch_norm),
    ("batch_norm", "nchw", CHANNELS_FIRST, lambda x: slim.batch_norm(x, data_format="NCHW")),
    (
        "batch_norm",
        "renorm",
        IMAGES,
        lambda x: slim.batch_norm(
            x, renorm=True, renorm_clipping={"rmin": 0.5, "rmax": 2.0, "dmax": 1.0}
        ),
    ),
    (
        "batch_norm",
        "adjustment",
        IMAGES,
        lambda x: slim.batch_norm(
            x, adjustment=lambda shape: (tf.fill([shape[0], 1, 1, 1], 2.0), tf.ones([1, 1, 1, 1]))
        ),
    ),
    ("batch_norm", "debias", IMAGES, lambda x: slim.batch_norm(x, zero_debias_moving_mean=True)),
    (
        "batch_norm",
        "weighted",
        IMAGES,
        lambda x: slim.batch_norm(x, batch_weights=tf.constant([1.0, 3.0])),
    ),
    (
        "batch_norm",
        "regularized",
        IMAGES,
        lambda x: slim.batch_norm(
            x, scale=True, param_regularizers={"gamma": l2}, activation_fn=tf.nn.relu
        ),
    ),
    ("bias_add", "", IMAGES, lambda x: slim.bias_add(x, regularizer=l2)),
    ("convolution", "", IMAGES, lambda x: slim.convolution(x, 3, 3)),
    ("conv1d", "", SEQUENCES, lambda x: slim.conv1d(x, 3, 2)),
    ("convolution1d", "", SEQUENCES, lambda x: slim.convolution1d(x, 3, 2, padding="VALID")),
    ("conv2d", "", IMAGES, lambda x: slim.conv2d(x, 3, 3, weights_regularizer=l2)),
    ("conv2d", "strided", IMAGES, lambda x: slim.conv2d(x, 3, [3, 5], stride=2)),
    ("conv2d", "atrous", IMAGES, lambda x: slim.conv2d(x, 3, 3, rate=2)),
    ("conv2d", "batch_norm", IMAGES, lambda x: slim.conv2d(x, 3, 3, **training_norm)),
    ("conv2d", "nchw", CHANNELS_FIRST, lambda x: slim.conv2d(x, 3, 3, data_format="NCHW")),
    ("conv2d", "collection", IMAGES, lambda x: slim.conv2d(x, 3, 3, outputs_collections="c")),
    ("convolution2d", "", IMAGES, lambda x: slim.convolution2d(x, 3, 3, biases_initializer=None)),
    ("conv3d", "", VOLUMES, lambda x: slim.conv3d(x, 3, 3)),
    ("convolution3d", "", VOLUMES, lambda x: slim.convolution3d(x, 3, 3, stride=2)),
    ("conv2d_in_plane", "", IMAGES, lambda x: slim.conv2d_in_plane(x, 3)),
    ("convolution2d_in_plane", "", IMAGES, lambda x: slim.convolution2d_in_plane(x, [1, 2])),
    ("conv2d_transpose", "", IMAGES, lambda x: slim.conv2d_transpose(x, 3, 3, stride=2)),
    (
        "convolution2d_transpose",
        "valid",
        IMAGES,
        lambda x: slim.convolution2d_transpose(x, 3, 4, stride=2, padding="VALID"),
    ),
    ("conv3d_transpose", "", VOLUMES, lambda x: slim.conv3d_transpose(x, 3, 3, stride=2)),
    ("convolution3d_transpose", "", VOLUMES, lambda x: slim.convolution3d_transpose(x, 3, 2)),
    ("dense_to_sparse", "", TOKENS, lambda x: tf.sparse.to_dense(slim.dense_to_sparse(x))),
    ("dropout", "inference", IMAGES, lambda x: slim.dropout(x, is_training=False)),
    ("dropout", "", IMAGES, slim.dropout),
    ("elu", "", VECTORS, lambda x: slim.elu(x, 3)),
    ("flatten", "", IMAGES, slim.flatten),
    ("fully_connected", "", VECTORS, lambda x: slim.fully_connected(x, 3, weights_regularizer=l2)),
    (
        "fully_connected",
        "batch_norm",
        VECTORS,
        lambda x: slim.fully_connected(x, 3, **training_norm),
    ),
    ("fully_connected", "sequences", SEQUENCES, lambda x: slim.fully_connected(x, 3)),
    ("GDN", "", IMAGES, lambda x: slim.GDN(name="gdn")(x)),
    ("gdn", "", IMAGES, lambda x: slim.gdn(x, inverse=True)),
    ("gdn", "nchw", CHANNELS_FIRST, lambda x: slim.gdn(x, data_format="channels_first")),
    ("group_norm", "", IMAGES, lambda x: slim.group_norm(x, groups=2)),
    ("images_to_sequence", "", IMAGES, slim.images_to_sequence),
    ("instance_norm", "", IMAGES, slim.instance_norm),
    ("instance_norm", "nchw", CHANNELS_FIRST, lambda x: slim.instance_norm(x, data_format="NCHW")),
    ("layer_norm", "", IMAGES, slim.layer_norm),
    ("layer_norm", "sequences", SEQUENCES, lambda x: slim.layer_norm(x, begin_norm_axis=-1)),
    ("legacy_fully_connected", "", VECTORS, lambda x: slim.legacy_fully_connected(x, 3)),
    ("legacy_linear", "", VECTORS, lambda x: slim.legacy_linear(x, 3)),
    ("legacy_relu", "", VECTORS, lambda x: slim.legacy_relu(x, 3)),
    ("linear", "", VECTORS, lambda x: slim.linear(x, 3)),
    ("max_pool2d", "", IMAGES, lambda x: slim.max_pool2d(x, 3)),
    ("max_pool2d", "nchw", CHANNELS_FIRST, lambda x: slim.max_pool2d(x, 2, data_format="NCHW")),
    ("max_pool3d", "", VOLUMES, lambda x: slim.max_pool3d(x, 2)),
    ("maxout", "", VECTORS, lambda x: slim.maxout(x, 3)),
    ("one_hot_encoding", "", LABELS, lambda x: slim.one_hot_encoding(x, 5)),
    ("pool", "", IMAGES, lambda x: slim.pool(x, 3, "AVG", padding="SAME")),
    ("recompute_grad", "", VECTORS, lambda x: slim.recompute_grad(residual)(x)),
    ("relu", "", VECTORS, lambda x: slim.relu(x, 3)),
    ("relu6", "", VECTORS, lambda x: slim.relu6(x, 3)),
    ("repeat", "", IMAGES, lambda x: slim.repeat(x, 3, slim.conv2d, 4, 3, weights_regularizer=l2)),
    ("rev_block", "", VECTORS, halves(lambda a, b: slim.rev_block(a, b, residual, residual, 2))),
    ("RevBlock", "", VECTORS, halves(lambda a, b: slim.RevBlock(residual, residual)([a, b]))),
    ("scale_gradient", "", VECTORS, lambda x: slim.scale_gradient(x, tf.constant(0.5))),
    ("separable_conv2d", "", IMAGES, lambda x: slim.separable_conv2d(x, 3, 3)),
    (
        "separable_conv2d",
        "regularized",
        IMAGES,
        lambda x: slim.separable_conv2d(x, 3, 3, 2, stride=2, weights_regularizer=l2),
    ),
    ("separable_convolution2d", "", IMAGES, lambda x: slim.separable_convolution2d(x, None, 3, 1)),
    ("separable_convolution2d", "atrous", IMAGES, lambda x: slim.separable_conv2d(x, 3, 3, rate=2)),
    ("sequence_to_images", "", SEQUENCES, lambda x: slim.sequence_to_images(x, 2)),
    ("softmax", "", IMAGES, slim.softmax),
    ("spatial_softmax", "", IMAGES, slim.spatial_softmax),
    ("spatial_softmax", "fixed", IMAGES, lambda x: slim.spatial_softmax(x, temperature=0.5)),
    ("stack", "", VECTORS, lambda x: slim.stack(x, slim.fully_connected, [4, 3])),
    ("unit_norm", "", IMAGES, lambda x: slim.unit_norm(x, 3)),
]
# It names a gradient function in TF1 graphs that TF-Slim 1.1.0 does not register.
WITHOUT_GRADIENT = {"GDN", "gdn"}


def test_g17_every_public_layer_of_slim_is_compared():
    public = {*slim_layers.__all__, *slim_normalization.__all__, *rev_block_lib.__all__}
    assert {name for name, _, _, _ in CASES} == public


class SlimLayer(keras.Layer):
    def __init__(self, slim_call):
        super().__init__()
        self.slim_call = slim_call

    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf1.variable_scope("net"):
            return self.slim_call(inputs)


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])
@pytest.mark.parametrize("slim_layer", [slim.max_pool2d, slim.avg_pool2d])
def test_g11_layers_without_variables_name_their_end_points_too(slim_layer, wrap):
    aliases = []

    def call(inputs):
        outputs = slim_layer(inputs, 2, scope="pool", outputs_collections="end_points")
        aliases.append(list(slim.utils.convert_collection_to_dict("end_points")))
        return outputs

    layer = SlimLayer(call)
    wrap(lambda x: layer(x))(tf.constant(IMAGES))
    assert aliases == [["net/pool"]] * len(aliases)


def watched(outputs):
    """A scalar that all outputs go into, each with a weight of its own; 0 without float outputs."""
    floats = [tf.cast(x, tf.float32) for x in tf.nest.flatten(outputs) if x.dtype.is_floating]
    return sum([tf.reduce_sum(tf.sin(x)) for x in floats], tf.constant(0.0))


def by_name(variables, gradients):
    """The gradients that there are, as arrays, by the names of the variables."""
    pairs = zip(variables, gradients, strict=True)
    return {v.name: tf1.convert_to_tensor(g) for v, g in pairs if g is not None}


def no_target(outputs):
    return tf.constant(0.0)


def run_in_session(slim_call, inputs, target):
    """Returns initial values by name, outputs, losses, gradients and the values after updates."""
    with tf.Graph().as_default(), tf1.Session() as session:
        with shim.DeterministicRandomTestTool(mode="constant").scope():
            placeholder = tf1.placeholder(inputs.dtype, inputs.shape)
            outputs = SlimLayer(slim_call).call(placeholder)
        updates = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
        losses = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
        trained = tf1.trainable_variables()
        gradients = by_name(trained, tf1.gradients(target(outputs), trained) if trained else [])
        variables = {v.op.name: v for v in tf1.global_variables()}
        session.run(tf1.global_variables_initializer())
        initial = session.run(variables)
        fetches = {"outputs": outputs, "losses": losses, "gradients": gradients}
        fetched = session.run(fetches, {placeholder: inputs})
        session.run(updates, {placeholder: inputs})
        return initial, fetched, session.run(variables)


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])
@pytest.mark.parametrize(
    ("name", "slim_call", "inputs"),
    [pytest.param(n[0], call, x, id="-".join(filter(None, n))) for *n, x, call in CASES],
)
def test_g17_slims_layer_decorated_is_slims_layer_in_a_session(name, slim_call, inputs, wrap):
    target = no_target if name in WITHOUT_GRADIENT else watched
    initial, expected, final = run_in_session(slim_call, inputs, target)
    layer = SlimLayer(slim_call)
    call = wrap(lambda x: layer(x))
    with shim.DeterministicRandomTestTool(mode="constant").scope():
        call(tf.constant(inputs))
    assert [v.path for v in layer.weights] == list(initial)
    for variable in layer.weights:
        variable.assign(initial[variable.path])
    tape = tf.GradientTape(watch_accessed_variables=target is watched)
    with shim.DeterministicRandomTestTool(mode="constant").scope(), tape:
        outputs = call(tf.constant(inputs))
        loss = target(outputs)
    np.testing.assert_allclose(outputs, expected["outputs"], rtol=1e-4, atol=1e-5)
    trained = [variable.value for variable in layer.trainable_variables]
    gradients = by_name(trained, tape.gradient(loss, trained))
    assert gradients.keys() == expected["gradients"].keys()
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected["gradients"][name], rtol=1e-4, atol=1e-4)
    for variable in layer.weights:
        np.testing.assert_allclose(variable, final[variable.path], rtol=1e-4, atol=1e-5)
    layer(tf.constant(inputs))  # Outside of the function, whose losses live in its graph.
    np.testing.assert_allclose(layer.losses, expected["losses"], rtol=1e-5)
