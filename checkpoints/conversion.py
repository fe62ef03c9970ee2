"""Converting a checkpoint: any format into any other, any version of a model into any other."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from .. import models
from . import skeletons
from .checkpoint import Checkpoint
from .fitting import Ema, Rules
from .names import AVERAGE, by_tf1_name, left_out_kind
from .opening import open_checkpoint
from .report import RestoreReport
from .restoring import best_fit, check_fit, fitting, report_of, restore, rules_for
from .saving import NAMED_FORMATS, check_target, format_of, is_there, write

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
        # Nothing had values before.
        restored = self.source.in_words(excluded="are made anew")
        lines = [restored, f"Wrote {self.target} ({self.format}, {self.stage})."]
        if self.state:
            lines.append(f"Took along {self._state()}.")
        if self.difference == 0:
            lines.append("Verified: the outputs are equal.")
        elif self.difference is not None:
            lines.append(
                "Verified: the outputs differ by rounding alone, at most by "
                f"{self.difference:.1g} of the largest one."
            )
        return "\n".join(lines)

    def _state(self) -> str:
        """What was taken along, in words."""
        kinds = collections.Counter(_kind(name) for name in self.state)
        counted = (("tensor", " of the optimizer"), ("moving average", ""))
        words = [
            f"{number} {noun}{'s' if number > 1 else ''}{rest}"
            for noun, rest in counted
            if (number := kinds[noun])
        ]
        words += ["the global step"] if kinds["global step"] else []
        return ", ".join(words[:-1]) + " and " * (len(words) > 1) + words[-1]


def _kind(name: str) -> str:
    if name.endswith(AVERAGE):
        return "moving average"
    return "global step" if left_out_kind(name, ()) == "global step" else "tensor"


@skeletons.without_garbage_collection()
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
    overwrite: bool = False,
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
        overwrite: Whether to replace what is at the target's place.
        **options: The model's, as for `models.create`. Those that are not given are the file's if
            it says: a `.keras` file all, others `num_classes` by the shape of the head.

    Returns:
        What was read, written and compared.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        FileExistsError: There is something at the target's place, and it is not to be replaced.
        ValueError: The source is damaged or does not fit the model, the target's path does not suit
            its format, or the outputs differ. Nothing is written then.
        OSError: The target can't be written; an older one is left as it was.
    """
    target = Path(target)
    format = format or format_of(target)
    check_target(target, format)
    if is_there(target, format) and not overwrite:
        raise FileExistsError(
            f"{target} is there already: choose another place, or overwrite=True (--overwrite) to "
            "replace it."
        )
    if include_optimizer and format in ("h5", "keras"):
        raise ValueError(f"format {format!r} has no TF1 names for an optimizer's state.")
    models.check_stage(from_stage)
    models.check_stage(to_stage)
    with open_checkpoint(source) as opened:
        options = {**_options_in(opened, model, rename), **options}
        # By name all versions of a model are stored alike, and the native one is the soonest made.
        stage = "native" if format in NAMED_FORMATS else to_stage
        made = skeletons.make(model, stage, **options)
        rules = rules_for(made.model, rename, exclude, exclude_head, ema)
        checkpoint, found = best_fit(made.model, opened, rules)
        # Only with the names that the model gave it does a file without its own tell of its head.
        told = {} if checkpoint is opened else _options_in(checkpoint, model, rename)
        if any(told[name] != getattr(made.model.options, name) for name in told.keys() - options):
            options = {**told, **options}
            made = skeletons.make(model, stage, **options)
            checkpoint, found = best_fit(made.model, opened, rules)
        check_fit(made.model, opened, found)
        report = report_of(made.model, opened, found)
        state = _state_in(checkpoint, report, rename) if include_optimizer else {}
        for tensor, variable in found.sources.items():
            skeletons.lend(variable, functools.partial(checkpoint.read, tensor))
        difference = None

        def check(written: Path) -> None:
            nonlocal difference
            # In full precision, as half of it differs by more than a wrong weight may.
            full = {**options, "dtype": made.model.dtype_policy.variable_dtype}
            target_model = models.create(model, to_stage, **full)
            source_model = models.create(model, from_stage, **full)
            difference = _difference(target_model, source_model, written, opened, rules)
            if not difference <= _SAME:
                raise ValueError(
                    f"{target} is not written: its outputs differ from those of {report.path} by "
                    f"{difference:.2g} of the largest one."
                )

        write(made.model, target, format, state, made.waiting, check if verify else None)
    if state:
        taken = _state_kinds(report)
        left = {kind: names for kind, names in report.left_out.items() if kind not in taken}
        report = dataclasses.replace(report, left_out=left)
    return Conversion(report, target, format, to_stage, tuple(state), difference)


def _options_in(opened: Checkpoint, model: str, rename: Mapping[str, str] | None) -> dict[str, Any]:
    """The model's options as far as the file tells: by its config, or by the shape of its head."""
    variant = models.get_variant(model)
    written = opened.config.get("variant")
    if any(model in names and written in names for names in models.nets()):
        options = dataclasses.asdict(models.default_options(model))
        return {name: opened.config[name] for name in options if name in opened.config}
    rules = Rules(rename)
    for name, spec in opened.specs.items():
        own = (rules.renamed(name) or "").removesuffix(AVERAGE)
        scope, _, last = own.rpartition("/")
        is_head = f"{variant.scope}/{variant.head_scopes[0]}" in (scope, scope[: scope.rfind("/")])
        if is_head and last in ("biases", "bias"):
            return {"num_classes": spec.shape[0]} if spec.shape else {}
    return {}


def _state_in(
    checkpoint: Checkpoint, report: RestoreReport, rename: Mapping[str, str] | None
) -> dict[str, np.ndarray]:
    rules = Rules(rename)
    kinds = _state_kinds(report)
    if not any(report.left_out.get(kind) for kind in kinds):
        raise ValueError(
            f"{report.path} has no optimizer's state under TF1 names: convert it without "
            "include_optimizer (--include-optimizer)."
        )
    return {
        rules.renamed(tensor) or tensor: checkpoint.read(tensor)
        for kind in kinds
        for tensor in report.left_out.get(kind, ())
    }


def _difference(
    written: keras.Model, original: keras.Model, target: Path, source: Checkpoint, rules: Rules
) -> float:
    """The largest difference of two models' outputs, as a share of the largest output.

    Args:
        written: Takes the target's values.
        original: Takes the source's, and the target's for what is not taken from the source.
        target: What was written.
        source: What it was made of.
        rules: What the user says of it.
    """
    restore(written, target, ema=False)  # Which may have them beside the values.
    values = by_tf1_name(written.weights)
    for name, variable in by_tf1_name(original.weights).items():
        variable.assign(values[name])
    checkpoint, found = fitting(original, source, rules)
    for tensor, variable in found.sources.items():
        variable.assign(checkpoint.read(tensor))
    expected, outputs = _outputs(original), _outputs(written)
    return float(np.abs(outputs - expected).max() / (np.abs(expected).max() or 1.0))


def _state_kinds(report: RestoreReport) -> tuple[str, ...]:
    """What goes along with the variables; averages that are the variables now do not."""
    return _STATE if report.is_averaged else (*_STATE, _AVERAGES)


def _outputs(model: keras.Model) -> np.ndarray:
    shape = model.get_build_config()["input_shape"][1:]
    image = np.random.default_rng(0).uniform(-1, 1, (1, *shape)).astype("float32")
    return keras.ops.convert_to_numpy(model(image, training=False))
