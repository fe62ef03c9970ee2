"""MobileNet v2 as published: its weights, their figures and where these are printed."""

import dataclasses

from ..variant import Explanation, Published, Variant, named

PAPER = "https://arxiv.org/abs/1801.04381"
FIGURES = "https://github.com/tensorflow/models/blob/master/research/slim/nets/mobilenet/README.md"
WITHOUT_NORMS = "Batch norm's parameters are left out of the published ones."
CUT = "Published in whole millions, cut."
ARCHIVES = "https://storage.googleapis.com/mobilenet_v2/checkpoints/"

SCOPE = "MobilenetV2"
NUM_CLASSES = 1001


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobilenetV2Variant(Variant):
    """A published MobileNet v2.

    Args:
        depth_multiplier: Factor on the channels of every convolution.
    """

    depth_multiplier: float


# At other multipliers batch norm's are less than a hundredth.
_PARAMETERS = {
    depth_multiplier: Explanation(counted, WITHOUT_NORMS)
    for depth_multiplier, counted in {1.0: 3.506, 0.75: 2.638, 0.5: 1.970, 0.35: 1.678}.items()
}


def _variant(
    depth_multiplier: float,
    input_size: int,
    multiply_adds_millions: float,
    parameters_millions: float,
    top1_percent: float,
    top5_percent: float,
    multiply_adds_counted: float | None = None,
) -> MobilenetV2Variant:
    name = f"mobilenet_v2_{depth_multiplier}_{input_size}"
    return MobilenetV2Variant(
        name=name,
        family="mobilenet_v2",
        model_class="MobilenetV2",
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
            parameters_explained=_PARAMETERS.get(depth_multiplier),
            multiply_adds_explained=None
            if multiply_adds_counted is None
            else Explanation(multiply_adds_counted, CUT),
            source=FIGURES,
        ),
        checkpoint=f"{name}.ckpt",
        archive=f"{ARCHIVES}{name}.tgz",
        depth_multiplier=depth_multiplier,
    )


VARIANTS = (
    _variant(1.4, 224, 582, 6.06, 75.0, 92.5),
    _variant(1.3, 224, 509, 5.34, 74.4, 92.1),
    _variant(1.0, 224, 300, 3.47, 71.8, 91.0),
    _variant(1.0, 192, 221, 3.47, 70.7, 90.1),
    _variant(1.0, 160, 154, 3.47, 68.8, 89.0),
    _variant(1.0, 128, 99, 3.47, 65.3, 86.9),
    _variant(1.0, 96, 56, 3.47, 60.3, 83.2),
    _variant(0.75, 224, 209, 2.61, 69.8, 89.6),
    _variant(0.75, 192, 153, 2.61, 68.7, 88.9),
    _variant(0.75, 160, 107, 2.61, 66.4, 87.3),
    _variant(0.75, 128, 69, 2.61, 63.2, 85.3),
    _variant(0.75, 96, 39, 2.61, 58.8, 81.6, 39.45),
    _variant(0.5, 224, 97, 1.95, 65.4, 86.4),
    _variant(0.5, 192, 71, 1.95, 63.9, 85.4),
    _variant(0.5, 160, 50, 1.95, 61.0, 83.2),
    _variant(0.5, 128, 32, 1.95, 57.7, 80.8, 32.58),
    _variant(0.5, 96, 18, 1.95, 51.2, 75.8, 18.89),
    _variant(0.35, 224, 59, 1.66, 60.3, 82.9),
    _variant(0.35, 192, 43, 1.66, 58.2, 81.2, 43.90),
    _variant(0.35, 160, 30, 1.66, 55.7, 79.1, 30.88),
    _variant(0.35, 128, 20, 1.66, 50.8, 75.0, 20.22),
    _variant(0.35, 96, 11, 1.66, 45.5, 70.4, 11.94),
)


def by_name(name: str) -> MobilenetV2Variant:
    """The variant of that name.

    Raises:
        ValueError: It is no MobileNet v2.
    """
    return named(name, VARIANTS, "MobileNet v2")
