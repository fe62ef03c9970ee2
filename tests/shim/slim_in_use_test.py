"""G11, G17: TF-Slim's losses, variables, training and evaluation after `install()`."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim
from shimzoo.tests.shim import slim_classifier
from shimzoo.tests.shim.slim_classifier import LABELS, POINTS, classify, slim, tf1


@pytest.mark.parametrize("switch", ["disable_eager_execution", "disable_v2_behavior"])
def test_g17_slims_training_and_evaluation_run_as_in_tf1(tmp_path, switch):
    result = subprocess.run(
        [sys.executable, slim_classifier.__file__, switch, tmp_path],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr


def test_g17_slims_variables_are_found_and_restored_in_tf1_graphs(tmp_path):
    def build():
        with tf1.variable_scope("net"):
            classify(tf.constant(POINTS), True)
            slim.model_variable("scale", [2], initializer=tf1.ones_initializer())
        slim.get_or_create_global_step()

    with tf.Graph().as_default(), tf1.Session() as session:
        build()
        names = ["net/norm/beta", "net/norm/moving_mean", "net/norm/moving_variance"]
        assert [v.op.name for v in slim.get_model_variables("net/norm")] == names
        assert [v.op.name for v in slim.get_variables_by_name("weights")] == [
            "net/probability/weights"
        ]
        assert slim.get_unique_variable("net/scale").shape == [2]
        restored = slim.get_variables_to_restore(exclude=["net/probability", "global_step"])
        assert [v.op.name for v in restored] == [*names, "net/scale"]
        session.run(tf1.global_variables_initializer())
        weights = session.run(slim.get_unique_variable("net/probability/weights"))
        path = tf1.train.Saver().save(session, str(tmp_path / "model"))
    with tf.Graph().as_default(), tf1.Session() as session:
        build()
        slim.assign_from_checkpoint_fn(path, slim.get_variables_to_restore())(session)
        restored = session.run(slim.get_unique_variable("net/probability/weights"))
        np.testing.assert_array_equal(restored, weights)


class Classifier(keras.Layer):
    """Returns its losses and the names that Slim finds."""

    @shim.track_tf1_style_variables
    def call(self, points, labels):
        with tf1.variable_scope("net"):
            probabilities = classify(points, True)
        slim.losses.log_loss(probabilities, labels)
        slim.losses.add_loss(tf.constant(2.0))
        self.found = {
            "model": [v.op.name for v in slim.get_model_variables()],
            "moving_mean": [v.op.name for v in slim.get_variables_by_name("moving_mean")],
            "unique": slim.get_unique_variable("net/norm/beta").op.name,
        }
        return {
            "data": slim.losses.get_losses(),
            "regularization": slim.losses.get_regularization_losses(),
            "total": slim.losses.get_total_loss(),
        }


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])
def test_g11_slims_losses_and_variables_are_those_of_the_call(wrap):
    layer = Classifier()
    call = wrap(lambda points, labels: layer(points, labels))
    for _ in range(2):
        losses = call(tf.constant(POINTS), tf.constant(LABELS))
        assert len(losses["data"]) == 2
        assert len(losses["regularization"]) == 1
        parts = [*losses["data"], *losses["regularization"]]
        np.testing.assert_allclose(losses["total"], sum(float(loss) for loss in parts), rtol=1e-5)
    names = ["beta", "moving_mean", "moving_variance"]
    norm = [f"net/norm/{name}" for name in names]
    assert layer.found == {
        "model": [*norm, "net/probability/weights", "net/probability/biases"],
        "moving_mean": ["net/norm/moving_mean"],
        "unique": "net/norm/beta",
    }
    assert slim.losses.get_losses() == []
    assert slim.get_model_variables() == []
