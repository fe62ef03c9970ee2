"""ResNet as published: its weights, their figures and where these are printed."""

import dataclasses

from ..variant import Explanation, Published, Variant, named

PAPERS = {1: "https://arxiv.org/abs/1512.03385", 2: "https://arxiv.org/abs/1603.05027"}
# The table "Pre-trained Models"; v2's are of images of 299x299 pixels.
FIGURES = "https://github.com/tensorflow/models/tree/master/research/slim#pre-trained-models"
# What TensorFlow's profiler finds at 224x224 pixels, with 1000 classes; it counts two operations
# for a multiply-add.
COUNTS = "https://github.com/visipedia/tf_classification/blob/master/nets/README.md"
ARCHIVES = "http://download.tensorflow.org/models/"

PREPROCESSING = {1: "vgg", 2: "inception"}
NUM_CLASSES = {1: 1000, 2: 1001}
INPUT_SIZE = 224


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResnetVariant(Variant):
    """A published ResNet.

    Args:
        version: 1: norms follow the convolutions; 2: they come before ("preactivation").
        layers: Layers with weights on the longest path, a key of `BLOCK_UNITS`.
    """

    version: int
    layers: int


def _variant(version: int, layers: int, archive: str | None, published: Published) -> ResnetVariant:
    name = f"resnet_v{version}_{layers}"
    return ResnetVariant(
        name=name,
        family="resnet",
        model_class="Resnet",
        scope=name,
        input_size=INPUT_SIZE,
        num_classes=NUM_CLASSES[version],
        head_scopes=("logits",),
        labels_offset=1001 - NUM_CLASSES[version],
        preprocessing=PREPROCESSING[version],
        paper=PAPERS[version],
        published=published,
        checkpoint=None if archive is None else f"{name}.ckpt",
        archive=None if archive is None else f"{ARCHIVES}{archive}",
        version=version,
        layers=layers,
    )


_EARLIER_STRIDE = (
    "TF-Slim's blocks end with the stride that the paper's next block begins with, so the last "
    "units of its blocks work on smaller maps."
)
_COUNTED = f"parameters and multiply-adds: {COUNTS}"


def _published_v1(
    top1: float, top5: float, parameters: float, multiply_adds: float, counted: float
) -> Published:
    """Figures of the table, and the multiply-adds of the paper's net; `counted` are TF-Slim's."""
    return Published(
        top1_percent=top1,
        top5_percent=top5,
        parameters_millions=parameters,
        multiply_adds_millions=multiply_adds,
        multiply_adds_explained=Explanation(counted, _EARLIER_STRIDE),
        source=f"{FIGURES}; parameters: {COUNTS}; multiply-adds: {PAPERS[1]}, table 1",
    )


def _published_v2(top1: float, top5: float, parameters: float, multiply_adds: float) -> Published:
    return Published(
        top1_percent=top1,
        top5_percent=top5,
        parameters_millions=parameters,
        multiply_adds_millions=multiply_adds,
        source=f"{FIGURES}; {_COUNTED}",
        note="Top-1 and top-5 were measured at 299x299 pixels.",
    )


VARIANTS = (
    _variant(1, 50, "resnet_v1_50_2016_08_28.tar.gz", _published_v1(75.2, 92.2, 25.56, 3800, 3482)),
    _variant(
        1, 101, "resnet_v1_101_2016_08_28.tar.gz", _published_v1(76.4, 92.9, 44.55, 7600, 7194)
    ),
    _variant(
        1, 152, "resnet_v1_152_2016_08_28.tar.gz", _published_v1(76.8, 93.2, 60.19, 11300, 10907)
    ),
    # TF-Slim has the net and no checkpoint of it.
    _variant(
        1,
        200,
        None,
        Published(parameters_millions=64.67, multiply_adds_millions=14400, source=_COUNTED),
    ),
    _variant(2, 50, "resnet_v2_50_2017_04_14.tar.gz", _published_v2(75.6, 92.8, 25.57, 3485)),
    _variant(2, 101, "resnet_v2_101_2017_04_14.tar.gz", _published_v2(77.0, 93.7, 44.58, 7200)),
    _variant(2, 152, "resnet_v2_152_2017_04_14.tar.gz", _published_v2(77.8, 94.1, 60.24, 10915)),
    _variant(
        2,
        200,
        None,
        Published(
            top1_percent=79.9,
            top5_percent=95.2,
            parameters_millions=64.73,
            multiply_adds_millions=14410,
            source=f"{FIGURES}; {_COUNTED}",
            note="Top-1 and top-5 are those of the paper, measured at 320x320 pixels.",
        ),
    ),
)


def by_name(name: str) -> ResnetVariant:
    """The variant of that name.

    Raises:
        ValueError: It is no ResNet.
    """
    return named(name, VARIANTS, "ResNet")
