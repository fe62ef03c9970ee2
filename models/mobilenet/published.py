"""MobileNet v1 as published: its weights, their figures and where these are printed."""

import dataclasses

from ..variant import Explanation, Published, Variant, named

PAPER = "https://arxiv.org/abs/1704.04861"
# The table "Pre-trained Models" of float checkpoints, released on 2018-02-22.
FIGURES = "https://github.com/tensorflow/models/blob/master/research/slim/nets/mobilenet_v1.md"
ARCHIVES = "http://download.tensorflow.org/models/mobilenet_v1_2018_02_22/"

SCOPE = "MobilenetV1"
NUM_CLASSES = 1001


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobilenetV1Variant(Variant):
    """A published MobileNet v1.

    Args:
        depth_multiplier: Factor on the channels of every convolution (the paper's alpha).
    """

    depth_multiplier: float


def _variant(
    depth_multiplier: float,
    input_size: int,
    multiply_adds_millions: float,
    parameters_millions: float,
    top1_percent: float,
    top5_percent: float,
    multiply_adds_explained: Explanation | None = None,
) -> MobilenetV1Variant:
    name = f"mobilenet_v1_{depth_multiplier}_{input_size}"
    return MobilenetV1Variant(
        name=name,
        family="mobilenet",
        model_class="MobilenetV1",
        scope=SCOPE,
        input_size=input_size,
        num_classes=NUM_CLASSES,
        head_scopes=("Logits",),
        labels_offset=0,
        preprocessing="inception",
        paper=PAPER,
        published=Published(
            top1_percent=top1_percent,
            top5_percent=top5_percent,
            parameters_millions=parameters_millions,
            multiply_adds_millions=multiply_adds_millions,
            multiply_adds_explained=multiply_adds_explained,
            source=FIGURES,
        ),
        checkpoint=f"{name}.ckpt",
        archive=f"{ARCHIVES}{name}.tgz",
        depth_multiplier=depth_multiplier,
    )


_WITHOUT_THE_FIRST = (
    "The first convolution's are left out of the published ones ({:.1f} million); the paper, at "
    "224x224, has them in: 325 in all."
)


def _with_the_first(counted: float, first: float) -> Explanation:
    return Explanation(counted, _WITHOUT_THE_FIRST.format(first))


VARIANTS = (
    _variant(1.0, 224, 569, 4.24, 70.9, 89.9),
    _variant(1.0, 192, 418, 4.24, 70.0, 89.2),
    _variant(1.0, 160, 291, 4.24, 68.0, 87.7),
    _variant(1.0, 128, 186, 4.24, 65.2, 85.8),
    _variant(0.75, 224, 317, 2.59, 68.4, 88.2, _with_the_first(325.4, 8.1)),
    _variant(0.75, 192, 233, 2.59, 67.2, 87.3, _with_the_first(239.3, 6.0)),
    _variant(0.75, 160, 162, 2.59, 65.3, 86.0, _with_the_first(166.4, 4.1)),
    _variant(0.75, 128, 104, 2.59, 62.1, 83.9, _with_the_first(106.8, 2.7)),
    _variant(0.5, 224, 150, 1.34, 63.3, 84.9),
    _variant(0.5, 192, 110, 1.34, 61.7, 83.6),
    _variant(0.5, 160, 77, 1.34, 59.1, 81.9),
    _variant(0.5, 128, 49, 1.34, 56.3, 79.4),
    _variant(0.25, 224, 41, 0.47, 49.8, 74.2),
    _variant(
        0.25,
        192,
        34,
        0.47,
        47.7,
        72.3,
        Explanation(
            30.21,
            "The published figure is not this net's: the others at 0.25 grow with the image's "
            "area, as they have to, from 21 at 160x160 to 41 at 224x224, which makes 30 here.",
        ),
    ),
    _variant(0.25, 160, 21, 0.47, 45.5, 70.3),
    _variant(
        0.25, 128, 14, 0.47, 41.5, 66.3, Explanation(13.57, "Published in whole millions, rounded.")
    ),
)


def by_name(name: str) -> MobilenetV1Variant:
    """The variant of that name.

    Raises:
        ValueError: It is no MobileNet v1.
    """
    return named(name, VARIANTS, "MobileNet v1")
