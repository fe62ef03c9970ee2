"""A second witness: the nets that TF-Slim brings, in TF1 sessions and under the shim.

They read the same checkpoint as the zoo's models and give the same logits.
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

shim.install()

import tf_slim as slim  # noqa: E402 - TF-Slim needs modules that the shim supplies
from tf_slim.nets import inception, resnet_v1, resnet_v2  # noqa: E402

tf1 = tf.compat.v1

NETS = {
    "resnet_v1_50": (resnet_v1.resnet_v1_50, resnet_v1.resnet_arg_scope),
    "resnet_v2_50": (resnet_v2.resnet_v2_50, resnet_v2.resnet_arg_scope),
    "inception_v1": (inception.inception_v1, inception.inception_v1_arg_scope),
    "inception_v2": (inception.inception_v2, inception.inception_v2_arg_scope),
    "inception_v3": (inception.inception_v3, inception.inception_v3_arg_scope),
}
NAMES = [name for name in NETS if name in models.list_models()]


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


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in NAMES]
)
def test_slims_own_net_gives_the_same_from_the_same_checkpoint(name, tmp_path):
    size = ladder_plan.input_size(name)
    images = goldens.image((2, size, size, 3), seed=5)
    with tf.Graph().as_default(), tf1.Session() as session:
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
