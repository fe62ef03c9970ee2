"""What each process of a cluster runs, its task told by `TF_CONFIG`; see `clusters_test.py`.

Arguments: the kind of job, and the `.npz` file for the trained values, as `<object>:<TF1 name>`.
"""

import sys

import keras
import numpy as np
import tensorflow as tf
from shimzoo import shim
from shimzoo.tests.shim.strategy_net import (
    IMAGES,
    LABELS,
    NetLayer,
    NetModel,
    NetModule,
    compile_like_expected_step,
    give_known_values,
    minimize,
    tf_variables,
    values_of,
)


def train_on_every_worker():
    """Two workers, each with a copy of the variables."""
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    batches = tf.data.Dataset.from_tensors((IMAGES, LABELS)).unbatch().batch(len(IMAGES))
    with strategy.scope():
        layer, module, model = NetLayer(), NetModule(), NetModel()
        native = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
        for trained in (model, native):
            compile_like_expected_step(trained)
    errors = {"native": error_of_fit(native, batches), "decorated": error_of_fit(model, batches)}
    made = []
    for owner in (layer, module, model):
        (batch,) = strategy.experimental_distribute_dataset(batches)
        strategy.run(tf.function(lambda images, labels, owner=owner: owner(images)), batch)
        made.append(values_of(owner)["net/conv/kernel"])
        give_known_values(owner)
        strategy.run(step_of(owner, strategy), batch)
    trained = by_name(NetLayer=layer, NetModule=module, NetModel=model)
    return {**trained, **errors, "made": made}


def error_of_fit(model, batches):
    """The first line of what Keras says if it can't fit under the strategy, else nothing."""
    try:
        model.fit(batches, shuffle=False, verbose=0)
    except ValueError as error:
        return str(error).splitlines()[0]
    return ""


def step_of(owner, strategy):
    with strategy.scope():
        if isinstance(owner, keras.Model):
            optimizer = keras.optimizers.SGD(0.1)
            optimizer.build(owner.trainable_variables)
        else:
            optimizer = tf.compat.v1.train.GradientDescentOptimizer(0.1)

    @tf.function
    def step(images, labels):
        minimize(owner, optimizer, images, labels, strategy.num_replicas_in_sync)

    return step


def coordinate():
    """A coordinator, whose worker computes and whose parameter server keeps the variables."""
    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    strategy = tf.distribute.ParameterServerStrategy(cluster, in_two_if_wide)
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    with strategy.scope():
        layer, module, model = NetLayer(), NetModule(), NetModel()
        native = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
        wide = Wide()
        for trained in (model, native):
            compile_like_expected_step(trained)
    batches = tf.data.Dataset.from_tensors((IMAGES, LABELS))
    errors = {"native": error_of_fit(native, batches), "decorated": error_of_fit(model, batches)}
    devices = set()
    for owner in (layer, module):
        step = step_of(owner, strategy)
        coordinator.schedule(tf.function(lambda owner=owner: strategy.run(owner, [IMAGES])))
        coordinator.join()
        give_known_values(owner)
        coordinator.schedule(tf.function(lambda step=step: strategy.run(step, [IMAGES, LABELS])))
        coordinator.join()
        devices.update(variable.device for variable in tf_variables(owner).values())
    outputs = coordinator.schedule(tf.function(lambda: wide(tf.ones([1, WIDTH])))).fetch()
    kernel = wide.weights[0].value
    assert [part.shape for part in kernel.variables] == [(WIDTH // 2, 3)] * 2
    np.testing.assert_allclose(outputs, kernel.numpy().sum(0, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(wide.losses, [np.sum(kernel.numpy() ** 2)], rtol=1e-5)
    trained = by_name(NetLayer=layer, NetModule=module)
    return {**trained, **errors, "devices": sorted(devices)}


WIDTH = 64


class Wide(keras.Layer):
    """Its variable is sharded over parameter servers."""

    @shim.track_tf1_style_variables
    def call(self, inputs):
        square_sum = keras.regularizers.L2(1.0)
        kernel = tf.compat.v1.get_variable("kernel", [WIDTH, 3], regularizer=square_sum)
        return tf.matmul(inputs, kernel)


def in_two_if_wide(shape, dtype):
    return [2 if size == WIDTH else 1 for size in shape] or [1]


def by_name(**owners):
    return {
        f"{label}:{name}": value
        for label, owner in owners.items()
        for name, value in values_of(owner).items()
    }


def serve():
    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    tf.distribute.Server(
        cluster.cluster_spec(), job_name=cluster.task_type, task_index=cluster.task_id
    ).join()


JOBS = {"train": train_on_every_worker, "coordinate": coordinate, "serve": serve}

if __name__ == "__main__":
    np.savez(sys.argv[2], **JOBS[sys.argv[1]]())
