"""What a TF1 training of TF-Slim's own nets leaves on disk, in every version of the zoo's models.

A session holds the net with its optimizer's slots, its moving averages and the global step, and
TensorFlow's own `Saver` writes it; another session that reads it back is the witness.
"""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints, models, shim
from shimzoo.tests.data import goldens
from shimzoo.tests.models import ladder_plan
from shimzoo.tests.models.tolerances import SAME, assert_close
from tensorflow.core.protobuf import rewriter_config_pb2

shim.install()

import tf_slim as slim  # noqa: E402 - TF-Slim needs modules that the shim supplies
from tf_slim.nets import inception, resnet_v1, resnet_v2  # noqa: E402

tf1 = tf.compat.v1

NETS = {
    "resnet_v1_50": (resnet_v1.resnet_v1_50, resnet_v1.resnet_arg_scope),
    "resnet_v1_101": (resnet_v1.resnet_v1_101, resnet_v1.resnet_arg_scope),
    "resnet_v1_152": (resnet_v1.resnet_v1_152, resnet_v1.resnet_arg_scope),
    "resnet_v2_50": (resnet_v2.resnet_v2_50, resnet_v2.resnet_arg_scope),
    "resnet_v2_101": (resnet_v2.resnet_v2_101, resnet_v2.resnet_arg_scope),
    "resnet_v2_152": (resnet_v2.resnet_v2_152, resnet_v2.resnet_arg_scope),
    "inception_v1": (inception.inception_v1, inception.inception_v1_arg_scope),
    "inception_v2": (inception.inception_v2, inception.inception_v2_arg_scope),
    "inception_v3": (inception.inception_v3, inception.inception_v3_arg_scope),
}
EVERYDAY = ("inception_v1",)
SAVERS = {
    "v1": {"write_version": tf1.train.SaverDef.V1},
    "v2": {},
    "sharded": {"sharded": True},
}


def inference(name, images):
    net, arg_scope = NETS[name]
    with slim.arg_scope(arg_scope()):
        logits, _ = net(images, models.get_variant(name).num_classes, is_training=False)
    return logits if logits.shape.rank == 2 else tf.squeeze(logits, [1, 2])


def session(devices=1):
    config = tf1.ConfigProto(device_count={"CPU": devices})
    # Grappler's remapper would fuse convolutions with their norms, which rounds otherwise.
    config.graph_options.rewrite_options.remapping = rewriter_config_pb2.RewriterConfig.OFF
    return tf1.Session(config=config)


def write(name, directory):
    """A checkpoint of each kind after a step, which sets averages and slots apart from values."""
    size = models.get_variant(name).input_size
    with tf.Graph().as_default(), session(devices=2) as running:
        count = itertools.count()

        def in_turns(op):
            """Variables on one device after the other, as parameter servers had them."""
            return f"/cpu:{next(count) % 2}" if op.type == "VarHandleOp" else ""

        with tf1.device(in_turns):
            inference(name, tf1.placeholder(tf.float32, (1, size, size, 3)))
            step = tf1.train.get_or_create_global_step()
            variables = slim.get_model_variables()
            loss = tf.add_n([tf.nn.l2_loss(variable) for variable in tf1.trainable_variables()])
            train = tf1.train.MomentumOptimizer(1e-3, 0.9).minimize(loss, global_step=step)
            with tf1.control_dependencies([train]):
                train = tf1.train.ExponentialMovingAverage(0.5).apply(variables)
        running.run(tf1.global_variables_initializer())
        for variable in variables:
            variable.load(goldens.value(variable.op.name, variable.shape), running)
        running.run(train)
        return {
            kind: tf1.train.Saver(**settings).save(
                running, str(directory / kind / "model.ckpt"), step, write_meta_graph=False
            )
            for kind, settings in SAVERS.items()
        }


def read_back(name, path, ema, images):
    """The logits of a session that has read the checkpoint: its averages, or its variables."""
    with tf.Graph().as_default(), session() as running:
        placeholder = tf1.placeholder(tf.float32, images.shape)
        logits = inference(name, placeholder)
        variables = slim.get_model_variables()
        if ema:
            average = tf1.train.ExponentialMovingAverage(0.5)
            variables = {average.average_name(variable): variable for variable in variables}
        tf1.train.Saver(variables).restore(running, path)
        return running.run(logits, {placeholder: images})


@pytest.mark.parametrize("name", ladder_plan.names(lambda name: name in NETS, EVERYDAY))
def test_a_trainings_checkpoint_gives_every_version_the_sessions_logits(name, tmp_path):
    for kind in SAVERS:
        (tmp_path / kind).mkdir()
    paths = write(name, tmp_path)
    assert len(list((tmp_path / "sharded").glob("*.data-*"))) > 1
    size = models.get_variant(name).input_size  # Slim's Inception v1 takes no small ones.
    images = goldens.image((2, size, size, 3), seed=6)
    expected = {ema: read_back(name, paths["v2"], ema, images) for ema in (False, True)}
    assert np.abs(expected[True] - expected[False]).max() > 1e-3 * np.abs(expected[True]).max()
    for stage in models.STAGES:
        model = models.create(name, stage, input_size=size)
        for ema in (False, "auto"):
            restored = {}
            for kind, path in paths.items():
                for weight in model.weights:
                    weight.assign(np.zeros(weight.shape))
                report = checkpoints.restore(model, path, ema=ema)
                assert report.is_averaged == bool(ema)
                assert report.left_out["global step"] == ("global_step",)
                assert report.left_out["optimizer slots"]
                restored[kind] = [weight.numpy() for weight in model.weights]
            assert_close(model(images), expected[bool(ema)], SAME, f"{stage} {ema}")
            for kind, weights in restored.items():
                for weight, one, other in zip(model.weights, weights, restored["v2"], strict=True):
                    np.testing.assert_array_equal(one, other, f"{kind} {stage} {weight.path}")
