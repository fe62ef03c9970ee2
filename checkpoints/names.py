"""Which TF1 name a variable has, and which names in a checkpoint are not a model's."""

from __future__ import annotations

import collections
import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import keras

if TYPE_CHECKING:
    import tensorflow as tf

    AnyVariable: TypeAlias = keras.Variable | tf.Variable

# Keras' last part of a variable's path -> TF-Slim's.
SUFFIXES = {
    "kernel": "weights",
    "bias": "biases",
    "depthwise_kernel": "depthwise_weights",
    "pointwise_kernel": "pointwise_weights",
}

# The average that `tf.train.ExponentialMovingAverage` keeps of a variable.
AVERAGE = "/ExponentialMovingAverage"

# What training leaves in a checkpoint beside the model: kind -> pattern. A `base` has to be a
# variable of the model or the file, so that a model may still name a variable of its own so; that
# of a replica's copy is what stands before and behind `/replica_1`.
_LEFT_OUT = {
    "replicas' copies": re.compile(r"(?P<base>.+)/replica_\d+(?P<rest>/.+)?"),
    "optimizer slots": re.compile(
        r"(?P<base>.+)/(Momentum|RMSProp(_[12])?|Adam(_1)?|Adagrad|Adadelta(_1)?|Ftrl(_1)?)"
    ),
    "optimizer counters": re.compile(r"(.+/)?beta[12]_power"),
    "moving averages": re.compile(rf"(?P<base>.+){AVERAGE}"),
    "global step": re.compile(r"(.+/)?global_step"),
}


def as_alternatives(pattern: str) -> str | None:
    """The regular expression for a list of scopes as TF-Slim's flags take it, with commas.

    Args:
        pattern: What was given as a regular expression.

    Returns:
        The expression for any one of the list; None if the pattern is no such list.
    """
    # A comma in braces is part of a regular expression.
    if "," not in pattern or "{" in pattern:
        return None
    return "|".join(filter(None, map(str.strip, pattern.split(","))))


def tf1_name(variable: AnyVariable) -> str:
    """The name of a variable in a TF1 checkpoint, TF-Slim's if it is a native layer's.

    Args:
        variable: Variable of a shimmed layer, whose path is its TF1 name, or of a native layer
            that is named by its TF1 scope; or a `tf.Variable`.

    Returns:
        The name without `:0`, for instance `MobilenetV1/Conv2d_0/weights` for a native
        `MobilenetV1/Conv2d_0/kernel`.
    """
    return names_of(variable)[0]


def names_of(variable: AnyVariable) -> list[str]:
    """The names that a variable can have in a TF1 checkpoint: TF-Slim's, `tf.layers`'."""
    if not isinstance(variable, keras.Variable):
        return [variable.name.removesuffix(":0")]
    if is_tf1_variable(variable):
        return [variable.path]
    scope, slash, suffix = variable.path.rpartition("/")
    return list(dict.fromkeys([scope + slash + SUFFIXES.get(suffix, suffix), variable.path]))


def names_in(variables: Sequence[AnyVariable]) -> list[list[str]]:
    """The names that each of a model's variables can have in a checkpoint; the first is written.

    A native variable is written in the style of the TF1 code around it: as `tf.layers` names
    variables (`kernel`, `bias`) if the model's TF1 variables are named so, else as TF-Slim does.

    Args:
        variables: All variables of the model.

    Returns:
        A list for each of them, in their order.
    """
    names = [names_of(variable) for variable in variables]
    tf1_suffixes = {only[0].rpartition("/")[2] for only in names if len(only) == 1}
    is_of_tf_layers = bool(tf1_suffixes & SUFFIXES.keys()) and tf1_suffixes.isdisjoint(
        SUFFIXES.values()
    )
    return [both[::-1] for both in names] if is_of_tf_layers else names


def is_tf1_variable(variable: AnyVariable) -> bool:
    """Whether TF1 code made a variable in a decorated method."""
    return getattr(variable, "is_of_tf1_code", False)


def variables_of(owner: keras.Layer | tf.Module) -> list[AnyVariable]:
    """The variables of a Keras layer or model, or of a `tf.Module` and the Keras layers in it."""
    if isinstance(owner, keras.Layer):
        return owner.weights
    import tensorflow as tf

    parts = owner._flatten(predicate=lambda part: isinstance(part, keras.Layer | tf.Variable))
    variables: dict[int, AnyVariable] = {}
    for part in parts:
        if isinstance(part, keras.Layer):
            # In the module these are known by their values too, which lack the names.
            variables.update((id(variable.value), variable) for variable in part.weights)
        else:
            variables.setdefault(id(part), part)
    return list(variables.values())


def by_tf1_name(variables: Sequence[AnyVariable]) -> dict[str, AnyVariable]:
    """A model's variables under the names that a checkpoint has them by, in their order.

    Raises:
        ValueError: Two of them have the same name.
    """
    named: dict[str, AnyVariable] = {}
    for variable, names in zip(variables, names_in(variables), strict=True):
        name = names[0]
        if name in named:
            raise ValueError(
                f"Two variables have the TF1 name {name} (paths {names_of(named[name])[-1]} and "
                f"{names_of(variable)[-1]}): give their layers different names."
            )
        named[name] = variable
    return named


def left_out_kind(name: str, variables: Collection[str]) -> str | None:
    """What kind of tensor this is, if training left it there and no model needs it.

    Args:
        name: A name in a TF1 checkpoint.
        variables: All names of the checkpoint and of the model.

    Returns:
        For instance `"optimizer slots"`, or None for what could be a model's variable.
    """
    for kind, pattern in _LEFT_OUT.items():
        if match := pattern.fullmatch(name):
            base, rest = (match.groupdict().get(part) or "" for part in ("base", "rest"))
            if not base or base + rest in variables:
                return kind
    return None


def scope_around(names: Iterable[str], own: str) -> str:
    """What stands before a model's scope in names that do not have it at the beginning.

    Args:
        names: Those in a file.
        own: The model's scope, without a slash.

    Returns:
        The commonest of such scopes with its slash, or nothing.
    """
    scopes = collections.Counter(
        before for name in names for before, found, _ in [f"/{name}".partition(f"/{own}/")] if found
    )
    if not scopes or "" in scopes:
        return ""
    return scopes.most_common(1)[0][0].removeprefix("/") + "/"
