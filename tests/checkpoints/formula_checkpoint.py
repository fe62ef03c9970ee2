"""TF1 checkpoints as TensorFlow's own `Saver` writes them, with values from the formula."""

from pathlib import Path

import numpy as np
import tensorflow as tf


def write(path: Path, values: dict[str, np.ndarray], *, shards: int = 1, version: int = 2) -> str:
    """Writes a name-based checkpoint in a TF1 session; returns its prefix, or V1's one file."""
    v1 = tf.compat.v1
    config = v1.ConfigProto(device_count={"CPU": shards})
    with tf.Graph().as_default(), v1.Session(config=config) as session:
        for i, (name, value) in enumerate(values.items()):
            with tf.device(f"/cpu:{i % shards}"):
                v1.get_variable(name, initializer=value)
        saver = v1.train.Saver(v1.global_variables(), sharded=version == 2, write_version=version)
        session.run(v1.global_variables_initializer())
        return saver.save(session, str(path), write_meta_graph=False)


def write_after_training(path: Path, values: dict[str, np.ndarray], optimizer) -> str:
    """The same with what a training job leaves: slots, moving averages, the global step."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        variables = [
            v1.get_variable(
                name, initializer=value, trainable="moving_" not in name.rsplit("/", 1)[-1]
            )
            for name, value in values.items()
        ]
        step = v1.train.get_or_create_global_step()
        # A gradient of zero, so that the values stay those of the formula.
        loss = tf.add_n([0.0 * tf.reduce_sum(variable) for variable in variables])
        train = optimizer().minimize(loss, global_step=step)
        with tf.control_dependencies([train]):
            train = v1.train.ExponentialMovingAverage(0.9).apply(variables)
        session.run(v1.global_variables_initializer())
        session.run(train)
        return v1.train.Saver().save(session, str(path), global_step=1, write_meta_graph=False)
