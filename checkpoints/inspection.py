"""What a checkpoint is: its format, what is in it, and which models it fits."""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import models
from .checkpoint import FORMAT_NAMES, Checkpoint, TensorSpec
from .names import AVERAGE, left_out_kind, names_of
from .opening import open_checkpoint

_NEAREST = 3
# Bytes of an element, by dtype; of strings and other things the size is not known.
_BYTES = {
    "float64": 8,
    "int64": 8,
    "float32": 4,
    "int32": 4,
    "float16": 2,
    "bfloat16": 2,
}


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
    """

    models: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    unequal: tuple[str, ...]
    num_classes: int | None = None

    @property
    def is_perfect(self) -> bool:
        """Whether the file is one of this model."""
        return not (self.missing or self.unused or self.unequal)

    @property
    def distance(self) -> int:
        """How many differences there are."""
        return len(self.missing) + len(self.unused) + len(self.unequal)

    def describe(self) -> str:
        """The models and the differences in one line, shortened."""
        if self.is_perfect:
            head = f" with num_classes={self.num_classes}" if self.num_classes is not None else ""
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


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What `inspect` found, without reading any tensor but the step.

    Args:
        path: The file, or the prefix of the `.index` and `.data` files.
        format: As in `RestoreReport`.
        is_named: Whether its tensors have TF1 names; else they are compared by their shapes.
        bytes: Size of all tensors.
        step: The global step, None if there is none.
        variables: Shapes and dtypes of the tensors that are a model's, by name.
        left_out: Kind -> names of the others, as in `RestoreReport`.
        averages: How many of the variables have a moving average.
        candidates: The model it fits, or the nearest ones.
    """

    path: Path
    format: str
    is_named: bool
    bytes: int
    step: int | None
    variables: dict[str, TensorSpec]
    left_out: dict[str, tuple[str, ...]]
    averages: int
    candidates: tuple[Candidate, ...]

    def to_json(self) -> str:
        """All of it, as JSON."""
        return json.dumps({**dataclasses.asdict(self), "path": str(self.path)}, indent=2)

    def __str__(self) -> str:
        rows = {
            "path": str(self.path),
            "format": f"{FORMAT_NAMES[self.format]} ({self.format})",
            "model": self._model(),
            "tensors": f"{len(self.variables)} of a model; {self.bytes / 1e6:,.1f} MB in all",
            "averages": f"of {self.averages} variables" if self.averages else "none",
            "step": "none" if self.step is None else f"{self.step:,}",
            **{kind: str(len(names)) for kind, names in self.left_out.items()},
        }
        lines = [f"{name:<20}{text}" for name, text in rows.items()]
        width = max((len(name) for name in self.variables), default=0)
        lines += ["", *(f"{name:<{width}}  {spec}" for name, spec in self.variables.items())]
        return "\n".join(lines)

    def _model(self) -> str:
        if not self.candidates:
            return "none of the zoo's"
        if self.candidates[0].is_perfect:
            return " or ".join(one.describe() for one in self.candidates)
        nearest = [one.describe() for one in self.candidates]
        return "none of the zoo's; nearest are " + ("\n" + 20 * " ").join(nearest)


def inspect(path: str | Path) -> Inspection:
    """Tells what a checkpoint is, from its index.

    Args:
        path: As for `restore`.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It is none, or a damaged one.
    """
    with open_checkpoint(path) as checkpoint:
        variables, left_out = _sorted_out(checkpoint)
        return Inspection(
            path=checkpoint.path,
            format=checkpoint.format,
            is_named=checkpoint.named_by is None,
            bytes=sum(_size(spec) for spec in checkpoint.specs.values()),
            step=_step(checkpoint, left_out),
            variables=variables,
            left_out=left_out,
            averages=len(left_out.get("moving averages", ())),
            candidates=_candidates(checkpoint, variables),
        )


def _sorted_out(
    checkpoint: Checkpoint,
) -> tuple[dict[str, TensorSpec], dict[str, tuple[str, ...]]]:
    variables: dict[str, TensorSpec] = {}
    left_out: dict[str, tuple[str, ...]] = {}
    for name in sorted(checkpoint.specs):
        kind = left_out_kind(name, checkpoint.specs)
        if kind is None:
            variables[name] = checkpoint.specs[name]
        else:
            left_out[kind] = (*left_out.get(kind, ()), name)
    # A file may hold averages alone.
    for name in left_out.get("moving averages", ()):
        variables.setdefault(name.removesuffix(AVERAGE), checkpoint.specs[name])
    return variables, left_out


def _size(spec: TensorSpec) -> int:
    return spec.elements * _BYTES.get(spec.dtype, 1)


def _step(checkpoint: Checkpoint, left_out: Mapping[str, tuple[str, ...]]) -> int | None:
    steps = left_out.get("global step", ())
    return int(checkpoint.read(steps[0])) if len(steps) == 1 else None


def _candidates(
    checkpoint: Checkpoint, variables: Mapping[str, TensorSpec]
) -> tuple[Candidate, ...]:
    compare = _compared_by_name if checkpoint.named_by is None else _compared_by_shape
    nets = _possible_nets(checkpoint, variables)
    found = [compare(variables, names, _variables_of(names[0])) for names in nets]
    found.sort(key=lambda candidate: candidate.distance)
    perfect = [candidate for candidate in found if candidate.is_perfect]
    return tuple(perfect or found[:_NEAREST])


def _possible_nets(
    checkpoint: Checkpoint, variables: Mapping[str, TensorSpec]
) -> Sequence[tuple[str, ...]]:
    """The nets whose scope or name the file has; all of them if there are none."""
    scopes = {part for name in variables for part in name.split("/")[:-1]}
    nets = [
        names
        for names in models.nets()
        if models.get_variant(names[0]).scope in scopes or checkpoint.variant in names
    ]
    return nets or models.nets()


@functools.cache
def _variables_of(model: str) -> dict[str, TensorSpec]:
    made = models.create(model, "native")
    return {
        names_of(weight)[0]: TensorSpec(tuple(weight.shape), str(weight.dtype))
        for weight in made.weights
    }


def _compared_by_name(
    variables: Mapping[str, TensorSpec], names: tuple[str, ...], table: Mapping[str, TensorSpec]
) -> Candidate:
    unequal = {
        name: spec for name, spec in table.items() if name in variables and variables[name] != spec
    }
    num_classes = _classes_of_another_head(variables, names[0], unequal)
    return Candidate(
        names,
        missing=tuple(name for name in table if name not in variables),
        unused=tuple(name for name in variables if name not in table),
        unequal=tuple(
            f"{name} is {variables[name]} in the file and {spec} in the model"
            for name, spec in unequal.items()
            if num_classes is None
        ),
        num_classes=num_classes,
    )


def _classes_of_another_head(
    variables: Mapping[str, TensorSpec], model: str, unequal: Mapping[str, TensorSpec]
) -> int | None:
    """The last dimension in the file of what differs, if that is the head and nothing else."""
    variant = models.get_variant(model)
    heads = tuple(f"{variant.scope}/{scope}/" for scope in variant.head_scopes)
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
    unused = [f"one of {spec}" for spec, count in left.items() for _ in range(count)]
    return Candidate(names, tuple(missing), tuple(unused), ())
