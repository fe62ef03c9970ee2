"""The parity ladder: every model's three versions against TF-Slim's own net and each other.

`models/README.md` has the table of what runs where.
"""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints, models, shim
from shimzoo.models.counting import count, multiply_adds
from shimzoo.tests.data import goldens
from shimzoo.tests.models import ladder_plan
from shimzoo.tests.models.tolerances import (
    GOLDEN,
    GOLDEN_DEEP,
    GOLDEN_STATISTICS,
    GRADIENT,
    SAME,
    XLA,
    assert_close,
)

OTHER_STAGES = [stage for stage in models.STAGES if stage != "shimmed"]
STEPS = 5


# Of this scope, so that all tests of one version run in a row and share what it gave.
every_net = pytest.mark.parametrize("name", ladder_plan.nets(), scope="module")
other_stages = pytest.mark.parametrize("stage", OTHER_STAGES, scope="module")
every_stage = pytest.mark.parametrize("stage", models.STAGES)


def formula_model(name, stage, *, input_size=None, **options):
    """A model with formula weights, at a small input size if none is given."""
    input_size = input_size or ladder_plan.input_size(name)
    model = models.create(
        name, stage, input_size=input_size, **{**ladder_plan.without_dropout(name), **options}
    )
    fill(model)
    return model


def fill(model):
    for key, weight in by_name(model).items():
        weight.assign(formula_value(key, tuple(weight.shape)))


@functools.lru_cache(maxsize=2000)  # The variables of one model.
def formula_value(key, shape):
    return goldens.value(key, shape)


def by_name(model):
    return {checkpoints.tf1_name(weight): weight for weight in model.weights}


def values(model):
    return {key: weight.numpy() for key, weight in by_name(model).items()}


# Rungs 1 to 4 against TF-Slim's own net.


@every_stage
@pytest.mark.parametrize("name", ladder_plan.names(goldens.has_table, ladder_plan.EVERYDAY_TABLES))
def test_variables_and_end_points(name, stage):
    table, size = goldens.table(name), models.get_variant(name).input_size
    model = models.create(name, stage)
    variables = [[key, list(v.shape), v.trainable] for key, v in by_name(model).items()]
    assert variables == table["variables"]
    assert model.count_params() == table["parameters_total"]
    trainable = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    assert trainable == table["parameters_trainable"]
    end_points = model.end_points(np.zeros((2, size, size, 3), "float32"))
    shapes = [[key, list(value.shape)] for key, value in end_points.items()]
    assert shapes == table["end_points"]


# Tables of other settings: table -> model, input size, batch, options.
OTHER_TABLES = {
    "resnet_v1_50_os16": (
        "resnet_v1_50",
        321,
        1,
        {"output_stride": 16, "global_pool": False, "num_classes": None},
    ),
    "resnet_v2_101_os16": (
        "resnet_v2_101",
        321,
        1,
        {"output_stride": 16, "global_pool": False, "num_classes": None},
    ),
    "resnet_v2_50_299": ("resnet_v2_50", 299, 2, {}),
    "mobilenet_v3_large_0.75_224_without_finegrain": (
        "mobilenet_v3_large_0.75_224",
        224,
        2,
        {"finegrain_classification_mode": False},
    ),
    "mobilenet_v3_small_0.75_224_without_finegrain": (
        "mobilenet_v3_small_0.75_224",
        224,
        2,
        {"finegrain_classification_mode": False},
    ),
}


@every_stage
@pytest.mark.parametrize("other", OTHER_TABLES)
def test_variables_and_end_points_of_other_settings(other, stage):
    table, (name, size, batch, settings) = goldens.table(other), OTHER_TABLES[other]
    model = models.create(name, stage, input_size=size, **settings)
    variables = [[key, list(v.shape), v.trainable] for key, v in by_name(model).items()]
    assert variables == table["variables"]
    end_points = model.end_points(np.zeros((batch, size, size, 3), "float32"))
    shapes = [[key, list(value.shape)] for key, value in end_points.items()]
    assert shapes == table["end_points"]


def golden_tolerance(name):
    return GOLDEN_DEEP if name.endswith(("_152", "_200")) else GOLDEN


@every_stage
@pytest.mark.parametrize("name", ladder_plan.names(goldens.has_outputs))
def test_outputs_and_moving_statistics(name, stage):
    table, expected = goldens.table(name), goldens.outputs(name)
    size = models.get_variant(name).input_size
    model = formula_model(name, stage, input_size=size)  # Auxiliary heads are made for a size.
    logits = model(goldens.image((2, size, size, 3)), training=False)
    assert logits.dtype == "float32"
    assert_close(logits, expected["eval_logits"], golden_tolerance(name))
    assert_close(sum(model.losses), table["regularization_loss_sum"], GOLDEN)
    size = table["train_input_size"]
    images = goldens.image((4, size, size, 3), seed=1)
    end_points = model.end_points(images, training=True)
    logits = [v for k, v in end_points.items() if k.endswith(ladder_plan.LOGITS)][-1]
    assert_close(logits, expected["train_logits"], golden_tolerance(name))
    if "train_aux_logits" in expected:
        assert_close(end_points["AuxLogits"], expected["train_aux_logits"], golden_tolerance(name))
    variables = by_name(model)
    for place in ("first", "last"):
        for statistic in ("moving_mean", "moving_variance"):
            variable = variables[f"{table[f'bn_{place}']}/{statistic}"].numpy()
            golden = expected[f"bn_{place}_{statistic}"]
            assert_close(variable, golden, GOLDEN_STATISTICS, f"{place} {statistic}")


# Rungs 2 to 8 between the versions, in one process.

LABELS = np.arange(4) * 50


def images_of(name):
    size = ladder_plan.input_size(name)
    return goldens.image((4, size, size, 3), seed=2)


def loss_of(model, images):
    end_points = model.end_points(images, training=True)
    heads = [v for k, v in end_points.items() if k.endswith((*ladder_plan.LOGITS, "AuxLogits"))]
    losses = [
        keras.losses.sparse_categorical_crossentropy(LABELS, head, from_logits=True)
        for head in heads
        if len(head.shape) == 2
    ]
    return tf.reduce_mean(tf.add_n(losses)) + tf.add_n(model.losses)


def gradients_of(model, images):
    with tf.GradientTape() as tape:
        loss = loss_of(model, images)
    variables = {key: weight.value for key, weight in by_name(model).items() if weight.trainable}
    return loss, tape.gradient(loss, variables)


def train(model, images, optimizer, steps):
    """Losses of the steps; eagerly, which is quicker than tracing for so few."""
    losses = []
    for _ in range(steps):
        loss, gradients = gradients_of(model, images)
        trainable = [weight for weight in model.weights if weight.trainable]
        optimizer.apply(list(gradients.values()), trainable)
        losses.append(float(loss))
    return losses


@dataclasses.dataclass
class Climb:
    """What the ladder sees of one version of a model."""

    variables: list
    end_points: dict
    losses: list
    train_end_points: dict
    statistics: dict
    gradients: dict
    after_momentum: dict
    after_rmsprop: dict
    trajectory: list
    after_trajectory: dict


@functools.lru_cache(maxsize=2)  # The shimmed version, and the one it is compared with.
def climb(name, stage):
    images, model = images_of(name), formula_model(name, stage, batch_norm_decay=0.9)
    seen = {
        "variables": [[key, list(v.shape), v.trainable] for key, v in by_name(model).items()],
        "end_points": model.end_points(images),
        "losses": [float(loss) for loss in model.losses],
        "train_end_points": model.end_points(images, training=True),
        "statistics": {k: v for k, v in values(model).items() if "moving_" in k},
    }
    fill(model)
    _, seen["gradients"] = gradients_of(model, images)
    fill(model)
    train(model, images, keras.optimizers.SGD(0.01, momentum=0.9), 1)
    seen["after_momentum"] = values(model)
    fill(model)
    train(model, images, keras.optimizers.RMSprop(0.001, rho=0.9, epsilon=1.0), 1)
    seen["after_rmsprop"] = values(model)
    fill(model)
    seen["trajectory"] = train(model, images, keras.optimizers.SGD(0.001, momentum=0.9), STEPS)
    seen["after_trajectory"] = values(model)
    return Climb(**seen)


def assert_all_close(actual, expected, tolerance):
    assert list(actual) == list(expected)
    for key in expected:
        assert_close(actual[key], expected[key], tolerance, key)


@every_net
@other_stages
def test_the_variables_are_the_same(name, stage):
    assert climb(name, stage).variables == climb(name, "shimmed").variables


@every_net
@other_stages
def test_every_end_point_is_equal(name, stage):
    actual, expected = climb(name, stage), climb(name, "shimmed")
    assert_all_close(actual.end_points, expected.end_points, SAME)
    assert_all_close(actual.train_end_points, expected.train_end_points, SAME)


@every_net
@other_stages
def test_the_regularization_losses_are_equal(name, stage):
    assert_close(sum(climb(name, stage).losses), sum(climb(name, "shimmed").losses), SAME)
    assert len(climb(name, stage).losses) == len(climb(name, "shimmed").losses)


@every_net
@other_stages
def test_the_moving_statistics_are_equal(name, stage):
    actual, expected = climb(name, stage), climb(name, "shimmed")
    assert_all_close(actual.statistics, expected.statistics, SAME)


@every_net
@other_stages
def test_every_gradient_is_equal(name, stage):
    assert_all_close(climb(name, stage).gradients, climb(name, "shimmed").gradients, GRADIENT)


@every_net
@other_stages
def test_one_step_of_each_optimizer_is_equal(name, stage):
    actual, expected = climb(name, stage), climb(name, "shimmed")
    assert_all_close(actual.after_momentum, expected.after_momentum, SAME)
    assert_all_close(actual.after_rmsprop, expected.after_rmsprop, SAME)


@every_net
@other_stages
def test_five_steps_are_equal(name, stage):
    actual, expected = climb(name, stage), climb(name, "shimmed")
    assert len(set(expected.trajectory)) == STEPS
    np.testing.assert_allclose(actual.trajectory, expected.trajectory, rtol=GRADIENT)
    assert_all_close(actual.after_trajectory, expected.after_trajectory, GRADIENT)


@functools.lru_cache(maxsize=2)  # Likewise.
def drawn(name, stage):
    """Random weights and dropout, both from the tool.

    Returns:
        The fresh weights, the losses of five steps, and the weights after them.
    """
    tool = shim.DeterministicRandomTestTool(mode="constant")
    with tool.scope():
        model = models.create(name, stage, input_size=ladder_plan.input_size(name))
        weights = values(model)
        optimizer = keras.optimizers.SGD(0.001, momentum=0.9)
        losses = train(model, images_of(name), optimizer, STEPS)
    return weights, losses, values(model)


@every_net
@other_stages
def test_five_steps_with_random_weights_and_dropout_are_equal(name, stage):
    fresh, losses, after = drawn(name, stage)
    expected_fresh, expected_losses, expected_after = drawn(name, "shimmed")
    assert_all_close(fresh, expected_fresh, SAME)
    assert len(set(expected_losses)) == STEPS
    np.testing.assert_allclose(losses, expected_losses, rtol=GRADIENT)
    assert_all_close(after, expected_after, GRADIENT)


@every_stage
@pytest.mark.parametrize("name", ["inception_v1"])
def test_dropout_is_on_by_default_and_draws_from_the_tool(name, stage):
    """Without it the rung above would be the one before it with other weights."""

    def logits(seed, **options):
        with shim.DeterministicRandomTestTool(seed=1, mode="constant").scope():
            model = models.create(name, stage, input_size=64, **options)
        with shim.DeterministicRandomTestTool(seed=seed, mode="constant").scope():
            return np.asarray(model(images_of(name), training=True))

    expected = logits(2)
    np.testing.assert_array_equal(logits(2), expected)
    assert np.abs(logits(3) - expected).max() > GRADIENT * np.abs(expected).max()
    without = logits(2, dropout_keep_prob=1.0)
    assert np.abs(without - expected).max() > GRADIENT * np.abs(expected).max()


# Rung 9.


def hold_gates(model):
    """Makes squeeze-excite weigh all maps alike: its means are not those of a part of the map."""
    for key, weight in by_name(model).items():
        if key.endswith("/squeeze_excite/Conv_1/weights"):
            weight.assign(np.zeros(weight.shape))


@pytest.mark.parametrize("name", ladder_plan.names(ladder_plan.is_atrous_net))
@every_stage
@pytest.mark.parametrize("output_stride", [8, 16])
def test_atrous_maps_hold_the_plain_ones(name, stage, output_stride):
    """With odd sizes SAME padding is symmetric, so that strides only skip pixels."""
    images, end_point = goldens.image((2, 65, 65, 3)), ladder_plan.last_map(name)
    options = {**ladder_plan.without_dropout(name), "global_pool": True, "num_classes": None}
    model = formula_model(name, stage, **options)
    hold_gates(model)
    atrous = models.create(name, stage, input_size=65, output_stride=output_stride, **options)
    atrous.set_weights(model.get_weights())
    sparse = np.asarray(model.end_points(images)[end_point])
    dense = np.asarray(atrous.end_points(images)[end_point])
    assert dense.shape[1] == -(-65 // output_stride)
    factor = 32 // output_stride
    assert_close(dense[:, ::factor, ::factor], sparse, SAME)


# Rung 10, what `models_in_use_test.py` leaves: XLA, and the counted multiply-adds.


@every_net
@every_stage
def test_xla_computes_the_same(name, stage):
    """Outputs and statistics; gradients at ReLU's corners depend on the last bit of a sum."""
    images, tolerance = images_of(name), XLA
    options = {"batch_norm_decay": 0.9}
    if name in ladder_plan.WIDENS_ROUNDING:
        plain, call = plain_and_compiled(name, stage, **options)[:2]
        assert_close(call(images), plain(images), XLA)
        images, tolerance = images.astype("float64"), SAME
        options["dtype"] = "float64"
    plain, call, compiled = plain_and_compiled(name, stage, **options)
    expected = plain(images, training=True)
    assert_close(call(images, training=True), expected, tolerance)
    assert_all_close(values(compiled), values(plain), tolerance)


def plain_and_compiled(name, stage, **options):
    """A model, a function that XLA compiles, and the model that this one runs."""
    plain, compiled = (formula_model(name, stage, **options) for _ in range(2))
    return plain, tf.function(compiled, jit_compile=True, autograph=False), compiled


FIGURES = ("parameters", "multiply_adds")


@pytest.mark.parametrize("name", ladder_plan.names(lambda name: True))
def test_figures_that_were_published_are_counted_or_explained(name):
    published, counts = models.get_variant(name).published, count(name)
    for figure in FIGURES:
        stated = getattr(published, f"{figure}_millions")
        explained = getattr(published, f"{figure}_explained")
        counted = getattr(counts, figure) / 1e6
        if explained is None:
            assert stated is None or counted == pytest.approx(stated, rel=0.01), figure
        else:
            assert counted != pytest.approx(stated, rel=0.01), f"{figure}: nothing to explain"
            assert counted == pytest.approx(explained.counted_millions, rel=0.005), figure
            assert explained.why


def test_every_model_has_figures_that_were_published():
    for name in models.list_models():
        published = models.get_variant(name).published
        assert all(getattr(published, f"{figure}_millions") for figure in FIGURES), name


def test_parameters_of_auxiliary_heads_count_and_their_multiply_adds_do_not():
    (with_head, with_aux), (without_head, without_aux) = (
        (model.count_params(), multiply_adds(model, 139))
        for model in (
            models.create("inception_v3", "native", input_size=139, create_aux_logits=has_head)
            for has_head in (True, False)
        )
    )
    assert with_head > without_head
    assert with_aux == without_aux


@pytest.mark.parametrize(
    "name", [name for name in models.list_models("mobilenet_v2_*") if goldens.has_table(name)]
)
def test_published_parameters_of_mobilenet_v2_leave_norms_out(name):
    table = goldens.table(name)["variables"]
    counted = sum(
        np.prod(shape) for key, shape, trainable in table if trainable and "BatchNorm" not in key
    )
    stated = models.get_variant(name).published.parameters_millions
    assert counted / 1e6 == pytest.approx(stated, abs=0.005)
