"""Contenders on PyTorch: torchvision's and timm's models, as their users run them.

Images and weights are in channels-last order; mixed precision is autocast's, with a scaled loss in
float16; `jit_compile` stands for `torch.compile`. As in torchvision's training script, the
optimizer decays all weights.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import torch

from ... import models
from . import counterparts, flops, torch_device
from .steps import LEARNING_RATE, MOMENTUM, Steps, milliseconds, synthetic_batch
from .throughput_settings import NUM_CLASSES, TORCHVISION, Settings

# torchvision's googlenet and inception_v3 have auxiliary heads, whose losses its script weighs so.
_AUXILIARY_WEIGHT = 0.4
_AUTOCAST = {"mixed_float16": torch.float16, "mixed_bfloat16": torch.bfloat16}


class TorchSteps(Steps):
    """A model's steps with SGD and momentum.

    Args:
        library: "torchvision" or "timm".
        settings: what is measured; the library has a counterpart of the model.
    """

    def __init__(self, library: str, settings: Settings) -> None:
        torch_device.prepare(settings.threads)
        torch.manual_seed(0)
        self._settings = settings
        self._device = torch_device.name()
        self._model = self._on_device(_model(library, settings))
        images, labels = synthetic_batch(settings.batch_size, settings.image_size)
        self._images = self._on_device(torch.from_numpy(images).permute(0, 3, 1, 2))
        self._labels = torch.from_numpy(labels).long().to(self._device)
        decay = getattr(_options(settings), "weight_decay", 0.0)
        self._optimizer = torch.optim.SGD(
            self._model.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=decay
        )
        is_half = settings.precision == "mixed_float16"
        self._scaler = torch.amp.GradScaler(self._device, enabled=is_half)
        self._loss = torch.nn.CrossEntropyLoss()
        self._prepared: dict[str, Callable[[], Any]] = {}

    def _on_device(self, value: Any) -> Any:
        return value.to(self._device, memory_format=torch.channels_last)

    def prepare(self, phase: str) -> float:
        def first() -> None:
            forward: Callable[[torch.Tensor], Any] = self._model
            if self._settings.jit_compile:
                torch._dynamo.reset()
                forward = torch.compile(self._model)
            step = self._train if phase == "training" else self._infer
            self._prepared[phase] = lambda: step(forward)
            self.run(phase, 1)

        return milliseconds(first)

    def run(self, phase: str, count: int) -> None:
        self._model.train(phase == "training")
        for _ in range(count):
            self._prepared[phase]()
        torch_device.synchronize()

    def _train(self, forward: Callable[[torch.Tensor], Any]) -> None:
        with self._autocast():
            outputs = forward(self._images)
            loss = self._total_loss(outputs)
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.step(self._optimizer)
        self._scaler.update()

    def _infer(self, forward: Callable[[torch.Tensor], Any]) -> Any:
        with torch.inference_mode(), self._autocast():
            return forward(self._images)

    def _autocast(self) -> torch.autocast:
        dtype = _AUTOCAST.get(self._settings.precision)
        return torch.autocast(self._device, dtype=dtype, enabled=dtype is not None)

    def _total_loss(self, outputs: Any) -> torch.Tensor:
        if isinstance(outputs, torch.Tensor):
            return self._loss(outputs, self._labels)
        logits, *auxiliary = (part for part in outputs if part is not None)
        losses = [_AUXILIARY_WEIGHT * self._loss(part, self._labels) for part in auxiliary]
        return sum(losses, self._loss(logits, self._labels))

    def multiply_adds(self) -> int | None:
        self._model.eval()
        return flops.of_torch(lambda: self._model(self._images[:1]))

    def facts(self) -> dict[str, Any]:
        return {"jit_compile": self._settings.jit_compile, "gpu": torch_device.gpu()}

    def peak_memory_mib(self) -> float | None:
        return torch_device.peak_memory_mib()


def _options(settings: Settings) -> Any:
    return dataclasses.replace(models.default_options(settings.model), **settings.options)


def _model(library: str, settings: Settings) -> torch.nn.Module:
    model = settings.model
    if library == TORCHVISION:
        nets = importlib.import_module("torchvision.models")
        has_auxiliary_head = getattr(_options(settings), "create_aux_logits", False)
        arguments = counterparts.torchvision_arguments(model, has_auxiliary_head)
        make = getattr(nets, counterparts.torchvision_model(model))
        return make(weights=None, num_classes=NUM_CLASSES, **arguments)
    timm: Any = importlib.import_module("timm")
    return timm.create_model(counterparts.timm_model(model), num_classes=NUM_CLASSES)
