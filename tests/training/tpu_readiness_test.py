"""What a TPU needs of a run, seen without one.

The whole training step has to compile under XLA, with all shapes static, in bfloat16: loss,
auxiliary head, gradients, clipping, optimizer and moving averages.
"""

import dataclasses
import re

import keras
import pytest
import tensorflow as tf
from shimzoo import models
from shimzoo.tests.models import ladder_plan
from shimzoo.training import DEMO, training_model

from . import two_heads

BATCH = 4
CLASSES = 10
SETTINGS = {
    "precision": "mixed_bfloat16",
    "optimizer": "rmsprop",
    "label_smoothing": 0.1,
    "clip_global_norm": 1.0,
    "ema_decay": 0.999,
    "dropout_keep_prob": None,  # The model's own.
}
EVERYDAY = ("mobilenet_v1_0.25_128",)


def program_of(model, images, num_classes):
    """The training step as XLA gets it, text."""
    labels, weights = tf.range(len(images)) % num_classes, tf.ones(len(images))
    # Metrics make their variables when they are first used, which XLA can't compile.
    model.compute_metrics(images, labels, tf.zeros([len(images), num_classes]), weights)
    step = tf.function(lambda *batch: model.train_step(batch), jit_compile=True)
    return step.experimental_get_compiler_ir(images, labels, weights)(stage="hlo")


def assert_fits_a_tpu(program):
    assert not re.search(r"\[[^\]]*<=", program), "a shape is known only when the step runs"
    # Nothing is left to the host.
    assert not re.search(r"\b(infeed|outfeed|send|recv)\(", program)
    assert "custom-call" not in program


def dtypes_of(operation, program):
    return re.findall(rf"= (\w+)\[[\d,]*\]\S* {operation}\(", program)


@pytest.mark.parametrize("stage", models.STAGES)
@pytest.mark.parametrize("name", ladder_plan.nets(EVERYDAY))
def test_the_training_step_compiles_under_xla(name, stage):
    size = ladder_plan.input_size(name)
    config = dataclasses.replace(
        DEMO.config, model=name, stage=stage, image_size=size, batch_size=BATCH, **SETTINGS
    )
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    model = training_model.create_training_model(config, CLASSES, 1000, accuracy)
    images = tf.zeros([BATCH, size, size, 3])
    program = program_of(model, images, CLASSES)
    assert_fits_a_tpu(program)
    convolutions = dtypes_of("convolution", program)
    assert len(convolutions) >= len(model.trainable_variables) // 3
    assert set(convolutions) == {"bf16"}


def test_a_training_step_with_an_auxiliary_head_compiles_under_xla():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        net = two_heads.TwoHeads()
    finally:
        keras.config.set_dtype_policy(before)
    model = two_heads.training(net, **SETTINGS)
    images, _, _ = two_heads.batch(BATCH)
    program = program_of(model, tf.constant(images), two_heads.CLASSES)
    assert_fits_a_tpu(program)
    # Of each head, forward and the kernel's gradient; the norm of all gradients is in float32.
    assert dtypes_of("dot", program).count("bf16") == 4
