"""The steps of Keras models: those that `fit` and `predict` run, on each backend.

Keras makes them; what is left out is the input pipeline: the batch is on the device already.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from . import flops
from .steps import Steps, milliseconds


def steps_of(model: keras.Model, counted: keras.Model, batch: tuple[Any, Any]) -> Steps:
    """The steps of a compiled model on Keras' backend.

    Args:
        model: compiled.
        counted: the model itself, where `model` wraps it.
        batch: images and labels, as `synthetic_batch` gives them.
    """
    kinds: dict[str, Callable[..., Steps]] = {
        "tensorflow": TensorFlowSteps,
        "jax": _JaxSteps,
        "torch": _TorchSteps,
    }
    return kinds[keras.config.backend()](model, counted, batch)


class _KerasSteps(Steps):
    """What the backends have in common."""

    def __init__(self, model: keras.Model, counted: keras.Model, batch: tuple[Any, Any]) -> None:
        self.model = model
        with self._scope():
            # As `fit` does before its first step: the metrics' variables, the optimizer's.
            model._symbolic_build(data_batch=batch)
        self._counted = counted
        self._image_size = batch[0].shape[1]
        self._batch = self._on_device(batch)

    def _scope(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def _on_device(self, batch: tuple[Any, Any]) -> tuple[Any, Any]:
        images, labels = batch
        return keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(labels)

    def prepare(self, phase: str) -> float:
        make = {
            "training": self.model.make_train_function,
            "inference": self.model.make_predict_function,
        }[phase]

        def first() -> None:
            make(force=True)
            self.run(phase, 1)

        return milliseconds(first)

    def multiply_adds(self) -> int | None:
        return flops.of_keras_model(self._counted, self._image_size)

    def facts(self) -> dict[str, Any]:
        return {"jit_compile": bool(self.model.jit_compile)}


class TensorFlowSteps(_KerasSteps):
    """Steps on TensorFlow, on one device or the replicas of the model's strategy."""

    def _scope(self) -> contextlib.AbstractContextManager[Any]:
        return self.model.distribute_strategy.scope()

    def _on_device(self, batch: tuple[Any, Any]) -> tuple[Any, Any]:
        import tensorflow as tf

        strategy = self.model.distribute_strategy
        replicas = strategy.num_replicas_in_sync
        if replicas == 1:
            return tuple(tf.constant(part) for part in batch)

        def spread(part: np.ndarray) -> Any:
            parts = np.split(part, replicas)
            return strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(parts[context.replica_id_in_sync_group])
            )

        return tuple(spread(part) for part in batch)

    def run(self, phase: str, count: int) -> None:
        from . import tensorflow_device

        if phase == "training":
            for _ in range(count):
                self.model.train_function([self._batch])
        else:
            for _ in range(count):
                self.model.predict_function([self._batch[:1]])
        tensorflow_device.synchronize()

    def facts(self) -> dict[str, Any]:
        from . import tensorflow_device

        return {**super().facts(), "gpu": tensorflow_device.gpu()}

    def peak_memory_mib(self) -> float | None:
        from . import tensorflow_device

        return tensorflow_device.peak_memory_mib()


class _JaxSteps(_KerasSteps):
    def run(self, phase: str, count: int) -> None:
        import jax

        training = phase == "training"
        function = self.model.train_function if training else self.model.predict_function
        batch = self._batch if training else self._batch[:1]
        # The step takes the arrays of its state for its own, so the model gets the last ones back.
        state = self.model._get_jax_state(
            trainable_variables=True,
            non_trainable_variables=True,
            optimizer_variables=training,
            metrics_variables=training,
        )
        for _ in range(count):
            outputs, state = function(state, iter([batch]))
        jax.block_until_ready((outputs, state))
        names = ("trainable", "non_trainable", "optimizer", "metrics")
        self.model._jax_state = {
            f"{name}_variables": values for name, values in zip(names, state, strict=False)
        }
        self.model._jax_state_synced = False
        self.model.jax_state_sync()

    def facts(self) -> dict[str, Any]:
        from . import jax_device

        return {**super().facts(), "gpu": jax_device.gpu()}

    def peak_memory_mib(self) -> float | None:
        from . import jax_device

        return jax_device.peak_memory_mib()


class _TorchSteps(_KerasSteps):
    def run(self, phase: str, count: int) -> None:
        from . import torch_device

        training = phase == "training"
        function = self.model.train_function if training else self.model.predict_function
        batch = self._batch if training else self._batch[:1]
        self.model.train(training)
        for _ in range(count):
            function([batch])
        torch_device.synchronize()

    def facts(self) -> dict[str, Any]:
        from . import torch_device

        return {**super().facts(), "gpu": torch_device.gpu()}

    def peak_memory_mib(self) -> float | None:
        from . import torch_device

        return torch_device.peak_memory_mib()
