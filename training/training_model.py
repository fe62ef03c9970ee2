"""A model as it is trained: with its loss, its auxiliary head's, and its moving averages."""

from __future__ import annotations

import contextlib
import pathlib
import re
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from .. import checkpoints, models
from ..checkpoints.names import as_alternatives
from ..models.batch_norm import BatchNorm
from .ema import MovingAverages
from .optimizers import create_optimizer
from .schedules import Schedule
from .train_config import TrainConfig

_NAMES_SHOWN = 3


class TrainingModel(keras.Model):
    """One of the zoo's models, compiled for a run; `fit` and `train_step` are Keras'.

    Batches are triples of images `[b, H, W, 3]`, labels, int32 `[b]` or soft float32
    `[b, classes]`, and weights, float32 `[b]`, or pairs without weights. The loss is cross-entropy
    with smoothed labels, plus the auxiliary head's, plus the model's own weight decay, once
    whatever the number of replicas; tests are without smoothing and auxiliary head.

    Args:
        net: The model; its variables that `config.trainable` does not name become untrainable.
        config: The run's settings.
        num_classes: Classes of its head.
        total_examples: Training images of the whole run.
        accuracy: The metric beside the loss.

    Attributes:
        net: The model.
        averages: Its moving averages; None without.

    Raises:
        ValueError: `config.trainable` matches nothing.
    """

    def __init__(
        self,
        net: keras.Model,
        config: TrainConfig,
        num_classes: int,
        total_examples: int,
        accuracy: keras.metrics.Metric,
    ) -> None:
        super().__init__(name="training", dtype=config.precision)
        self.net = net
        self.built = True
        if config.trainable is not None:
            _freeze_others(net, config.trainable)
        self._num_classes = num_classes
        self._smoothing = config.label_smoothing
        self._has_auxiliary_head = getattr(net.options, "has_aux_logits", False)
        self._auxiliary_weight = config.auxiliary_loss_weight
        self._steps_per_update = config.gradient_accumulation_steps
        self._cross_entropy = keras.losses.CategoricalCrossentropy(from_logits=True)
        self.averages: MovingAverages | None = None
        if config.ema_decay is not None:
            self.averages = MovingAverages(net, config.ema_decay)
        schedule = Schedule(config, total_examples)
        self.compile(
            optimizer=create_optimizer(config, schedule, self.trainable_variables),
            loss=self._cross_entropy,
            weighted_metrics=[accuracy],
            jit_compile=config.jit_compile,
            steps_per_execution=config.steps_per_execution,
            auto_scale_loss=False,  # `create_optimizer` sees to it.
        )
        if isinstance(tf.distribute.get_strategy(), tf.distribute.ParameterServerStrategy):
            metrics = (self.metrics[0], accuracy)
            sums = [variable for metric in metrics for variable in metric.variables]
            _add_at_once([self._iterations(), *sums])

    def call(self, images: Any, training: bool = False) -> Any:
        """Logits `[B, classes]`; in training a model with an auxiliary head gives both by name."""
        if not (training and self._has_auxiliary_head):
            return self.net(images, training=training)
        end_points = self.net.end_points(images, training=True)
        return {name: end_points[name] for name in ("Logits", "AuxLogits")}

    def train_step(self, data: Any) -> dict[str, Any]:
        """Keras' step; the averages follow where it has updated the weights."""
        if self.averages is None:
            return super().train_step(data)
        before = self._updates_done()
        logs = super().train_step(data)
        self.averages.update(before, self._updates_done() > before)
        return logs

    def test_step(self, data: Any) -> dict[str, Any]:
        """Keras' step, but a batch counts by its images that could be read in the mean loss."""
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        logits = self(images, training=False)
        loss = self.compute_loss(images, labels, logits, weights, training=False)
        # `compute_loss` gives a replica's share of the mean over all of them.
        loss *= tf.distribute.get_strategy().num_replicas_in_sync
        count = keras.ops.shape(images)[0] if weights is None else keras.ops.sum(weights)
        self._loss_tracker.update_state(loss, sample_weight=count)
        return self.compute_metrics(images, labels, logits, weights)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Loss of the logits plus, in training, the weighted one of the auxiliary head's.

        In training it is the mean over all images, of which those of weight 0 have no loss; in a
        test it is the mean over the others.
        """
        targets = self._one_hot(y)
        if training:  # As TF1's losses smooth labels.
            targets = targets * (1.0 - self._smoothing) + self._smoothing / self._num_classes
        elif sample_weight is not None:
            # Keras' mean is over all rows, and those of weight 0 are no test images.
            mean = keras.ops.mean(sample_weight)
            sample_weight = keras.ops.divide_no_nan(sample_weight, mean)
        if not isinstance(y_pred, dict):
            return super().compute_loss(x, targets, y_pred, sample_weight, training)
        loss = super().compute_loss(x, targets, y_pred["Logits"], sample_weight, training)
        return loss + self._auxiliary_weight * self._cross_entropy(
            targets, y_pred["AuxLogits"], sample_weight
        )

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Metrics of the logits."""
        logits = y_pred["Logits"] if isinstance(y_pred, dict) else y_pred
        return super().compute_metrics(x, self._one_hot(y), logits, sample_weight)

    def save_tested_weights(self, path: pathlib.Path) -> None:
        """Writes the net's weights, or their averages if those are tested, as `.weights.h5`."""
        with self.averages.in_use() if self.averages is not None else contextlib.nullcontext():
            checkpoints.save(self.net, path, format="h5")

    def _updates_done(self) -> Any:
        """Updates of the weights so far, int64; a step whose scaled gradients overflow is none."""
        return keras.ops.cast(self._iterations().value, "int64") // self._steps_per_update

    def _iterations(self) -> keras.Variable:
        """Counts the steps that the optimizer has taken."""
        optimizer = self.optimizer
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer = optimizer.inner_optimizer
        return optimizer._iterations

    def _one_hot(self, labels: Any) -> Any:
        """Labels as distributions, float32 `[b, classes]`; soft ones are that already."""
        if len(labels.shape) > 1:
            return labels
        return keras.ops.one_hot(labels, self._num_classes, dtype="float32")


def create_training_model(
    config: TrainConfig, num_classes: int, total_examples: int, accuracy: keras.metrics.Metric
) -> TrainingModel:
    """Makes the model of a run with fresh weights.

    Args:
        config: The run's settings.
        num_classes: Classes of the dataset.
        total_examples: Training images of the whole run.
        accuracy: The metric beside the loss.

    Returns:
        A compiled model.

    Raises:
        ValueError: The model can't have these settings.
    """
    options = {
        "dropout_keep_prob": config.dropout_keep_prob,
        "batch_norm_decay": config.batch_norm_decay,
    }
    net = models.create(
        config.model,
        config.stage,
        num_classes=num_classes,
        input_size=config.image_size,
        weight_decay=config.weight_decay,
        dtype=config.precision,
        **{name: value for name, value in options.items() if value is not None},
    )
    if config.sync_batch_norm:
        synchronize_batch_norm(net)
    return TrainingModel(net, config, num_classes, total_examples, accuracy)


def synchronize_batch_norm(net: keras.Model) -> None:
    """Lets a native model's batch norm take its statistics over all replicas.

    Args:
        net: A model that has not been traced yet.
    """
    for layer in net._flatten_layers():
        if isinstance(layer, BatchNorm):
            layer.synchronized = True


def start_from_checkpoint(model: TrainingModel, config: TrainConfig) -> str | None:
    """Fills a model from the checkpoint that a run starts from.

    Args:
        model: The model as it is trained.
        config: The run's settings.

    Returns:
        What was taken, for the user; None if the run starts from fresh weights.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The checkpoint is damaged, or does not fit the model.
    """
    if config.checkpoint is None:
        return None
    report = checkpoints.restore(
        model.net, config.checkpoint, exclude=config.exclude, exclude_head=config.exclude_head
    )
    if model.averages is not None:
        model.averages.start()
    anew = f", {len(report.excluded)} made anew" if report.excluded else ""
    return f"{len(report.restored)} variables from '{report.path}'{anew}"


def check_steps_per_execution(config: TrainConfig, steps: int) -> None:
    """Raises ValueError if an epoch's steps are not a whole number of executions."""
    if steps % config.steps_per_execution:
        divisors = [n for n in range(1, steps + 1) if steps % n == 0]
        nearest = sorted(divisors, key=lambda n: abs(n - config.steps_per_execution))[:3]
        raise ValueError(
            f"steps_per_execution={config.steps_per_execution} does not divide the {steps} steps "
            f"of an epoch: nearest that do are {', '.join(map(str, sorted(nearest)))}."
        )


def _add_at_once(variables: Iterable[keras.Variable]) -> None:
    """Lets workers that don't wait for each other add to the same variables.

    Keras reads a variable, adds, and writes the sum, by which it loses what another worker has
    added in between.
    """
    for variable in variables:
        variable.assign_add = variable.value.assign_add


def _freeze_others(net: keras.Model, trainable: str) -> None:
    """Makes all variables untrainable but those that a regular expression names, or scopes of."""
    named = {checkpoints.tf1_name(variable): variable for variable in net.trainable_variables}
    wanted = {name for name in named if re.fullmatch(rf"(?:{trainable})(/.*)?", name)}
    if not wanted:
        some = ", ".join(list(named)[-_NAMES_SHOWN:])
        several = as_alternatives(trainable)
        hint = "" if several is None else f" Several are given as {several!r}."
        raise ValueError(
            f"trainable={trainable!r} matches none of {net.name}'s trainable variables, such as "
            f"{some}: it has to match a whole name or scope.{hint}"
        )
    for name, variable in named.items():
        if name not in wanted:
            variable.trainable = False
