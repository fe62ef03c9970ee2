"""What a TPU needs of a model, seen without one.

The whole training step has to compile under XLA, with all shapes static, in bfloat16.
"""

import re

import keras
import pytest
import tensorflow as tf
from shimzoo import models
from shimzoo.tests.data import goldens
from shimzoo.tests.models import ladder_plan

BATCH = 4


@pytest.fixture(autouse=True)
def _bfloat16():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("stage", models.STAGES)
@pytest.mark.parametrize("name", ladder_plan.nets(ladder_plan.EVERYDAY_PROCESSES))
def test_the_training_step_compiles_under_xla(name, stage):
    size = ladder_plan.input_size(name)
    model = models.create(name, stage, num_classes=10, input_size=size)
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    model.optimizer.build(model.trainable_variables)
    images = tf.constant(goldens.image((BATCH, size, size, 3)))
    labels = tf.range(BATCH)
    # Metrics make their variables in the first step, which XLA can't compile.
    model.train_step((images, labels))
    step = tf.function(lambda *batch: model.train_step(batch), jit_compile=True)
    program = step.experimental_get_compiler_ir(images, labels)(stage="hlo")
    assert not re.search(r"\[[^\]]*<=", program), "a shape is known only when the step runs"
    convolutions = re.findall(r"= (\w+)\[[\d,]*\]\S* convolution\(", program)
    assert len(convolutions) >= len(model.trainable_variables) // 3
    assert set(convolutions) == {"bf16"}
    # Nothing is left to the host.
    assert not re.search(r"\b(infeed|outfeed|send|recv)\(", program)
    assert "custom-call" not in program
