"""Optimizers against TF1's own, which TF-Slim trained with."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo.training import DEMO, optimizers, schedules
from shimzoo.training.limits import OPTIMIZERS

tf1 = tf.compat.v1

RATE, STEPS = 0.05, 12
CONFIG = dataclasses.replace(
    DEMO.config, learning_rate=RATE, schedule="fixed", warmup_examples=0, nesterov=False
)

# Settings -> TF1's optimizer with the same.
AS_TF1 = {
    "sgd": ({}, lambda: tf1.train.GradientDescentOptimizer(RATE)),
    "momentum": ({"momentum": 0.8}, lambda: tf1.train.MomentumOptimizer(RATE, 0.8)),
    "nesterov": (
        {"optimizer": "momentum", "nesterov": True},
        lambda: tf1.train.MomentumOptimizer(RATE, 0.9, use_nesterov=True),
    ),
    "rmsprop": (
        {"rho": 0.8, "momentum": 0.7, "epsilon": 1.0},
        lambda: tf1.train.RMSPropOptimizer(RATE, decay=0.8, momentum=0.7, epsilon=1.0),
    ),
    "adam": (
        {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3},
        lambda: tf1.train.AdamOptimizer(RATE, beta1=0.8, beta2=0.95, epsilon=1e-3),
    ),
    "adagrad": (
        {"initial_accumulator_value": 0.3, "epsilon": 1e-12},
        lambda: tf1.train.AdagradOptimizer(RATE, initial_accumulator_value=0.3),
    ),
    "adadelta": (
        {"rho": 0.8, "epsilon": 1e-2},
        lambda: tf1.train.AdadeltaOptimizer(RATE, rho=0.8, epsilon=1e-2),
    ),
    "ftrl": (
        {"ftrl_learning_rate_power": -0.6, "ftrl_l1": 0.01, "ftrl_l2": 0.02},
        lambda: tf1.train.FtrlOptimizer(
            RATE, -0.6, 0.1, l1_regularization_strength=0.01, l2_regularization_strength=0.02
        ),
    ),
}


def make(variables, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    return optimizers.create_optimizer(config, schedules.Schedule(config, 1000), variables)


def gradients():
    return np.random.default_rng(0).normal(size=[STEPS, 3, 4]).astype("float32")


@pytest.mark.parametrize("name", AS_TF1)
def test_an_optimizer_steps_as_tf1s(name):
    changes, make_tf1 = AS_TF1[name]
    start = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)
    ours, theirs = keras.Variable(start), tf.Variable(start)
    optimizer = make([ours], **{"optimizer": name, **changes})
    of_tf1 = make_tf1()
    for gradient in gradients():
        optimizer.apply([tf.constant(gradient)], [ours])
        of_tf1.apply_gradients([(tf.constant(gradient), theirs)])
    assert np.abs(ours.numpy() - start).max() > 0.01
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)


def losses(optimizer, weights, steps):
    """The losses of a linear classifier before each step, and after the last."""
    random = np.random.default_rng(0)
    images = tf.constant(random.normal(size=[32, 8]).astype("float32"))
    labels = tf.constant(random.integers(0, 3, size=[32]))
    found = []
    for _ in range(steps + 1):
        with tf.GradientTape() as tape:
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, images @ weights.value)
            loss = tf.reduce_mean(each)
        found.append(float(loss))
        if len(found) <= steps:
            optimizer.apply([tape.gradient(loss, weights.value)], [weights])
    return np.array(found)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    "changes",
    [{}, {"warmup_examples": 0, "schedule": "polynomial", "decay_examples": 5 * 64}],
    ids=["from a warm-up", "to a rate of zero"],
)
def test_every_optimizer_takes_the_rates_of_the_demo_and_of_a_schedule_that_ends(name, changes):
    config = dataclasses.replace(DEMO.config, optimizer=name, **changes)
    weights = keras.Variable(np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3))
    schedule = schedules.Schedule(config, 1437 * config.epochs)
    found = losses(optimizers.create_optimizer(config, schedule, [weights]), weights, STEPS)
    rates = [float(schedule(step)) for step in range(STEPS)]
    assert min(rates) == 0 < max(rates)
    assert np.isfinite(found).all()
    assert found[-1] != found[0]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_ftrl_goes_on_after_steps_without_a_rate_as_if_they_had_not_been(jit_compile):
    start = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)
    ours, theirs = keras.Variable(start), tf.Variable(start)
    optimizer = make([ours], optimizer="ftrl", warmup_examples=2 * CONFIG.batch_size)
    step = tf.function(lambda g: optimizer.apply([g], [ours]), jit_compile=jit_compile)
    rate = tf.Variable(0.0)
    of_tf1 = tf1.train.FtrlOptimizer(rate)
    first, *others = (tf.constant(gradient) for gradient in gradients()[:3])
    step(first)
    np.testing.assert_array_equal(ours.numpy(), start)
    for gradient, value in zip(others, (RATE / 2, RATE), strict=True):
        step(gradient)
        rate.assign(value)
        of_tf1.apply_gradients([(gradient, theirs)])
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "lamb"])
def test_decoupled_decay_spares_vectors(name):
    kernel, bias = keras.Variable(np.ones([2, 2])), keras.Variable(np.ones([2]))
    optimizer = make([kernel, bias], optimizer=name, decoupled_weight_decay=0.5)
    optimizer.apply([tf.zeros([2, 2]), tf.zeros([2])], [kernel, bias])
    np.testing.assert_allclose(kernel.numpy(), 1 - 0.5 * RATE, rtol=1e-6)
    np.testing.assert_array_equal(bias.numpy(), 1.0)


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        ({"clip_norm": 1.0}, ([0.6, 0.8], [1.0])),
        ({"clip_global_norm": 1.3}, ([0.3, 0.4], [1.2])),
        ({"clip_value": 3.5}, ([3.0, 3.5], [3.5])),
    ],
)
def test_gradients_are_clipped(clip, expected):
    variables = [keras.Variable([0.0, 0.0]), keras.Variable([0.0])]
    optimizer = make(variables, optimizer="sgd", **clip)
    optimizer.apply([tf.constant([3.0, 4.0]), tf.constant([12.0])], variables)
    for variable, gradient in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), -RATE * np.array(gradient), rtol=1e-6)


def test_accumulated_gradients_are_averaged_for_one_update():
    variable = keras.Variable([0.0])
    optimizer = make([variable], optimizer="sgd", gradient_accumulation_steps=3)
    seen = []
    for gradient in (1.0, 2.0, 6.0, 3.0):
        optimizer.apply([tf.constant([gradient])], [variable])
        seen.append(float(variable.numpy()[0]))
    assert seen == pytest.approx([0.0, 0.0, -3 * RATE, -3 * RATE])


def test_float16_scales_the_loss_and_skips_what_overflows():
    variable = keras.Variable([1.0])
    optimizer = make([variable], optimizer="sgd", precision="mixed_float16")
    scale = float(optimizer.scale_loss(1.0))
    assert scale > 1
    optimizer.apply([tf.constant([np.inf])], [variable])
    assert variable.numpy() == [1.0]
    assert float(optimizer.scale_loss(1.0)) == scale / 2
    optimizer.apply([tf.constant([scale / 2])], [variable])
    np.testing.assert_allclose(variable.numpy(), [1.0 - RATE], rtol=1e-6)


def test_accumulation_on_replicas_is_refused():
    config = dataclasses.replace(CONFIG, gradient_accumulation_steps=2)
    optimizers.check_replicas(config, 1)
    optimizers.check_replicas(CONFIG, 2)
    with pytest.raises(ValueError, match=r"gradient_accumulation_steps needs a single .* are 2"):
        optimizers.check_replicas(config, 2)
