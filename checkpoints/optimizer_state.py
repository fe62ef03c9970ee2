"""The state of Keras' optimizers under the names, and with the meaning, it has in TF1 checkpoints.

| Keras | TF1 | slots of a variable `v` |
|---|---|---|
| `SGD(momentum=...)` | `MomentumOptimizer` | `v/Momentum` |
| `RMSprop` | `RMSPropOptimizer` | `v/RMSProp` (mean square), `v/RMSProp_1` (momentum) |
| `RMSprop(centered=True)` | the same | as before, with the mean gradient as `v/RMSProp_1` |
| `Adam` | `AdamOptimizer` | `v/Adam`, `v/Adam_1`, and `beta1_power`, `beta2_power` |

The steps done are `global_step`. The momentum of TF1's `MomentumOptimizer` is a sum of gradients,
that of Keras' `SGD` a sum of steps: it has the learning rate, and the other sign.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from .names import names_in

GLOBAL_STEP = "global_step"


@dataclasses.dataclass(frozen=True)
class _Slot:
    """A slot of every variable: its TF1 name, and where Keras' optimizer has it.

    Args:
        suffix: What follows the variable's name.
        variables: Keras' variables, in the order of the trainable ones; None where Keras has no
            use for the slot, which is zero then.
        factor: What makes TF1's value of Keras' value.
    """

    suffix: str
    variables: Sequence[keras.Variable] | None
    factor: float = 1.0


def tensors_of(model: Any) -> dict[str, np.ndarray]:
    """The optimizer's state as a TF1 checkpoint has it.

    Args:
        model: A compiled model.

    Returns:
        Values by TF1 name, `global_step` among them.

    Raises:
        ValueError: The model has no optimizer, or one that TF1 has no counterpart of.
    """
    optimizer = _optimizer_of(model)
    steps = int(optimizer.iterations.numpy())
    tensors: dict[str, np.ndarray] = {GLOBAL_STEP: np.asarray(steps, "int64")}
    names = _names_by_variable(model)
    for i, variable in enumerate(model.trainable_variables):
        for slot in _slots(optimizer):
            value = (
                np.zeros(variable.shape, variable.dtype)
                if slot.variables is None
                else keras.ops.convert_to_numpy(slot.variables[i]) * slot.factor
            )
            tensors[f"{names[id(variable)][0]}/{slot.suffix}"] = value.astype(variable.dtype)
    if isinstance(optimizer, keras.optimizers.Adam):
        for number, beta in ((1, optimizer.beta_1), (2, optimizer.beta_2)):
            tensors[f"beta{number}_power"] = np.asarray(beta ** (steps + 1), "float32")
    return tensors


def restore(model: keras.Model, tensors: Mapping[str, Any]) -> None:
    """Gives an optimizer the state of another one of its kind.

    Args:
        model: A compiled model.
        tensors: As `tensors_of` gives them; tensors that are no optimizer's are left alone.

    Raises:
        ValueError: The model has no optimizer, one that TF1 has no counterpart of, or one whose
            state is not among the tensors. The optimizer keeps its own then.
    """
    optimizer = _optimizer_of(model)
    values: list[tuple[keras.Variable, np.ndarray]] = []
    names = _names_by_variable(model)
    for i, variable in enumerate(model.trainable_variables):
        for slot in _slots(optimizer):
            possible = [f"{name}/{slot.suffix}" for name in names[id(variable)]]
            name = next((name for name in possible if name in tensors), possible[0])
            if name not in tensors:
                raise ValueError(
                    f"The checkpoint has no state of {type(optimizer).__name__}: {name} is missing."
                )
            value = np.asarray(tensors[name])
            if value.shape != tuple(variable.shape):
                raise ValueError(
                    f"{name} is of shape {list(value.shape)} in the checkpoint, and its variable "
                    f"of {list(variable.shape)}."
                )
            if slot.variables is not None:
                values.append((slot.variables[i], value / slot.factor))
    if GLOBAL_STEP not in tensors:
        raise ValueError(
            "The checkpoint has no global_step, and with it no count of the steps done."
        )
    for slot_variable, value in values:
        slot_variable.assign(value)
    optimizer.iterations.assign(int(tensors[GLOBAL_STEP]))


def _names_by_variable(model: keras.Model) -> dict[int, list[str]]:
    return {id(v): names for v, names in zip(model.weights, names_in(model.weights), strict=True)}


def _optimizer_of(model: keras.Model) -> keras.Optimizer:
    optimizer = getattr(model, "optimizer", None)
    if isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    if optimizer is None:
        raise ValueError(f"{model.name} has no optimizer: compile it first.")
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    return optimizer


def _slots(optimizer: keras.Optimizer) -> list[_Slot]:
    """The slots in TF1's order; exact classes, as those derived from them compute otherwise."""
    if type(optimizer) is keras.optimizers.SGD:
        if not optimizer.momentum:
            return []
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        if rate == 0:
            raise ValueError(
                "With a learning rate of 0 the momentum of SGD has no counterpart in TF1."
            )
        return [_Slot("Momentum", optimizer.momentums, -1 / rate)]
    if type(optimizer) is keras.optimizers.RMSprop:
        means = [optimizer._velocities]
        if optimizer.centered:
            means.append(optimizer._average_gradients)
        slots = [*means, optimizer._momentums or None]
        return [_Slot(f"RMSProp_{i}" if i else "RMSProp", slot) for i, slot in enumerate(slots)]
    if type(optimizer) is keras.optimizers.Adam and not optimizer.amsgrad:
        return [_Slot("Adam", optimizer._momentums), _Slot("Adam_1", optimizer._velocities)]
    raise ValueError(
        f"The state of {type(optimizer).__name__} has no counterpart in TF1: SGD, RMSprop and Adam "
        "(without amsgrad) have one."
    )
