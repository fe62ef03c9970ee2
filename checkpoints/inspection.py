"""What a checkpoint is: its format, what is in it, and which models it fits."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import models
from . import skeletons
from .candidates import Candidate, candidates_for
from .checkpoint import FORMAT_NAMES, Checkpoint, TensorSpec
from .fitting import Rules, fit
from .names import AVERAGE, left_out_kind
from .opening import open_checkpoint

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
class Inspection:
    """What `inspect` found, without reading any tensor but the step.

    Args:
        path: The file, or the prefix of the `.index` and `.data` files.
        format: As in `RestoreReport`.
        is_named: Whether TF1 names of its tensors are known: from the file or, where it tells
            their places in a model alone, by the model that it fits. Else they go by these places.
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
        candidates = candidates_for(checkpoint, variables)
        named = variables if checkpoint.named_by is None else _named(checkpoint, candidates)
        return Inspection(
            path=checkpoint.path,
            format=checkpoint.format,
            is_named=named is not None,
            bytes=sum(_size(spec) for spec in checkpoint.specs.values()),
            step=_step(checkpoint, left_out),
            variables=named or variables,
            left_out=left_out,
            averages=len(left_out.get("moving averages", ())),
            candidates=candidates,
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


def _named(checkpoint: Checkpoint, candidates: Sequence[Candidate]) -> dict[str, TensorSpec] | None:
    """What a file without names holds under those of the model that it fits, if it does."""
    for candidate in candidates:
        classes = {} if candidate.num_classes is None else {"num_classes": candidate.num_classes}
        for stage in reversed(models.STAGES) if candidate.is_perfect else ():
            model = skeletons.make(candidate.models[0], stage, **classes).model
            named = checkpoint.named_by(model) if checkpoint.named_by else checkpoint
            if fit(model.weights, named, Rules()).is_perfect:
                return {name: named.specs[name] for name in sorted(named.specs)}
    return None
