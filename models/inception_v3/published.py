"""Inception v3 as published: its weights, their figures and where these are printed."""

from ..variant import Explanation, Published, Variant, named

PAPER = "https://arxiv.org/abs/1512.00567"
# The table "Pre-trained Models".
FIGURES = "https://github.com/tensorflow/models/tree/master/research/slim#pre-trained-models"
ARCHIVES = "http://download.tensorflow.org/models/"
# What TensorFlow's profiler finds, with 1000 classes and the auxiliary head.
COUNTS = "https://github.com/visipedia/tf_classification/blob/master/nets/README.md"
# Its table 1 has convolutions of 3x3, 3x3/2 and 3x3 to 80, 192 and 288 channels behind the first
# pool: 1011 million multiply-adds, where TF-Slim's two and a pool have 724.
MULTIPLY_ADDS = Explanation(
    5713,
    "The paper gives whole billions, so up to 500 of the 713 million may be rounding; its modules' "
    "channels are not printed, and no part of the rest is certain. As printed, its net would have "
    "more: 287 million more in the stem of table 1, and 181 million less with the lone 3x3 "
    "convolutions of figure 5 in place of the 5x5 ones of Mixed_5b to Mixed_5d, 5819 in all. "
    "Without multiplications by the zeros of padding TF-Slim's net has 5468, which would be 5 "
    "billion; whether the paper counts so is not known. TensorFlow's profiler agrees with the "
    "count: 11.44 billion operations, two for each, the auxiliary head's 6 million included.",
)
PARAMETERS_NOTE = (
    "The paper says less than 25 million parameters, and 23.82 are counted without the auxiliary "
    "head."
)

SCOPE = "InceptionV3"
INPUT_SIZE = 299
NUM_CLASSES = 1001

VARIANTS = (
    Variant(
        name="inception_v3",
        family="inception_v3",
        model_class="InceptionV3",
        scope=SCOPE,
        input_size=INPUT_SIZE,
        num_classes=NUM_CLASSES,
        head_scopes=("Logits", "AuxLogits"),
        labels_offset=0,
        preprocessing="inception",
        paper=PAPER,
        published=Published(
            top1_percent=78.0,
            top5_percent=93.9,
            parameters_millions=27.14,
            multiply_adds_millions=5000,
            multiply_adds_explained=MULTIPLY_ADDS,
            source=f"{FIGURES}; parameters: {COUNTS}; multiply-adds: {PAPER}, abstract",
            note=PARAMETERS_NOTE,
        ),
        checkpoint="inception_v3.ckpt",
        archive=f"{ARCHIVES}inception_v3_2016_08_28.tar.gz",
    ),
)


def by_name(name: str) -> Variant:
    """The variant of that name.

    Raises:
        ValueError: It is no Inception v3.
    """
    return named(name, VARIANTS, "Inception v3")
