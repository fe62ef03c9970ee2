"""G11, G17: every net of TF-Slim, decorated, has the variables and end points of its TF1 graph."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

shim.install()

import tf_slim as slim  # noqa: E402  (TF1 code, imported as its users do, after install)
from tf_slim.nets import (  # noqa: E402
    alexnet,
    inception,
    inception_v1,
    inception_v2,
    inception_v3,
    overfeat,
    resnet_v1,
    resnet_v2,
    vgg,
)

tf1 = tf.compat.v1

NUM_CLASSES = 3

# The net, its arg_scope, and the smallest images (pixels) that its layers leave something of.
NETS = [
    (alexnet.alexnet_v2, alexnet.alexnet_v2_arg_scope, 224),
    (overfeat.overfeat, overfeat.overfeat_arg_scope, 231),
    (vgg.vgg_a, vgg.vgg_arg_scope, 224),
    (vgg.vgg_16, vgg.vgg_arg_scope, 224),
    (vgg.vgg_19, vgg.vgg_arg_scope, 224),
    (inception.inception_v1, inception_v1.inception_v1_arg_scope, 193),
    (inception.inception_v2, inception_v2.inception_v2_arg_scope, 64),
    (inception.inception_v3, inception_v3.inception_v3_arg_scope, 107),
    (resnet_v1.resnet_v1_50, resnet_v1.resnet_arg_scope, 33),
    (resnet_v2.resnet_v2_50, resnet_v2.resnet_arg_scope, 33),
]
# Those whose weights are not too many to hold twice.
SMALL_NETS = NETS[5:]


def parametrize(nets):
    return pytest.mark.parametrize(
        ("net", "arg_scope", "size"), [pytest.param(*net, id=net[0].__name__) for net in nets]
    )


class SlimNet(keras.Layer):
    """A net of Slim's; answers with its end points."""

    def __init__(self, net, arg_scope):
        super().__init__()
        self.net = net
        self.arg_scope = arg_scope

    @shim.track_tf1_style_variables
    def call(self, images):
        with slim.arg_scope(self.arg_scope()):
            logits, end_points = self.net(images, num_classes=NUM_CLASSES, is_training=False)
        return {"logits": logits, **end_points}


def shapes(tensors):
    return [(name, tensor.shape.as_list()) for name, tensor in tensors.items()]


@parametrize(NETS)
def test_g17_a_net_has_the_variables_and_end_points_of_its_graph(net, arg_scope, size):
    images = np.zeros([1, size, size, 3], "float32")
    with tf.Graph().as_default():
        expected = SlimNet(net, arg_scope).call(tf.constant(images))
        expected_shapes = shapes(expected)
        variables = [(v.op.name, tuple(v.shape), v.trainable) for v in tf1.global_variables()]
        model_variables = [v.op.name for v in slim.get_model_variables()]
        num_losses = len(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES))
    layer = SlimNet(net, arg_scope)
    assert shapes(layer(images)) == expected_shapes
    traced = tf.function(lambda x: layer(x)).get_concrete_function(tf.constant(images))
    assert shapes(traced.structured_outputs) == expected_shapes
    assert [(v.path, tuple(v.shape), v.trainable) for v in layer.weights] == variables
    assert {v.path for v in layer.weights} == set(model_variables)
    assert len(layer.losses) == num_losses


@parametrize(SMALL_NETS)
def test_g17_a_nets_end_points_have_the_values_of_a_session(net, arg_scope, size):
    images = np.random.default_rng(0).normal(size=[1, size, size, 3]).astype("float32")
    layer = SlimNet(net, arg_scope)
    end_points = layer(images)
    values = [v.numpy() for v in layer.weights]
    with tf.Graph().as_default(), tf1.Session() as session:
        expected = SlimNet(net, arg_scope).call(tf.constant(images))
        initializers = [v.initializer for v in tf1.global_variables()]
        feeds = [initializer.inputs[1] for initializer in initializers]
        session.run(initializers, dict(zip(feeds, values, strict=True)))
        expected = session.run(expected)
    for name, value in expected.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(end_points[name], value, atol=1e-4 * scale, err_msg=name)
