"""G4, G5: the layers compute what TF1's layers compute, in training and inference.

The official layers run in TF1 graphs, in a process of their own; ours in every way they can be run.
"""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim
from shimzoo.tests.shim import layers_in_tf1
from shimzoo.tests.shim.layers_in_tf1 import CASES, STEPS

tf1 = tf.compat.v1

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tf_keras") is None,
    reason="TF1's layers are in tf_keras, which is not installed",
)


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    path = tmp_path_factory.mktemp("official") / "layers.npz"
    subprocess.run(
        [sys.executable, "-W", "ignore", layers_in_tf1.__file__, str(path)],
        env={**os.environ, "TF_USE_LEGACY_KERAS": "1"},
        check=True,
    )
    results: dict[str, dict[str, np.ndarray]] = {}
    with np.load(path) as arrays:
        for name, array in arrays.items():
            case, key = name.split("/", 1)
            results.setdefault(case, {})[key] = array
    return results


class Net(keras.Layer):
    """Runs the code of a case as TF1 code is run in TF2."""

    def __init__(self, case):
        super().__init__(dtype=case.dtype)
        self.case = case

    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        with tf1.variable_scope("net", **self.case.scope):
            return self.case.code(shim.layers, inputs, training)


def run_decorated(case, in_function):
    """What `run_in_session` gives, from a decorated layer."""
    net = Net(case)

    def step(inputs, training):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = net(inputs, training=training)
            loss = tf.add_n(net.losses) if net.losses else tf.constant(0.0)
            total = layers_in_tf1.loss_of(outputs) + tf.cast(loss, outputs.dtype)
        weights = {v.path: v.value for v in net.trainable_variables}
        gradients = tape.gradient(total, {"inputs": inputs, **weights})
        return outputs, loss, {name: g for name, g in gradients.items() if g is not None}

    step = tf.function(step) if in_function else step
    results = {}
    for number in range(STEPS):
        inputs = tf.constant(layers_in_tf1.inputs_of(case, number))
        training = tf.constant(True) if case.dynamic else True
        results.update(layers_in_tf1.step_results(number, *step(inputs, training)))
    results["names"] = np.array([v.path for v in net.weights])
    results["shapes"] = np.array([str(tuple(v.shape)) for v in net.weights])
    results["trainable"] = np.array([v.trainable for v in net.weights])
    results.update({f"value:{v.path}": v.numpy() for v in net.weights})
    inputs = tf.constant(layers_in_tf1.inputs_of(case, STEPS))
    training = tf.constant(False) if case.dynamic else False
    results["evaluation"] = step(inputs, training)[0].numpy()
    return results


RUNS = {
    "eager": lambda case: run_decorated(case, in_function=False),
    "function": lambda case: run_decorated(case, in_function=True),
    "session": lambda case: layers_in_tf1.run_in_session(case, shim.layers),
}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", CASES)
def test_g04_g05_numbers_are_tf1s(name, run, official):
    expected = official[name]
    if "failure" in expected:
        pytest.skip(f"the official layer does not run on this machine: {expected['failure']}")
    found = RUNS[run](CASES[name])
    assert set(found) == set(expected)
    for key, value in expected.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-5, err_msg=key)
            assert found[key].dtype == value.dtype
        else:
            np.testing.assert_array_equal(found[key], value, err_msg=key)


def test_g04_signatures_are_tf1s(official):
    assert layers_in_tf1.signatures(shim.layers).keys() == official["signature"].keys()
    for name, expected in official["signature"].items():
        found = layers_in_tf1.signatures(shim.layers)[name]
        if name == "Layer":  # Ours says more than `**kwargs`.
            found = found[: len(expected)]
        np.testing.assert_array_equal(found, expected, err_msg=name)
