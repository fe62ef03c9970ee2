"""What a TPU needs of a run, seen without one.

The whole training step has to compile under XLA, with all shapes static, in bfloat16: loss,
auxiliary head, gradients, clipping, optimizer and moving averages.
"""

import multiprocessing
import re
from concurrent import futures

import keras
import pytest
import tensorflow as tf
from shimzoo import models
from shimzoo.tests.models import ladder_plan

from . import training_program, two_heads

EVERYDAY = ("mobilenet_v1_0.25_128",)
# TensorFlow keeps what it gave to XLA, half a gigabyte for ResNet-50, until the process ends.
STEPS_OF_A_PROCESS = 6


@pytest.fixture(scope="module")
def compiling():
    """A process that compiles, and is replaced by a new one after some steps."""
    context = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(1, context, max_tasks_per_child=STEPS_OF_A_PROCESS) as pool:
        yield pool


def assert_fits_a_tpu(program):
    assert not re.search(r"\[[^\]]*<=", program), "a shape is known only when the step runs"
    # Nothing is left to the host.
    assert not re.search(r"\b(infeed|outfeed|send|recv)\(", program)
    assert "custom-call" not in program


def dtypes_of(operation, program):
    return re.findall(rf"= (\w+)\[[\d,]*\]\S* {operation}\(", program)


@pytest.mark.parametrize("stage", models.STAGES)
@pytest.mark.parametrize("name", ladder_plan.nets(EVERYDAY))
def test_the_training_step_compiles_under_xla(compiling, name, stage):
    size = ladder_plan.input_size(name)
    step = compiling.submit(training_program.of_the_zoo, name, stage, size)
    program, trained = step.result()
    assert_fits_a_tpu(program)
    convolutions = dtypes_of("convolution", program)
    assert len(convolutions) >= trained // 3
    assert set(convolutions) == {"bf16"}


def test_a_training_step_with_an_auxiliary_head_compiles_under_xla():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        net = two_heads.TwoHeads()
    finally:
        keras.config.set_dtype_policy(before)
    model = two_heads.training(net, **training_program.SETTINGS)
    images, _, _ = two_heads.batch(training_program.BATCH)
    program = training_program.program_of(model, tf.constant(images), two_heads.CLASSES)
    assert_fits_a_tpu(program)
    # Of each head, forward and the kernel's gradient; the norm of all gradients is in float32.
    assert dtypes_of("dot", program).count("bf16") == 4
