"""Converting a checkpoint: any format into any other, any version of a model into any other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import models
from .fitting import Ema, Rules
from .names import AVERAGE
from .opening import open_checkpoint
from .report import RestoreReport
from .restoring import restore
from .saving import check_target, format_of, write

if TYPE_CHECKING:
    import keras

# What `include_optimizer` takes along, of what `restore` leaves out.
_STATE = ("optimizer slots", "optimizer counters", "global step")
_AVERAGES = "moving averages"
# Two versions sum in another order; the outputs of a net that was restored wrongly differ by all.
_SAME = 1e-4


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What `convert` did.

    Args:
        source: What was read, and what of it was left out in the end.
        target: What was written.
        format: Its format.
        stage: The version of the model that wrote it.
        state: Names of the optimizer's tensors that were taken along.
        difference: The largest difference between the outputs of source and target, as a share of
            the largest output; None if it was not verified.
    """

    source: RestoreReport
    target: Path
    format: str
    stage: str
    state: tuple[str, ...]
    difference: float | None

    def __str__(self) -> str:
        lines = [str(self.source), f"Wrote {self.target} ({self.format}, {self.stage})."]
        if self.state:
            averages = sum(name.endswith(AVERAGE) for name in self.state)
            slots = len(self.state) - averages
            kinds = ((slots, "tensors of the optimizer"), (averages, "moving averages"))
            taken = " and ".join(f"{number} {kind}" for number, kind in kinds if number)
            lines.append(f"Took along {taken}.")
        if self.difference == 0:
            lines.append("Verified: the outputs are equal.")
        elif self.difference is not None:
            lines.append(
                "Verified: the outputs differ by rounding alone, at most by "
                f"{self.difference:.1g} of the largest one."
            )
        return "\n".join(lines)


def convert(
    source: str | Path,
    target: str | Path,
    *,
    model: str,
    format: str | None = None,
    from_stage: str = "shimmed",
    to_stage: str = "native",
    rename: Mapping[str, str] | None = None,
    exclude: Sequence[str] = (),
    exclude_head: bool = False,
    ema: Ema = "auto",
    include_optimizer: bool = False,
    verify: bool = False,
    **options: Any,
) -> Conversion:
    """Reads a checkpoint of a model and writes it in another format, or for another version of it.

    Args:
        source: As `path` of `restore`.
        target: As `path` of `save`.
        model: The model's name.
        format: As for `save`; that of the target's ending if None, and `"tf1"` if it has none.
        from_stage: The version of the model that is asked for outputs when `verify` compares them.
        to_stage: The version of the model to write.
        rename: As for `restore`.
        exclude: As for `restore`.
        exclude_head: As for `restore`.
        ema: As for `restore`.
        include_optimizer: Whether to take along the optimizer slots, its counters, the global step,
            and moving averages that do not stand for the variables, between files that have TF1
            names for them.
        verify: Whether to run source and target on an image and compare.
        **options: The model's, as for `models.create`. `num_classes` is the file's if it says.

    Returns:
        What was read, written and compared.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The source is damaged or does not fit the model, the target's path does not suit
            its format, or the outputs differ.
        OSError: The target can't be written; an older one is left as it was.
    """
    target = Path(target)
    format = format or format_of(target)
    check_target(target, format)
    if include_optimizer and format in ("h5", "keras"):
        raise ValueError(f"format {format!r} has no TF1 names for an optimizer's state.")
    models.check_stage(from_stage)
    rules: dict[str, Any] = {
        "rename": rename,
        "exclude": exclude,
        "exclude_head": exclude_head,
        "ema": ema,
    }
    options = {**_classes_in(source, model, rename), **options}
    written = models.create(model, to_stage, **options)
    report = restore(written, source, **rules)
    state = _state_in(source, report, rename) if include_optimizer else {}
    if state:
        taken = _state_kinds(report)
        left = {kind: names for kind, names in report.left_out.items() if kind not in taken}
        report = dataclasses.replace(report, left_out=left)
    expected = None
    if verify:
        expected = _outputs(_restored(model, from_stage, source, rules, written, options))
    write(written, target, format, state)
    difference = None
    if expected is not None:
        found = _outputs(_restored(model, to_stage, target, {"ema": False}, written, options))
        difference = _difference(found, expected)
        if not difference <= _SAME:
            raise ValueError(
                f"{target} gives other outputs than {report.path}: they differ by {difference:.2g} "
                "of the largest one."
            )
    return Conversion(report, target, format, to_stage, tuple(state), difference)


def _classes_in(source: str | Path, model: str, rename: Mapping[str, str] | None) -> dict[str, int]:
    """How many classes the head in the file has, where its names tell."""
    variant = models.get_variant(model)
    with open_checkpoint(source) as checkpoint:
        for name, spec in checkpoint.specs.items():
            own = Rules(rename).renamed(name) or ""
            scope, _, last = own.rpartition("/")
            is_head = f"{variant.scope}/{variant.head_scopes[0]}" in (
                scope,
                scope[: scope.rfind("/")],
            )
            if is_head and last in ("biases", "bias"):
                return {"num_classes": spec.shape[0]} if spec.shape else {}
    return {}


def _state_in(
    source: str | Path, report: RestoreReport, rename: Mapping[str, str] | None
) -> dict[str, np.ndarray]:
    rules = Rules(rename)
    kinds = _state_kinds(report)
    if not any(report.left_out.get(kind) for kind in kinds):
        raise ValueError(
            f"{report.path} has no optimizer's state under TF1 names: convert it without "
            "include_optimizer (--include-optimizer)."
        )
    with open_checkpoint(source) as checkpoint:
        return {
            rules.renamed(tensor) or tensor: checkpoint.read(tensor)
            for kind in kinds
            for tensor in report.left_out.get(kind, ())
        }


def _state_kinds(report: RestoreReport) -> tuple[str, ...]:
    """What goes along with the variables; averages that are the variables now do not."""
    return _STATE if report.is_averaged else (*_STATE, _AVERAGES)


def _restored(
    name: str,
    stage: str,
    path: str | Path,
    rules: Mapping[str, Any],
    written: keras.Model,
    options: Mapping[str, Any],
) -> keras.Model:
    """The model in a stage, with what is in a file; what is excluded as in the model written."""
    model = models.create(name, stage, **options)
    for ours, its in zip(model.weights, written.weights, strict=True):
        ours.assign(its)
    restore(model, path, **rules)
    return model


def _outputs(model: keras.Model) -> np.ndarray:
    import keras

    size = model.variant.input_size
    image = np.random.default_rng(0).uniform(-1, 1, (1, size, size, 3)).astype("float32")
    return keras.ops.convert_to_numpy(model(image, training=False))


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / (np.abs(expected).max() or 1.0))
