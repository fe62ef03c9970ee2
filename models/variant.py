"""The record of one published weight set: what a variant is, as data.

Families extend `Variant` with the numbers their architecture depends on. Nothing here needs keras
or tensorflow, so listing models stays quick.
"""

import dataclasses
from collections.abc import Iterable
from typing import TypeVar


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Why the count of a figure is more than a hundredth off what was published.

    Args:
        counted_millions: The figure as it is counted, in millions.
        why: What makes the difference, or which part of it is not known.
    """

    counted_millions: float
    why: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """Figures as they were published; a counted one is within a hundredth, or is explained.

    What was not published is None.

    Args:
        top1_percent: ImageNet validation accuracy of a single crop, in percent.
        top5_percent: The same for the five best classes, in percent.
        parameters_millions: Trainable parameters, in millions.
        multiply_adds_millions: Multiply-adds of one image, in millions.
        parameters_explained: What is counted in place of the published parameters, and why; None
            if they agree.
        multiply_adds_explained: The same of multiply-adds.
        source: Where the figures are printed.
        note: How figures were taken, if not as the others.
    """

    top1_percent: float | None = None
    top5_percent: float | None = None
    parameters_millions: float | None = None
    multiply_adds_millions: float | None = None
    parameters_explained: Explanation | None = None
    multiply_adds_explained: Explanation | None = None
    source: str
    note: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One published weight set of one architecture.

    Args:
        name: The name as TF-Slim's checkpoint has it, for instance `mobilenet_v1_0.25_128`.
        family: Folder of `shimzoo.models` that holds the three versions.
        model_class: Name of the model's class, the same in all three versions.
        scope: TF1 scope of the variables, which is also the model's name.
        input_size: Height and width of the images it was trained on, in pixels.
        num_classes: Classes of the published head.
        head_scopes: Scopes of what depends on the classes, below `scope`; auxiliary heads whole.
        labels_offset: What is subtracted from an ImageNet label (1 to 1000, 0 is background) to
            get the class: 0 for heads of 1001 classes, 1 for heads of 1000.
        preprocessing: TF-Slim's name of the preprocessing: `"inception"` scales to [-1, 1],
            `"vgg"` subtracts the mean colour.
        paper: Address of the paper.
        published: Published figures.
        checkpoint: File name (prefix) of the published checkpoint, None if there is none.
        archive: Address of the archive that holds the checkpoint, None likewise.
    """

    name: str
    family: str
    model_class: str
    scope: str
    input_size: int
    num_classes: int
    head_scopes: tuple[str, ...]
    labels_offset: int
    preprocessing: str
    paper: str
    published: Published
    checkpoint: str | None
    archive: str | None


AnyVariant = TypeVar("AnyVariant", bound=Variant)


def named(name: str, variants: Iterable[AnyVariant], net: str) -> AnyVariant:
    """The variant of that name.

    Args:
        name: Its name.
        variants: Those there are.
        net: What the message calls them.

    Raises:
        ValueError: There is none of that name.
    """
    known = {variant.name: variant for variant in variants}
    if name not in known:
        are = "is" if len(known) == 1 else "are"
        raise ValueError(f"There is no {net} variant {name!r}; known {are} {', '.join(known)}.")
    return known[name]
