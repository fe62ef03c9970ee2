"""What the options of all families have in common: where they come from, and their checks.

Nothing here needs keras or tensorflow.
"""

import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from . import image_checks
from .variant import Variant

OUTPUT_STRIDES = (8, 16, 32)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value > 0


# Option -> what is allowed, as a check and in words.
_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "depth_multiplier": (_is_positive, "above 0 and finite"),
    "min_depth": (_is_count, "a whole number, 1 or more"),
    "num_classes": (
        lambda x: x is None or _is_count(x),
        "a whole number, 1 or more, or None for features without a head",
    ),
    "output_stride": (
        lambda x: x is None or (_is_whole(x) and x in OUTPUT_STRIDES),
        "8, 16, 32 or None",
    ),
    "dropout_keep_prob": (
        lambda x: _is_number(x) and 0 < x <= 1,
        "above 0 and at most 1 (the share that is kept)",
    ),
    "weight_decay": (lambda x: _is_number(x) and x >= 0, "0 or more and finite"),
    "batch_norm_decay": (lambda x: _is_number(x) and 0 <= x <= 1, "0 to 1"),
    "batch_norm_epsilon": (_is_positive, "above 0 and finite"),
    "input_size": (
        lambda x: x is None or _is_count(x),
        "a whole number of pixels, or None for the model's own",
    ),
}
_SWITCH = (lambda x: isinstance(x, bool), "True or False")


def allowed(option: str) -> str:
    """The values that an option may have, in words; any option of any family."""
    return _CHECKS.get(option, _SWITCH)[1]


def check(option: str, value: Any) -> None:
    """Raises ValueError if an option, or `input_size`, may not have this value."""
    is_ok, words = _CHECKS.get(option, _SWITCH)
    if not is_ok(value):
        raise ValueError(f"{option}={value!r} is not allowed: it has to be {words}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a model, checked. Families add theirs, with the same names for the same thing.

    Args:
        num_classes: Classes of the head; None for features without a head.

    Raises:
        ValueError: A value is out of its range.

    Attributes:
        MODEL: What messages call the model.
        PREPROCESSING: A key of `image_checks.IMAGE_VALUES`.
        MIN_IMAGE_SIZE: Least height and width of the images, in pixels.
    """

    MODEL: ClassVar[str]
    PREPROCESSING: ClassVar[str]
    MIN_IMAGE_SIZE: ClassVar[int]

    num_classes: int | None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check(field.name, getattr(self, field.name))

    @classmethod
    def of(cls, variant: Variant, **options: Any) -> Self:
        """The options of a variant: what its record says, where `options` do not say otherwise.

        Args:
            variant: The record.
            **options: What the user gives.

        Raises:
            ValueError: An option is unknown or out of its range.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for option in options:
            if option not in known:
                raise ValueError(
                    f"{cls.MODEL} has no option {option!r}; it has {', '.join(known)}."
                )
        recorded = {name: getattr(variant, name) for name in known if hasattr(variant, name)}
        return cls(**{**recorded, **options})

    def check_images(self, images: Any, built: Mapping[str, Any] | None = None) -> None:
        """Checks images before any layer sees them, so that all versions complain alike.

        Args:
            images: Array or tensor, `[B, H, W, 3]`; unknown dimensions are None.
            built: The model's `get_build_config()`, for weights that depend on the images' size;
                None if it has none yet.

        Raises:
            ValueError: The net can't take such images.
        """
        image_checks.check(images, self.MODEL, self.PREPROCESSING, self.MIN_IMAGE_SIZE)
