"""Inception-ResNet v2 as published: its weights, their figures and where these are printed."""

from ..variant import Published, Variant, named

PAPER = "https://arxiv.org/abs/1602.07261"
# The table "Pre-trained Models".
FIGURES = "https://github.com/tensorflow/models/tree/master/research/slim#pre-trained-models"
# What TensorFlow's profiler finds, with 1000 classes and the auxiliary head; it counts two
# operations for a multiply-add.
COUNTS = "https://github.com/visipedia/tf_classification/blob/master/nets/README.md"
ARCHIVES = "http://download.tensorflow.org/models/"

SCOPE = "InceptionResnetV2"
INPUT_SIZE = 299
NUM_CLASSES = 1001

VARIANTS = (
    Variant(
        name="inception_resnet_v2",
        family="inception_resnet_v2",
        model_class="InceptionResnetV2",
        scope=SCOPE,
        input_size=INPUT_SIZE,
        num_classes=NUM_CLASSES,
        head_scopes=("Logits", "AuxLogits"),
        labels_offset=0,
        preprocessing="inception",
        paper=PAPER,
        # The paper prints neither parameters nor multiply-adds.
        published=Published(
            top1_percent=80.4,
            top5_percent=95.3,
            parameters_millions=59.18,
            multiply_adds_millions=13170,
            source=f"{FIGURES}; parameters and multiply-adds: {COUNTS}",
        ),
        checkpoint="inception_resnet_v2_2016_08_30.ckpt",
        archive=f"{ARCHIVES}inception_resnet_v2_2016_08_30.tar.gz",
    ),
)


def by_name(name: str) -> Variant:
    """The variant of that name.

    Raises:
        ValueError: It is no Inception-ResNet v2.
    """
    return named(name, VARIANTS, "Inception-ResNet v2")
