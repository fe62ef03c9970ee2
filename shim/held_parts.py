"""What an object holds in its attributes, where Keras and `tf.Module` do not look."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import keras
import tensorflow as tf

from .call_state import is_tf_keras_layer

# What holds the variables and layers that an object's decorated methods make.
ATTRIBUTE = "_tf1_variables"


@dataclasses.dataclass(frozen=True)
class Part:
    """A variable or Keras layer that an object holds.

    Args:
        place: where, the same in every object of the class: `"towers/0/dense/kernel"`.
        value: the `tf.Variable` or `keras.Layer`.
        loss: computes the regularization loss of a variable of TF1 code; None where there is none.
    """

    place: str
    value: tf.Variable | keras.Layer
    loss: Callable[[], tf.Tensor] | None = None


class HoldsParts(Protocol):
    """The holder of a `tf.Module`."""

    def parts(self) -> Iterator[Part]:
        """What the module's decorated methods have made, in creation order, under TF1 names."""


def contents(owner: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of an object with their names, those in lists and dictionaries one by one."""
    for name, value in list(vars(owner).items()):
        # TensorFlow repeats under these what it tracks in others.
        if name != ATTRIBUTE and not name.startswith("_self_"):
            yield from _members(name, value, ())


def _members(place: str, value: Any, within: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list | tuple):
        members = list(enumerate(value))
    else:
        yield place, value
        return
    if id(value) not in within:  # A list may hold itself.
        for key, member in members:
            yield from _members(f"{place}/{key}", member, (*within, id(value)))


def parts_of(owner: Any) -> Iterator[Part]:
    """The variables and Keras layers in an object's attributes and those of its `tf.Module`s.

    What Keras layers hold in turn is theirs. Each part comes once.
    """
    return _not_yet_seen(owner, "", {id(owner)})


def parts_of_module(module: tf.Module, place: str) -> Iterator[Part]:
    """As `parts_of`, of a module which is itself at a place."""
    return _parts_of_module(module, f"{place}/", {id(module)})


def _not_yet_seen(owner: Any, prefix: str, seen: set[int]) -> Iterator[Part]:
    for name, value in contents(owner):
        if not isinstance(value, tf.Variable | keras.Layer | tf.Module) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, tf.Variable | keras.Layer):
            yield Part(prefix + name, value)
        else:
            yield from _parts_of_module(value, f"{prefix}{name}/", seen)


def _parts_of_module(module: tf.Module, prefix: str, seen: set[int]) -> Iterator[Part]:
    if is_tf_keras_layer(module):  # It knows its own, and keeps them in no attributes of ours.
        losses = losses_by_variable(module)
        for number, variable in enumerate(module.weights):
            yield Part(f"{prefix}{number}", variable, losses.get(id(variable)))
        return
    yield from _not_yet_seen(module, prefix, seen)
    holder: HoldsParts | None = vars(module).get(ATTRIBUTE)
    if holder is not None:
        for part in holder.parts():
            if id(part.value) not in seen:
                seen.add(id(part.value))
                yield dataclasses.replace(part, place=prefix + part.place)


def losses_by_variable(module: tf.Module) -> dict[int, Callable[[], tf.Tensor]]:
    """The regularization losses of a module's TF1 variables, by the variables' identity."""
    holders = (vars(part).get(ATTRIBUTE) for part in (module, *module.submodules))
    return {
        id(part.value): part.loss
        for holder in holders
        if holder is not None
        for part in holder.parts()
        if part.loss is not None
    }
