"""Models by name: list them, look one up, create it in one of its three versions.

Listing and looking up read data only; `create` imports the one version it needs.
"""

import dataclasses
import difflib
import fnmatch
import functools
import importlib
import pathlib
import typing

from . import options as option_checks
from .options import Options
from .variant import Variant

if typing.TYPE_CHECKING:
    import keras

STAGES = ("shimmed", "partially_native", "native")
FAMILIES = (
    "inception_resnet_v2",
    "inception_v1",
    "inception_v2",
    "inception_v3",
    "inception_v4",
    "mobilenet",
    "mobilenet_v2",
    "mobilenet_v3",
    "resnet",
)
# What a variant's record says beside its architecture.
_BESIDE_THE_NET = {"name", "input_size", "published", "checkpoint", "archive"}


@functools.cache
def _variants() -> dict[str, Variant]:
    found: dict[str, Variant] = {}
    for family in FAMILIES:
        for variant in importlib.import_module(f".{family}.published", __package__).VARIANTS:
            if variant.name in found:
                raise RuntimeError(f"Two variants are named {variant.name}.")
            found[variant.name] = variant
    return found


def list_models(pattern: str = "*") -> list[str]:
    """The names of all models that match a pattern, sorted.

    Args:
        pattern: Shell-style wildcard, for instance `"mobilenet_v1_0.25*"`.

    Returns:
        Names that `get_variant` and `create` take; empty if none matches.
    """
    return sorted(fnmatch.filter(_variants(), pattern))


@functools.cache
def nets() -> tuple[tuple[str, ...], ...]:
    """All models' names, those together that differ in nothing but the size of their images.

    Returns:
        Sorted by name; within a net that of the smallest images comes first.
    """
    grouped: dict[tuple, list[str]] = {}
    for name in list_models():
        record = get_variant(name)
        net = tuple(
            (field.name, getattr(record, field.name))
            for field in dataclasses.fields(record)
            if field.name not in _BESIDE_THE_NET
        )
        grouped.setdefault(net, []).append(name)
    return tuple(
        tuple(sorted(names, key=lambda name: get_variant(name).input_size))
        for names in grouped.values()
    )


def get_variant(name: str) -> Variant:
    """The record of a model: input size, classes, scope, preprocessing, published figures.

    Args:
        name: A name as in `list_models`.

    Returns:
        The variant; families add fields of their own.

    Raises:
        ValueError: There is no such model; the message has the nearest names.
    """
    variants = _variants()
    if name not in variants:
        near = nearest_models(str(name))
        known = (
            f"did you mean {' or '.join(near)}?"
            if near
            else f"known are {', '.join(sorted(variants))}."
        )
        raise ValueError(f"There is no model {name!r}; {known}")
    return variants[name]


def default_options(name: str) -> Options:
    """The options of a model as it was published, which `create` takes if none is given.

    Args:
        name: A name as in `list_models`.

    Returns:
        A dataclass with a field for each option of the family.

    Raises:
        ValueError: There is no such model.
    """
    variant = get_variant(name)
    variants = importlib.import_module(f".{variant.family}.variants", __package__)
    return variants.Options.of(variant)


def nearest_models(text: str) -> list[str]:
    """The names most like a text that is none, for messages.

    Args:
        text: What was asked for, a name or a pattern.

    Returns:
        Up to three names, the most likely first: those that match the text as a pattern, then those
        that begin with it, the shortest first, then those that resemble it. Case and punctuation do
        not count: `mobilenet_v1_025` is the beginning of `mobilenet_v1_0.25_128`.
    """
    wanted = _letters_and_digits(text)
    plain = {_letters_and_digits(name): name for name in list_models()}
    beginning = [known for known in sorted(plain, key=len) if wanted and known.startswith(wanted)]
    similar = difflib.get_close_matches(wanted, plain, n=3, cutoff=0.5)
    likely = [plain[known] for known in beginning + similar]
    return list(dict.fromkeys([*list_models(text), *likely]))[:3]


def _letters_and_digits(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def check_stage(stage: str) -> None:
    """Raises ValueError, with the stages there are, if this is none of `STAGES`."""
    if stage not in STAGES:
        raise ValueError(f"There is no stage {stage!r}: stages are {', '.join(STAGES)}.")


def model_class(name: str, stage: str) -> type:
    """The `keras.Model` class of one version of a model; imports that version.

    Args:
        name: A name as in `list_models`.
        stage: One of `STAGES`.

    Returns:
        The class, which takes the variant's name and the family's options.

    Raises:
        ValueError: Unknown model or stage.
    """
    variant = get_variant(name)
    check_stage(stage)
    module = importlib.import_module(f".{variant.family}.{stage}", __package__)
    return getattr(module, variant.model_class)


def source_file(family: str, stage: str) -> pathlib.Path:
    """The file of one version of a family's models.

    Args:
        family: A folder of this package, as in `Variant.family`.
        stage: One of `STAGES`.

    Raises:
        ValueError: Unknown family or stage.
    """
    if family not in FAMILIES:
        of_models = {get_variant(name).family for name in list_models(f"{family}*")}
        known = (
            f"models of that name are of the family {' or '.join(sorted(of_models))}."
            if of_models
            else f"families are {', '.join(FAMILIES)}."
        )
        raise ValueError(f"There is no family {family!r}: {known}")
    check_stage(stage)
    return pathlib.Path(__file__).parent / family / f"{stage}.py"


def create(
    name: str, stage: str = "native", *, input_size: int | None = None, **options: typing.Any
) -> "keras.Model":
    """Makes a model with fresh weights.

    Args:
        name: A name as in `list_models`.
        stage: `"shimmed"` (TF-Slim code under the shim), `"partially_native"` or `"native"`.
        input_size: Height and width of the images, in pixels; the variant's if None. The weights
            do not depend on it.
        **options: The options of the family, the same in every stage, for instance
            `num_classes` (None for features without a head), `output_stride`, `weight_decay` and
            `dtype`.

    Returns:
        A built `keras.Model`: `model(images, training=False)` takes float images `[B, H, W, 3]`
        and gives float32 logits `[B, num_classes]`; `model.end_points(images, training=False)`
        gives a dict of activations under TF-Slim's names; `model.variant` is the record.

    Raises:
        ValueError: Unknown model or stage, or an option or a size out of its range.
    """
    import keras

    variant = get_variant(name)
    option_checks.check("input_size", input_size)
    model = model_class(name, stage)(name, **options)
    size = variant.input_size if input_size is None else input_size
    model(keras.Input((size, size, 3)))  # Builds it, whether it has a `build` or not.
    return model


def stage_of(model: "keras.Model") -> str:
    """Which of `STAGES` a model of this zoo is."""
    return type(model).__module__.rpartition(".")[2]


def in_stage(model: "keras.Model", stage: str) -> "keras.Model":
    """The same model in another of its versions, with fresh weights.

    Args:
        model: A model that `create` made.
        stage: One of `STAGES`.

    Returns:
        A built model with the options of `model`.

    Raises:
        ValueError: Unknown stage.
    """
    import keras

    cls: typing.Any = model_class(model.variant.name, stage)
    other = cls.from_config(model.get_config())
    other(keras.Input(model.get_build_config()["input_shape"][1:]))
    return other
