"""A small classifier in TF-Slim, and its training and evaluation as a TF1 program.

python tests/shim/slim_classifier.py disable_v2_behavior FOLDER
"""

import sys

import numpy as np
import tensorflow as tf
from shimzoo import shim

shim.install()

import tf_slim as slim  # noqa: E402  (TF1 code, imported as its users do, after install)

tf1 = tf.compat.v1

# Two clouds of points, far apart and far from the origin.
LABELS = np.repeat([[0.0], [1.0]], 8, axis=0).astype("float32")
POINTS = (np.random.default_rng(0).normal(size=[16, 3]) + 20 + 8 * LABELS).astype("float32")


def classify(points, is_training):
    with slim.arg_scope([slim.fully_connected], weights_regularizer=slim.l2_regularizer(1e-3)):
        net = slim.batch_norm(points, is_training=is_training, decay=0.5, scope="norm")
        return slim.fully_connected(net, 1, activation_fn=tf.sigmoid, scope="probability")


def train(folder):
    slim.losses.log_loss(classify(tf.constant(POINTS), True), tf.constant(LABELS))
    assert len(tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)) == 2
    optimizer = tf1.train.GradientDescentOptimizer(1.0)
    train_op = slim.learning.create_train_op(slim.losses.get_total_loss(), optimizer)
    loss = slim.learning.train(train_op, folder, number_of_steps=200)
    assert 0 < loss < 0.1, f"the loss after training is {loss}"


def evaluate(folder):
    # Right only by the moving averages that the training has left.
    correct = tf.equal(tf.round(classify(tf.constant(POINTS), False)), LABELS)
    accuracy, update = slim.metrics.streaming_mean(tf.cast(correct, tf.float32))
    value = slim.evaluation.evaluate_once(
        master="",
        checkpoint_path=tf.train.latest_checkpoint(folder),
        logdir=f"{folder}/evaluation",
        num_evals=1,
        eval_op=update,
        final_op=accuracy,
    )
    assert value == 1.0, f"the accuracy after training is {value}"


if __name__ == "__main__":
    switch, folder = sys.argv[1:]
    getattr(tf1, switch)()
    train(folder)
    tf1.reset_default_graph()
    evaluate(folder)
