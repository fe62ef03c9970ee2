"""TF-Slim's own net in a TF1 graph with a session: how these models were trained."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ... import shim
from . import tensorflow_device

shim.install()
import tf_slim as slim  # noqa: E402 - TF-Slim needs modules that the shim supplies

from .slim_models import net_of  # noqa: E402
from .steps import (  # noqa: E402
    LEARNING_RATE,
    MOMENTUM,
    Steps,
    milliseconds,
    synthetic_batch,
)
from .throughput_settings import NUM_CLASSES, Settings  # noqa: E402

tf1 = tf.compat.v1
# A collection of its own, so that the batch is no variable of the model.
_BATCH = "benchmark_batch"
# As TF-Slim's scripts have it for Inception v3.
_AUXILIARY_WEIGHT = 0.4


class SlimSteps(Steps):
    """A graph and a session a phase, with the batch in variables.

    Args:
        settings: what is measured; the model is one of `counterparts.SLIM_NETS`.
    """

    def __init__(self, settings: Settings) -> None:
        self._net, self._arg_scope = net_of(settings.model)
        known = {"create_aux_logits"} if settings.model == "inception_v3" else set()
        self._options = {name: settings.options[name] for name in known & set(settings.options)}
        self._batch = synthetic_batch(settings.batch_size, settings.image_size)
        self._running: dict[str, tuple[Any, Any]] = {}

    def prepare(self, phase: str) -> float:
        """As in the base class; what draws fresh weights does not count."""
        return self.build(phase) + milliseconds(lambda: self.run(phase, 1))

    def build(self, phase: str) -> float:
        """Builds a phase's graph anew.

        Returns:
            The milliseconds that it took, without the session and its fresh weights.
        """
        if phase in self._running:  # Two of them would share the cores and the memory.
            self._running.pop(phase)[0].close()
        with tf.Graph().as_default():
            images, labels = (
                tf1.Variable(part, trainable=False, use_resource=True, collections=[_BATCH])
                for part in self._batch
            )
            made: list[Any] = []
            make = self._training_op if phase == "training" else self._logits_op
            took = milliseconds(lambda: made.append(make(images.value(), labels.value())))
            start = tf1.group(
                tf1.global_variables_initializer(),
                tf1.variables_initializer(tf1.get_collection(_BATCH)),
            )
            session = tf1.Session()
            session.run(start)
        self._running[phase] = session, made[0]
        return took

    def graph_ops(self, phase: str) -> int:
        """How many ops a step of a phase depends on, without those that make its variables."""
        needed: set[tf.Operation] = set()
        found = [self._running[phase][1]]
        while found:
            op = found.pop()
            if op not in needed:
                needed.add(op)
                found += [*(tensor.op for tensor in op.inputs), *op.control_inputs]
        return len(needed)

    def run(self, phase: str, count: int) -> None:
        session, op = self._running[phase]
        for _ in range(count):
            session.run(op)  # Returns once it is done.

    def multiply_adds(self) -> int | None:
        return None  # Its net is the zoo's, whose are counted.

    def facts(self) -> dict[str, Any]:
        return {"jit_compile": False, "gpu": tensorflow_device.gpu()}

    def peak_memory_mib(self) -> float | None:
        """As in the base class."""
        return tensorflow_device.peak_memory_mib()

    def _logits_op(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Operation:
        with slim.arg_scope(self._arg_scope()):
            logits, _ = self._net(images, NUM_CLASSES, is_training=False, **self._options)
        return logits.op

    def _training_op(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Operation:
        with slim.arg_scope(self._arg_scope()):
            logits, end_points = self._net(images, NUM_CLASSES, is_training=True, **self._options)
        one_hot = tf.one_hot(labels, NUM_CLASSES)
        if "AuxLogits" in end_points:
            tf1.losses.softmax_cross_entropy(
                one_hot, end_points["AuxLogits"], weights=_AUXILIARY_WEIGHT
            )
        logits = tf.reshape(logits, [-1, NUM_CLASSES])
        tf1.losses.softmax_cross_entropy(one_hot, logits)
        optimizer = tf1.train.MomentumOptimizer(LEARNING_RATE, MOMENTUM)
        updates = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
        with tf.control_dependencies(updates):
            return optimizer.minimize(tf1.losses.get_total_loss())
