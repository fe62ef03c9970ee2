"""Which models of the zoo a checkpoint fits, or nearly."""

from __future__ import annotations

import collections
import dataclasses
import fnmatch
import functools
from collections.abc import Mapping, Sequence

from .. import models
from . import skeletons
from .checkpoint import Checkpoint, TensorSpec
from .fitting import spec_of
from .names import names_of, scope_around

_NEAREST = 3
# How many variables a net has, head and auxiliary head included: what a file without names is told
# by, before any net is built to compare.
VARIABLE_COUNTS = {
    "inception_resnet_v2": 908,
    "inception_v1": 230,
    "inception_v2": 277,
    "inception_v3": 388,
    "inception_v4": 608,
    "mobilenet_edgetpu_*": 292,
    "mobilenet_v1_*": 137,
    "mobilenet_v2_*": 262,
    "mobilenet_v3_large_0.75_*": 266,
    "mobilenet_v3_large_1.0_*": 266,
    "mobilenet_v3_large_minimalistic_*": 234,
    "mobilenet_v3_small_0.75_*": 210,
    "mobilenet_v3_small_1.0_*": 210,
    "mobilenet_v3_small_minimalistic_*": 174,
    "resnet_v1_50": 267,
    "resnet_v1_101": 522,
    "resnet_v1_152": 777,
    "resnet_v1_200": 1017,
    "resnet_v2_50": 272,
    "resnet_v2_101": 544,
    "resnet_v2_152": 816,
    "resnet_v2_200": 1072,
}
# So many of them are of heads at most.
_OF_HEADS = 12


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model and how a checkpoint fits it.

    Args:
        models: Names of the models that have these variables; they differ in image size alone.
        missing: Variables of the model that the file lacks.
        unused: Tensors of the file that the model lacks.
        unequal: What both have in another shape, in words.
        num_classes: Classes of the head in the file, if it differs from the published one in
            nothing but that.
        scope: What stands before the model's names in the file, with its slash.
        has_head: Whether the file has the head.
    """

    models: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    unequal: tuple[str, ...]
    num_classes: int | None = None
    scope: str = ""
    has_head: bool = True

    @property
    def is_perfect(self) -> bool:
        """Whether the file is one of this model."""
        return not (self.missing or self.unused or self.unequal)

    def shared(self, count: int) -> int:
        """How many of the model's variables, of so many, are in the file."""
        return count - len(self.missing)

    @property
    def distance(self) -> int:
        """How many differences there are."""
        return len(self.missing) + len(self.unused) + len(self.unequal)

    def describe(self) -> str:
        """The models and the differences in one line, shortened."""
        if self.is_perfect:
            head = f" with num_classes={self.num_classes}" if self.num_classes is not None else ""
            if not self.has_head:
                head = " without its head (num_classes=None)"
            if self.scope:
                own = f"{models.get_variant(self.models[0]).scope}/"
                head += f" under scope {self.scope}: use --rename {self.scope}{own}={own}"
            return ", ".join(self.models) + head
        parts = {
            "not in the file": self.missing,
            "not in the model": self.unused,
            "of another shape": self.unequal,
        }
        differences = "; ".join(
            f"{len(names)} {what}, as {names[0]}" for what, names in parts.items() if names
        )
        return f"{self.models[0]} ({differences})"


def candidates_for(
    checkpoint: Checkpoint, variables: Mapping[str, TensorSpec]
) -> tuple[Candidate, ...]:
    """The models that a checkpoint fits, or up to three that are the nearest.

    Args:
        checkpoint: An open one; none of its tensors is read.
        variables: Those of its tensors that are a model's.
    """
    compare = _compared_by_name if checkpoint.named_by is None else _compared_by_shape
    nets = _possible_nets(checkpoint, variables)
    compared = [(compare(variables, names, _variables_of(names[0])), names[0]) for names in nets]
    # What shares next to nothing is not near.
    least = 1 if checkpoint.named_by is None else len(variables) // 2
    found = [one for one, name in compared if one.shared(len(_variables_of(name))) >= least]
    found.sort(key=lambda candidate: candidate.distance)
    perfect = [candidate for candidate in found if candidate.is_perfect]
    return tuple(perfect or found[:_NEAREST])


def _possible_nets(
    checkpoint: Checkpoint, variables: Mapping[str, TensorSpec]
) -> Sequence[tuple[str, ...]]:
    """The nets whose scope or name the file has; without names, those of about its size."""
    scopes = {part for name in variables for part in name.split("/")[:-1]}
    nets = [
        names
        for names in models.nets()
        if models.get_variant(names[0]).scope in scopes or checkpoint.config.get("variant") in names
    ]
    if nets or checkpoint.named_by is None:
        return nets
    return [
        names
        for names in models.nets()
        if 0 <= variable_count(names[0]) - len(variables) <= _OF_HEADS
    ]


def variable_count(model: str) -> int:
    """How many variables a model of the zoo has, which is the same in all widths."""
    return next(n for pattern, n in VARIABLE_COUNTS.items() if fnmatch.fnmatch(model, pattern))


@functools.cache
def _variables_of(model: str) -> dict[str, TensorSpec]:
    made = skeletons.make(model).model
    return {names_of(weight)[0]: spec_of(weight) for weight in made.weights}


def _compared_by_name(
    variables: Mapping[str, TensorSpec], names: tuple[str, ...], table: Mapping[str, TensorSpec]
) -> Candidate:
    scope = scope_around(variables, models.get_variant(names[0]).scope)
    if scope:
        variables = {
            name.removeprefix(scope): spec
            for name, spec in variables.items()
            if name.startswith(scope + models.get_variant(names[0]).scope + "/")
        }
    unequal = {
        name: spec for name, spec in table.items() if name in variables and variables[name] != spec
    }
    num_classes = _classes_of_another_head(variables, names[0], unequal)
    missing = [name for name in table if name not in variables]
    head = [name for name in table if name.startswith(_heads_of(names[0]))]
    has_head = missing != head
    return Candidate(
        names,
        missing=tuple(missing) if has_head else (),
        unused=tuple(name for name in variables if name not in table),
        unequal=tuple(
            f"{name} is {variables[name]} in the file and {spec} in the model"
            for name, spec in unequal.items()
            if num_classes is None
        ),
        num_classes=num_classes,
        scope=scope,
        has_head=has_head,
    )


def _heads_of(model: str) -> tuple[str, ...]:
    variant = models.get_variant(model)
    return tuple(f"{variant.scope}/{scope}/" for scope in variant.head_scopes)


def _classes_of_another_head(
    variables: Mapping[str, TensorSpec], model: str, unequal: Mapping[str, TensorSpec]
) -> int | None:
    """The last dimension in the file of what differs, if that is the head and nothing else."""
    heads = _heads_of(model)
    if not unequal or not all(name.startswith(heads) for name in unequal):
        return None
    shapes = [(variables[name].shape, spec.shape) for name, spec in unequal.items()]
    classes = {shape[-1] for shape, _ in shapes if shape}
    if len(classes) != 1 or any(shape[:-1] != other[:-1] for shape, other in shapes):
        return None
    return classes.pop()


def _compared_by_shape(
    variables: Mapping[str, TensorSpec], names: tuple[str, ...], table: Mapping[str, TensorSpec]
) -> Candidate:
    left = collections.Counter(variables.values())
    missing = []
    for name, spec in table.items():
        if left[spec]:
            left[spec] -= 1
        else:
            missing.append(name)
    num_classes = _classes_of_heads_shape(
        [table[name] for name in missing if name.startswith(_heads_of(names[0]))], left, missing
    )
    if num_classes is not None:
        return Candidate(names, (), (), (), num_classes)
    unused = [f"one of {spec}" for spec, count in left.items() for _ in range(count)]
    return Candidate(names, tuple(missing), tuple(unused), ())


def _classes_of_heads_shape(
    heads: Sequence[TensorSpec], left: Mapping[TensorSpec, int], missing: Sequence[str]
) -> int | None:
    """The classes of the file if nothing but heads is missing, and is there with other classes."""
    found = [spec for spec, count in left.items() for _ in range(count)]
    classes = {spec.shape[-1] for spec in found if spec.shape}
    if len(classes) != 1 or len(heads) != len(missing):
        return None
    number = classes.pop()
    wanted = [dataclasses.replace(spec, shape=(*spec.shape[:-1], number)) for spec in heads]
    return number if collections.Counter(wanted) == collections.Counter(found) else None
