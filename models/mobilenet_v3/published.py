"""MobileNet v3 as published: its weights, their figures and where these are printed."""

import dataclasses

from ..variant import Explanation, Published, Variant, named

PAPER = "https://arxiv.org/abs/1905.02244"
# The tables of "Mobilenet V3 Imagenet Checkpoints", with the addresses of their archives.
FIGURES = "https://github.com/tensorflow/models/blob/master/research/slim/nets/mobilenet/README.md"
ARCHIVES = "https://storage.googleapis.com/mobilenet_v3/checkpoints/"
CUT = "Published in tenths of a million, cut."
FIRST_PAPER = "Published of a net with 1280 channels behind the pool, as the paper had it first"
LATEST_PAPER = "The paper's latest version and the checkpoint have 1024"

INPUT_SIZE = 224
NUM_CLASSES = 1001


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobilenetV3Variant(Variant):
    """A published MobileNet v3.

    Args:
        architecture: A key of `ARCHITECTURES`.
        depth_multiplier: Factor on the channels of every convolution.
        finegrain_classification_mode: Whether the last convolution before the head is spared.
    """

    architecture: str
    depth_multiplier: float
    finegrain_classification_mode: bool


def _variant(
    architecture: str,
    depth_multiplier: float,
    step: int,
    multiply_adds_millions: float,
    parameters_millions: float,
    top1_percent: float,
    parameters_explained: Explanation | None = None,
    multiply_adds_explained: Explanation | None = None,
) -> MobilenetV3Variant:
    """A net of the paper; `step` is the training step that its checkpoint is named by."""
    archive = f"v3-{architecture.replace('_', '-')}_{INPUT_SIZE}_{depth_multiplier}_float"
    return MobilenetV3Variant(
        name=f"mobilenet_v3_{architecture}_{depth_multiplier}_{INPUT_SIZE}",
        family="mobilenet_v3",
        model_class="MobilenetV3",
        scope="MobilenetV3",
        input_size=INPUT_SIZE,
        num_classes=NUM_CLASSES,
        head_scopes=("Logits",),
        labels_offset=0,
        preprocessing="inception",
        paper=PAPER,
        published=Published(
            top1_percent=top1_percent,
            parameters_millions=parameters_millions,
            multiply_adds_millions=multiply_adds_millions,
            parameters_explained=parameters_explained,
            multiply_adds_explained=multiply_adds_explained,
            source=FIGURES,
        ),
        # The moving averages, under the variables' plain names; the weights as trained lie beside
        # them, in `pristine/model.ckpt-STEP`.
        checkpoint=f"{archive}/ema/model-{step}",
        archive=f"{ARCHIVES}{archive}.tgz",
        architecture=architecture,
        depth_multiplier=depth_multiplier,
        # The published multipliers below 1 have it: without it 0.75 has 3.44 M and 1.68 M
        # parameters, and their checkpoints do not fit.
        finegrain_classification_mode=depth_multiplier < 1,
    )


VARIANTS = (
    _variant("large", 1.0, 540000, 217, 5.4, 75.2, Explanation(5.484, CUT)),
    _variant("large", 0.75, 220000, 155, 4.0, 73.3),
    _variant("large_minimalistic", 1.0, 342500, 209, 3.9, 72.3),
    _variant(
        "small",
        1.0,
        388500,
        66,
        2.9,
        67.5,
        Explanation(2.544, f"{FIRST_PAPER}: 2.95 million. {LATEST_PAPER}: 2.5 million."),
        Explanation(
            56.51,
            f"{LATEST_PAPER}: 56 million. With 1280, as the paper had it first, the net has 57; "
            "why 66 were published is not known.",
        ),
    ),
    _variant(
        "small",
        0.75,
        497500,
        44,
        2.4,
        65.4,
        Explanation(2.043, f"{FIRST_PAPER}: 2.41 million. {LATEST_PAPER}."),
        Explanation(43.40, f"{FIRST_PAPER}: 43.8 million. {LATEST_PAPER}."),
    ),
    _variant(
        "small_minimalistic",
        1.0,
        498000,
        65,
        2.0,
        61.9,
        Explanation(2.046, CUT),
        Explanation(
            52.29,
            "The published ones are not this net's: it is the small net less squeeze-excite and "
            "5x5 kernels, and with them the small net has 57 million.",
        ),
    ),
    MobilenetV3Variant(
        name=f"mobilenet_edgetpu_1.0_{INPUT_SIZE}",
        family="mobilenet_v3",
        model_class="MobilenetV3",
        scope="MobilenetEdgeTPU",
        input_size=INPUT_SIZE,
        num_classes=NUM_CLASSES,
        head_scopes=("Logits",),
        labels_offset=0,
        preprocessing="inception",
        paper=PAPER,
        published=Published(
            top1_percent=75.6,
            parameters_millions=4.0,
            multiply_adds_millions=990,
            parameters_explained=Explanation(4.093, CUT),
            source=FIGURES,
            note="Top-1 is that of the checkpoint in 8 bits.",
        ),
        checkpoint="mobilenet_edgetpu_224_1.0/model",
        archive="https://storage.cloud.google.com/mobilenet_edgetpu/checkpoints/"
        "mobilenet_edgetpu_224_1.0.tgz",
        architecture="edgetpu",
        depth_multiplier=1.0,
        finegrain_classification_mode=False,
    ),
)


def by_name(name: str) -> MobilenetV3Variant:
    """The variant of that name.

    Raises:
        ValueError: It is no MobileNet v3.
    """
    return named(name, VARIANTS, "MobileNet v3")
