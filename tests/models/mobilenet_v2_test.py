"""What MobileNet v2 has of its own: depths that no table shows."""

import pytest
from shimzoo import models
from shimzoo.models.mobilenet_v2 import variants

NAME = "mobilenet_v2_1.0_224"


@pytest.mark.parametrize(
    ("depth_multiplier", "min_depth", "stem", "inner", "outer"),
    [
        (
            1.0,
            8,
            32,
            [32, 96, *[144] * 2, *[192] * 3, *[384] * 4, *[576] * 3, *[960] * 3],
            [16, *[24] * 2, *[32] * 3, *[64] * 4, *[96] * 3, *[160] * 3, 320],
        ),
        # 6 * 10 = 60 is no multiple of 8; `min_depth` is not for what is inside.
        (0.1, 10, 10, [10, *[64] * 13, *[96] * 3], [*[10] * 13, *[16] * 3, 32]),
        # 16 would be less than 0.9 * 6 * 3.
        (0.01, 3, 3, [3, *[24] * 16], [3] * 17),
        (
            0.35,
            12,
            12,
            [12, *[72] * 6, *[144] * 4, *[192] * 3, *[336] * 3],
            [*[12] * 6, *[24] * 4, *[32] * 3, *[56] * 3, 112],
        ),
    ],
)
def test_depths_are_slims(depth_multiplier, min_depth, stem, inner, outer):
    """Multiples of 8 near what is asked, but for the first block, which expands nothing."""
    settings = {"depth_multiplier": depth_multiplier, "min_depth": min_depth}
    options = variants.Options.of(models.get_variant(NAME), **settings)
    blocks = options.bottlenecks()
    assert options.stem_depth() == stem
    assert [block.inner_depth for block in blocks] == inner
    assert [block.depth for block in blocks] == outer
    assert [block.has_expansion for block in blocks] == [False, *[True] * 16]


@pytest.mark.parametrize("stage", models.STAGES)
def test_a_model_has_these_depths(stage):
    settings = {"depth_multiplier": 0.1, "min_depth": 10, "num_classes": 3}
    model = models.create(NAME, stage, input_size=32, **settings)
    ends = ("expand/kernel", "expand/weights")
    expanded = [weight.shape[-1] for weight in model.weights if weight.path.endswith(ends)]
    assert expanded == [*[64] * 13, *[96] * 3]
