"""Inception v2 as published: its weights, their figures and where these are printed."""

from ..variant import Explanation, Published, Variant, named

PAPER = "https://arxiv.org/abs/1502.03167"
# The table "Pre-trained Models".
FIGURES = "https://github.com/tensorflow/models/tree/master/research/slim#pre-trained-models"
PARAMETERS = Explanation(
    11.18,
    "TF-Slim has 96 channels behind the pools of two modules, where the paper's figure 5 has 128 "
    "and sums that do not fit: 0.08 million less. But that figure's channels make 11.26 million, "
    "and what else is in the paper's 13.6 is not known.",
)
MULTIPLY_ADDS = Explanation(
    1935,
    "Published in billions with one decimal: the channels of the paper's figure 5 make 1949 "
    "million, and TF-Slim's 96 behind two pools, in place of 128, make 14 million less.",
)
ARCHIVES = "http://download.tensorflow.org/models/"

SCOPE = "InceptionV2"
INPUT_SIZE = 224
NUM_CLASSES = 1001

VARIANTS = (
    Variant(
        name="inception_v2",
        family="inception_v2",
        model_class="InceptionV2",
        scope=SCOPE,
        input_size=INPUT_SIZE,
        num_classes=NUM_CLASSES,
        head_scopes=("Logits",),
        labels_offset=0,
        preprocessing="inception",
        paper=PAPER,
        published=Published(
            top1_percent=73.9,
            top5_percent=91.8,
            parameters_millions=13.6,
            multiply_adds_millions=2000,
            parameters_explained=PARAMETERS,
            multiply_adds_explained=MULTIPLY_ADDS,
            source=f"{FIGURES}; parameters: {PAPER}, section 4.2; multiply-adds: "
            "https://arxiv.org/abs/1512.00567, table 3",
        ),
        checkpoint="inception_v2.ckpt",
        archive=f"{ARCHIVES}inception_v2_2016_08_28.tar.gz",
    ),
)


def by_name(name: str) -> Variant:
    """The variant of that name.

    Raises:
        ValueError: It is no Inception v2.
    """
    return named(name, VARIANTS, "Inception v2")
