"""Which tensor of a checkpoint fills which variable of a model, and what does not fit."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import keras

from .checkpoint import Checkpoint, TensorSpec
from .names import AVERAGE, as_alternatives, left_out_kind, names_in, names_of

if TYPE_CHECKING:
    from .names import AnyVariable

# Of each kind of difference a message shows so many.
_SHOWN = 3

Ema = bool | Literal["auto"]


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a user says of how a checkpoint and a model belong together.

    Args:
        rename: As for `restore`.
        exclude: As for `restore`.
        ema: As for `restore`.

    Raises:
        ValueError: `ema` is none of these, or a pattern is no regular expression.
    """

    rename: Mapping[str, str] | None = None
    exclude: Sequence[str] = ()
    ema: Ema = "auto"

    def __post_init__(self) -> None:
        if not isinstance(self.ema, bool) and self.ema != "auto":
            raise ValueError(
                f"ema={self.ema!r} is not allowed: it has to be 'auto', True or False."
            )
        for pattern in (*self.exclude, *(self.rename or ())):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}.") from None

    def excludes(self, name: str) -> bool:
        """Whether one of `exclude` is the name or a scope that it is in."""
        return any(re.fullmatch(rf"(?:{pattern})(/.*)?", name) for pattern in self.exclude)

    def renamed(self, name: str) -> str | None:
        """The model's name for one of the file's, or None if no rule has it."""
        if self.rename is None:
            return name
        for source, target in self.rename.items():
            if source.endswith("/"):
                scope = source.removeprefix("/")
                if name.startswith(scope):
                    return target.removeprefix("/") + name.removeprefix(scope)
            elif match := re.fullmatch(source, name):
                return match.expand(target)
        return None


@dataclasses.dataclass(frozen=True)
class Fit:
    """How the tensors of a checkpoint fit a model's variables.

    Args:
        sources: Name of a tensor in the file -> the variable that it fills.
        missing: Names of variables that nothing in the file fills.
        unused: Names of tensors that look like a model's and fill no variable.
        unequal: Of what has another shape or dtype in the file, both in words.
        excluded: Names of variables that are to keep their values.
        left_out: Kind -> names of tensors that are no model's.
        is_averaged: Whether moving averages stand for the variables.
        offers_averages: Whether every trainable variable has a moving average that was left out,
            and the user has not said so.
    """

    sources: dict[str, AnyVariable]
    missing: list[str]
    unused: list[str]
    unequal: list[str]
    excluded: list[str]
    left_out: dict[str, tuple[str, ...]]
    is_averaged: bool
    offers_averages: bool = False

    @property
    def distance(self) -> tuple[int, int]:
        """Differences in names, which weigh more, and in shapes and dtypes."""
        return len(self.missing) + len(self.unused), len(self.unequal)

    @property
    def is_perfect(self) -> bool:
        """Whether every variable is filled and every tensor of a model used."""
        return self.distance == (0, 0)

    @property
    def different(self) -> list[str]:
        """The names of all that differs; what is unequal in words that begin with the name."""
        return [*self.missing, *self.unused, *self.unequal]

    def describe(self) -> str:
        """The differences in one line: grouped and shortened, with the nearest names."""
        parts = []
        if self.unequal:
            parts.append(f"{len(self.unequal)} of another shape or dtype: {_some(self.unequal)}")
        if self.missing:
            near = [self._with_nearest(name) for name in self.missing[:_SHOWN]]
            parts.append(
                f"{len(self.missing)} of the model's {len(self.missing) + len(self.sources)} "
                f"variables are not in the file: {_some([*near, *self.missing[_SHOWN:]])}"
            )
        if self.unused:
            parts.append(
                f"{len(self.unused)} tensors of the file are not in the model: {_some(self.unused)}"
            )
        return "; ".join(parts)

    def _with_nearest(self, name: str) -> str:
        nearest = difflib.get_close_matches(name, self.unused, n=1)
        return f"{name} (nearest in the file: {nearest[0]})" if nearest else name


def fit(variables: Sequence[AnyVariable], checkpoint: Checkpoint, rules: Rules) -> Fit:
    """Finds the tensor for each variable.

    A native variable that `tf.compat.v1.layers` and TF-Slim name differently goes by the name that
    is there; by the one that it would be written under if none is.

    Args:
        variables: A model's variables.
        checkpoint: One whose tensors have names.
        rules: What the user says.

    Raises:
        ValueError: Two variables have the same name, two tensors are renamed to the same, a rule
            or pattern matches nothing, or averages are asked for that are not there.
    """
    stored = _renamed(checkpoint, variables, rules)
    wanted: dict[str, AnyVariable] = {}
    excluded: list[str] = []
    for variable, names in zip(variables, names_in(variables), strict=True):
        if any(rules.excludes(name) for name in names):
            excluded.append(names[0])
            continue
        name = next((name for name in names if name in stored), names[0])
        if name in wanted:
            raise ValueError(
                f"Two variables have the TF1 name {name} (paths {names_of(wanted[name])[-1]} and "
                f"{names_of(variable)[-1]}): give their layers different names."
            )
        wanted[name] = variable
    _check_excluded(rules, [*excluded, *stored])
    is_averaged = _is_averaged(wanted, stored, rules.ema, checkpoint)
    sources, missing, unequal = {}, [], []
    for name, variable in wanted.items():
        average = name + AVERAGE
        tensor = stored.get(average if is_averaged and average in stored else name)
        if tensor is None:
            missing.append(name)
            continue
        sources[tensor] = variable
        in_file, in_model = checkpoint.specs[tensor], spec_of(variable)
        if in_file != in_model:
            unequal.append(f"{name} is {in_file} in the file and {in_model} in the model")
    unused, left_out = _unused(checkpoint, stored, wanted, sources, rules)
    offers_averages = rules.ema == "auto" and not is_averaged and _are_averaged(wanted, stored)
    return Fit(sources, missing, unused, unequal, excluded, left_out, is_averaged, offers_averages)


def spec_of(variable: AnyVariable) -> TensorSpec:
    """Shape and dtype of a variable."""
    return TensorSpec(tuple(variable.shape), keras.backend.standardize_dtype(variable.dtype))


def _renamed(
    checkpoint: Checkpoint, variables: Sequence[AnyVariable], rules: Rules
) -> dict[str, str]:
    """The model's name -> the file's, for all tensors that have one."""
    if rules.rename is None and checkpoint.format == "graph":
        scope = _import_scope(checkpoint.specs, [names[0] for names in names_in(variables)])
        rules = dataclasses.replace(rules, rename={scope or "/": "/"})
    stored: dict[str, str] = {}
    for name in sorted(checkpoint.specs):
        new = rules.renamed(name)
        if new is None:
            continue
        if new in stored:
            raise ValueError(f"rename makes {new!r} of both {stored[new]!r} and {name!r}.")
        stored[new] = name
    for source in rules.rename or ():
        one = dataclasses.replace(rules, rename={source: rules.rename[source]})
        if not any(one.renamed(name) is not None for name in checkpoint.specs):
            near = difflib.get_close_matches(source, sorted(checkpoint.specs), n=1)
            hint = f" Near it: {near[0]}." if near else ""
            raise ValueError(f"rename has {source!r}, which matches no tensor of the file.{hint}")
    return stored


def _import_scope(stored: Collection[str], wanted: Sequence[str]) -> str:
    """What `tf.import_graph_def(name=...)` put before all of a model's names, with its slash."""
    found = {
        tensor.removesuffix(name)
        for name in wanted[:1]
        for tensor in stored
        if tensor.endswith(f"/{name}")
    }
    return found.pop() if len(found) == 1 else ""


def _check_excluded(rules: Rules, names: Collection[str]) -> None:
    for pattern in rules.exclude:
        one = Rules(exclude=[pattern])
        if not any(one.excludes(name) for name in names):
            near = difflib.get_close_matches(pattern, sorted(names), n=1)
            hint = f" Near it: {near[0]}." if near else ""
            if (several := as_alternatives(pattern)) is not None:
                hint = f" Several are given by an exclude for each, or as {several!r}."
            raise ValueError(
                f"exclude has {pattern!r}, which matches no variable of the model and no tensor of "
                f"the file.{hint}"
            )


def _is_averaged(
    wanted: Mapping[str, AnyVariable], stored: Collection[str], ema: Ema, checkpoint: Checkpoint
) -> bool:
    if ema == "auto":
        return bool(wanted) and all(name + AVERAGE in stored for name in wanted)
    without = [n for n, v in wanted.items() if v.trainable and n + AVERAGE not in stored]
    if ema and without:
        raise ValueError(
            f"{checkpoint.path} has no moving averages of {len(without)} trainable variables: "
            f"{_some(without)}. The variables themselves are taken with ema=False (--ema no)."
        )
    return ema


def _are_averaged(wanted: Mapping[str, AnyVariable], stored: Collection[str]) -> bool:
    """Whether all trainable variables have moving averages, and there are any."""
    trainable = [name for name, variable in wanted.items() if variable.trainable]
    return bool(trainable) and all(name + AVERAGE in stored for name in trainable)


def _unused(
    checkpoint: Checkpoint,
    stored: Mapping[str, str],
    wanted: Mapping[str, AnyVariable],
    sources: Mapping[str, AnyVariable],
    rules: Rules,
) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Tensors that no variable takes: those of a model, and the others by kind."""
    unused: list[str] = []
    left_out: dict[str, tuple[str, ...]] = {}
    own_names = {tensor: name for name, tensor in stored.items()}
    known = wanted.keys() | stored.keys()
    for tensor in sorted(checkpoint.specs.keys() - sources.keys()):
        name = own_names.get(tensor)
        if name is None:
            kind: str | None = "not renamed"
        elif rules.excludes(name.removesuffix(AVERAGE)):
            kind = "excluded"
        elif name in wanted:
            kind = "values beside averages"
        else:
            kind = left_out_kind(name, known)
        if kind is None:
            unused.append(tensor)
        else:
            left_out[kind] = (*left_out.get(kind, ()), tensor)
    return unused, left_out


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
