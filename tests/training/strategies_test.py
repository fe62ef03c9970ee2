"""Strategies by name: which one `auto` is, what each refuses, and that devices train as one."""

import dataclasses
import json
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import models
from shimzoo.training import DEMO, input_pipeline, run_record, strategies, training_model

from .few_digits import load_few

CONFIG = dataclasses.replace(DEMO.config, batch_size=20, learning_rate=0.01)
STEPS = 4
# Of float64, after four steps of training from fresh weights, where each step multiplies a
# difference by about a thousand.
TOLERANCE = 1e-6


def with_strategy(name, **settings):
    return dataclasses.replace(CONFIG, strategy=name, **settings)


def test_auto_is_one_device_here_and_several_workers_with_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert strategies.resolve(CONFIG).strategy == "one_device"
    monkeypatch.setenv("TF_CONFIG", "{}")
    assert strategies.resolve(CONFIG).strategy == "multi_worker"


def with_gpus(monkeypatch, number):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"] * number)


@pytest.mark.parametrize(
    ("gpus", "batch_size", "replicas"),
    [
        (2, 64, 2),
        (3, 64, 2),
        (5, 64, 4),
        (6, 64, 4),
        (7, 64, 4),
        (8, 64, 8),
        (6, 63, 3),
        (3, 25, 1),
    ],
)
def test_auto_takes_as_many_gpus_as_share_the_batch_evenly(monkeypatch, gpus, batch_size, replicas):
    with_gpus(monkeypatch, gpus)
    resolved = strategies.resolve(dataclasses.replace(CONFIG, batch_size=batch_size))
    expected = ("one_device", None) if replicas == 1 else ("mirrored", replicas)
    assert (resolved.strategy, resolved.replicas) == expected


@pytest.mark.parametrize(("name", "gpus", "idle"), [("auto", 3, 3 - 1), ("one_device", 3, 0)])
def test_gpus_that_auto_leaves_idle_are_told(monkeypatch, name, gpus, idle):
    placement = strategies.place(with_strategy("one_device"), None)
    with_gpus(monkeypatch, gpus)
    model = types.SimpleNamespace(trainable_weights=[], jit_compile=False)
    told = run_record.start_lines(with_strategy(name), model, load_few("digits"), 1, placement)[
        "compute"
    ]
    assert (f"{idle} GPUs idle" in told) == bool(idle)


@pytest.mark.parametrize(("epochs", "is_told"), [(2, True), (3, False)])
def test_a_run_that_ends_within_its_warmup_says_so(epochs, is_told):
    placement = strategies.place(with_strategy("one_device"), None)
    config = with_strategy("one_device", epochs=epochs, batch_size=64, warmup_examples=2 * 15 * 64)
    model = types.SimpleNamespace(trainable_weights=[], jit_compile=False)
    told = run_record.start_lines(config, model, load_few("digits"), 15, placement)["rate"]
    assert ("the warm-up takes 1,920 training images and the run 1,920" in told) == is_told


def test_parameter_servers_add_up_no_gradients_of_several_steps(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    config = with_strategy("parameter_server", gradient_accumulation_steps=2)
    with pytest.raises(ValueError, match=r"gradient_accumulation_steps=2 does not go with"):
        strategies.find_cluster(config)


def test_a_batch_that_replicas_cannot_share_is_refused(monkeypatch):
    config = with_strategy("mirrored", replicas=2, batch_size=15)
    with pytest.raises(ValueError, match=r"batch_size=15.*shared by 2 replicas: take a multiple"):
        strategies.place(config, None)
    cluster = {"worker": ["localhost:1", "localhost:2"]}
    task = {"type": "worker", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    with pytest.raises(ValueError, match="shared by 2 workers"):
        strategies.find_cluster(with_strategy("multi_worker", batch_size=15))


def test_more_replicas_than_there_are_devices_are_refused(monkeypatch):
    tf.config.list_logical_devices()
    monkeypatch.setattr(strategies.os, "cpu_count", lambda: 64)
    with pytest.raises(ValueError, match=r"replicas=20.*has \d+ CPU"):
        strategies.place(with_strategy("mirrored", replicas=20), None)


def test_more_parts_of_the_cpu_than_it_has_cores_are_refused(monkeypatch):
    monkeypatch.setattr(strategies.os, "cpu_count", lambda: 4)
    with pytest.raises(ValueError, match=r"replicas=20.*4 CPU core.*take 4 or fewer"):
        strategies.place(with_strategy("mirrored", replicas=20), None)


@pytest.mark.parametrize("name", ["local", "no-such-tpu"])
def test_without_a_tpu_that_is_one_line(name, monkeypatch):
    monkeypatch.setenv("TPU_NAME", name)
    with pytest.raises(ValueError, match=f"found no TPU named '{name}'") as raised:
        strategies.place(with_strategy("tpu"), None)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 250


def train(strategy, synchronized):
    """Loss of each step, and the weights after them, from the same start on the same batches."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = models.create(
            CONFIG.model,
            num_classes=10,
            input_size=CONFIG.image_size,
            weight_decay=1e-2,
            dropout_keep_prob=1.0,
            batch_norm_decay=0.9,
        )
        if synchronized:
            training_model.synchronize_batch_norm(model)
        model.compile(
            keras.optimizers.SGD(CONFIG.learning_rate, momentum=0.9, nesterov=True),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=False,
        )
    losses = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda _, logs: losses.append(logs["loss"])
    )
    # An epoch of one step each, so that a loss is that step's own.
    model.fit(
        input_pipeline.training_batches(load_few("digits").train, CONFIG),
        epochs=STEPS,
        steps_per_epoch=1,
        shuffle=False,
        verbose=0,
        callbacks=[record],
    )
    return losses, {weight.path: weight.numpy() for weight in model.weights}


def compare_two_replicas_with_one_device():
    """In float64, so that rounding, which fresh weights multiply, is out of sight."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    two = strategies.place(with_strategy("mirrored", replicas=2), None).strategy
    losses, weights = train(two, synchronized=True)
    expected_losses, expected = train(tf.distribute.get_strategy(), synchronized=False)
    np.testing.assert_allclose(losses, expected_losses, rtol=TOLERANCE)
    for path, value in expected.items():
        atol = TOLERANCE * np.abs(value).max()
        np.testing.assert_allclose(weights[path], value, rtol=0, atol=atol, err_msg=path)
    # Norms of each replica's own share, as TF-Slim's clones have them, are another function.
    own, _ = train(two, synchronized=False)
    assert abs(own[0] - expected_losses[0]) > 1e-3


def test_two_replicas_train_as_one_device_with_the_same_global_batch():
    # In a process of its own: TensorFlow refuses sums over replicas in float64 where another
    # strategy of the process has had some in float32.
    program = f"from {__name__} import {compare_two_replicas_with_one_device.__name__} as compare"
    result = subprocess.run(
        [sys.executable, "-c", f"{program}; compare()"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-4000:]
