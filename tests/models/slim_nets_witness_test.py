"""A second witness: the nets that TF-Slim brings, in TF1 sessions and under the shim.

They read the same checkpoint as the zoo's models and give the same logits, and draw the same fresh
weights.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints, models, shim
from shimzoo.tests.checkpoints import formula_checkpoint
from shimzoo.tests.data import goldens
from shimzoo.tests.models import ladder_plan
from shimzoo.tests.models.tolerances import SAME, assert_close
from tensorflow.core.protobuf import rewriter_config_pb2

shim.install()

import tf_slim as slim  # noqa: E402 - TF-Slim needs modules that the shim supplies
from tf_slim.nets import inception, resnet_v1, resnet_v2  # noqa: E402

tf1 = tf.compat.v1

# Grappler's remapper would fuse convolutions with their norms, which rounds otherwise.
CONFIG = tf1.ConfigProto()
CONFIG.graph_options.rewrite_options.remapping = rewriter_config_pb2.RewriterConfig.OFF

NETS = {
    "resnet_v1_50": (resnet_v1.resnet_v1_50, resnet_v1.resnet_arg_scope),
    "resnet_v2_50": (resnet_v2.resnet_v2_50, resnet_v2.resnet_arg_scope),
    "inception_v1": (inception.inception_v1, inception.inception_v1_arg_scope),
    "inception_v2": (inception.inception_v2, inception.inception_v2_arg_scope),
    "inception_v3": (inception.inception_v3, inception.inception_v3_arg_scope),
}
every_net = pytest.mark.parametrize("name", ladder_plan.names(lambda name: name in NETS))


def logits_of(name, images):
    net, arg_scope = NETS[name]
    with slim.arg_scope(arg_scope()):
        logits, _ = net(images, models.get_variant(name).num_classes, is_training=False)
    return logits if logits.shape.rank == 2 else tf.squeeze(logits, [1, 2])


class Wrapped(keras.Model):
    """TF-Slim's own net, untouched, in a decorated method."""

    def __init__(self, net_name):
        super().__init__()
        self.net_name = net_name

    @shim.track_tf1_style_variables
    def call(self, images):
        return logits_of(self.net_name, images)


@every_net
def test_slims_own_net_gives_the_same_from_the_same_checkpoint(name, tmp_path):
    size = models.get_variant(name).input_size  # Slim's Inception v1 takes no small ones.
    images = goldens.image((2, size, size, 3), seed=5)
    with tf.Graph().as_default(), tf1.Session(config=CONFIG) as session:
        placeholder = tf1.placeholder(tf.float32, images.shape)
        logits = logits_of(name, placeholder)
        values = {v.op.name: goldens.value(v.op.name, v.shape) for v in tf1.global_variables()}
        for variable in tf1.global_variables():
            variable.load(values[variable.op.name], session)
        expected = session.run(logits, {placeholder: images})
    prefix = formula_checkpoint.write(tmp_path / "model.ckpt", values)
    wrapped = Wrapped(name)
    wrapped(images)
    checkpoints.restore(wrapped, prefix)
    assert_close(wrapped(images), expected, SAME)
    for stage in models.STAGES:
        model = models.create(name, stage, input_size=size)
        checkpoints.restore(model, prefix)
        assert_close(model(images), expected, SAME, stage)
    assert np.ptp(expected) > 0


@every_net
def test_fresh_weights_are_drawn_as_slims(name):
    """In this mode of the tool a weight's draw depends on its shape and its initializer alone."""
    size = models.get_variant(name).input_size
    with shim.DeterministicRandomTestTool(mode="constant").scope():
        wrapped = Wrapped(name)
        wrapped(np.zeros((1, size, size, 3), "float32"))
        expected = {checkpoints.tf1_name(weight): weight.numpy() for weight in wrapped.weights}
        for stage in models.STAGES:
            model = models.create(name, stage)
            assert [checkpoints.tf1_name(weight) for weight in model.weights] == list(expected)
            for weight in model.weights:
                key = checkpoints.tf1_name(weight)
                assert_close(weight.numpy(), expected[key], SAME, f"{stage} {key}")
