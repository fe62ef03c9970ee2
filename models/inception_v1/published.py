"""Inception v1 as published: its weights, their figures and where these are printed."""

from ..variant import Explanation, Published, Variant, named

PAPER = "https://arxiv.org/abs/1409.4842"
# The table "Pre-trained Models".
FIGURES = "https://github.com/tensorflow/models/tree/master/research/slim#pre-trained-models"
PARAMETERS = Explanation(
    6.62,
    "TF-Slim's 3x3 convolutions have 0.38 million less than the paper's 5x5 ones; norms, the full "
    "first convolution and the background class have 0.02 million more.",
)
MULTIPLY_ADDS = (
    "Multiply-adds agree by chance: TF-Slim's 3x3 convolutions have 84 million less than the "
    "paper's 5x5 ones, and its full first convolution has 84 million more."
)
ARCHIVES = "http://download.tensorflow.org/models/"

SCOPE = "InceptionV1"
INPUT_SIZE = 224
NUM_CLASSES = 1001

VARIANTS = (
    Variant(
        name="inception_v1",
        family="inception_v1",
        model_class="InceptionV1",
        scope=SCOPE,
        input_size=INPUT_SIZE,
        num_classes=NUM_CLASSES,
        head_scopes=("Logits",),
        labels_offset=0,
        preprocessing="inception",
        paper=PAPER,
        published=Published(
            top1_percent=69.8,
            top5_percent=89.6,
            parameters_millions=6.96,
            multiply_adds_millions=1502,
            parameters_explained=PARAMETERS,
            source=f"{FIGURES}; parameters and multiply-adds: {PAPER}, sums of table 1, K as 1024",
            note=MULTIPLY_ADDS,
        ),
        checkpoint="inception_v1.ckpt",
        archive=f"{ARCHIVES}inception_v1_2016_08_28.tar.gz",
    ),
)


def by_name(name: str) -> Variant:
    """The variant of that name.

    Raises:
        ValueError: It is no Inception v1.
    """
    return named(name, VARIANTS, "Inception v1")
