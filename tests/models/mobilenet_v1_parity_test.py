"""MobileNet v1: its three versions against TF-Slim's own net and against each other."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints, models
from shimzoo.tests.checkpoints import formula_checkpoint
from shimzoo.tests.data import goldens
from shimzoo.tests.models.tolerances import (
    GOLDEN,
    GOLDEN_STATISTICS,
    GRADIENT,
    SAME,
    XLA,
    assert_close,
)

SMALL = "mobilenet_v1_0.25_128"
TABLES = [SMALL, "mobilenet_v1_0.5_160", "mobilenet_v1_0.75_192", "mobilenet_v1_1.0_224"]
WITH_OUTPUTS = [SMALL, "mobilenet_v1_1.0_224"]
every_stage = pytest.mark.parametrize("stage", models.STAGES)
OTHER_STAGES = [stage for stage in models.STAGES if stage != "shimmed"]


@functools.cache
def formula_model(name, stage, **options):
    """A model with formula weights, read from a TF1 checkpoint; without dropout."""
    model = models.create(name, stage, dropout_keep_prob=1.0, **options)
    checkpoints.restore(model, formula_prefix(name))
    return model


@functools.cache
def formula_prefix(name):
    return formula_checkpoint.write(FOLDER / f"{name}.ckpt", goldens.values(name))


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory):
    global FOLDER
    FOLDER = tmp_path_factory.mktemp("checkpoints")


def fresh(stage, **options):
    """As `formula_model`, for tests that change it."""
    model = models.create(SMALL, stage, dropout_keep_prob=1.0, **options)
    checkpoints.restore(model, formula_prefix(SMALL))
    return model


def by_name(model):
    return {checkpoints.tf1_name(weight): weight for weight in model.weights}


@every_stage
@pytest.mark.parametrize("name", TABLES)
def test_variables(name, stage):
    model, table = models.create(name, stage), goldens.table(name)
    variables = [[key, list(v.shape), v.trainable] for key, v in by_name(model).items()]
    assert variables == table["variables"]
    assert model.count_params() == table["parameters_total"]
    trainable = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    assert trainable == table["parameters_trainable"]


@every_stage
@pytest.mark.parametrize("name", TABLES)
def test_end_points(name, stage):
    size = models.get_variant(name).input_size
    end_points = models.create(name, stage).end_points(np.zeros((2, size, size, 3), "float32"))
    shapes = [[key, list(value.shape)] for key, value in end_points.items()]
    assert shapes == goldens.table(name)["end_points"]


@every_stage
@pytest.mark.parametrize("name", WITH_OUTPUTS)
def test_eval_logits_and_regularization(name, stage):
    model, size = formula_model(name, stage), models.get_variant(name).input_size
    logits = model(goldens.image((2, size, size, 3)), training=False)
    assert logits.dtype == "float32"
    assert_close(logits, goldens.outputs(name)["eval_logits"], GOLDEN)
    regularization = goldens.table(name)["regularization_loss_sum"]
    assert_close(sum(model.losses), regularization, GOLDEN)


@every_stage
@pytest.mark.parametrize("name", WITH_OUTPUTS)
def test_train_logits_and_moving_statistics(name, stage):
    model, table = models.in_stage(formula_model(name, stage), stage), goldens.table(name)
    model.set_weights(formula_model(name, stage).get_weights())
    expected, size = goldens.outputs(name), table["train_input_size"]
    logits = model(goldens.image((4, size, size, 3), seed=1), training=True)
    assert_close(logits, expected["train_logits"], GOLDEN)
    variables = by_name(model)
    for place in ("first", "last"):
        for statistic in ("moving_mean", "moving_variance"):
            variable = variables[f"{table[f'bn_{place}']}/{statistic}"]
            golden = expected[f"bn_{place}_{statistic}"]
            assert_close(variable.numpy(), golden, GOLDEN_STATISTICS, variable.path)


# Between the versions, in one process.

IMAGES = goldens.image((8, 64, 64, 3), seed=2)
LABELS = np.arange(8) * 100


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("stage", OTHER_STAGES)
def test_every_end_point_is_equal(stage, training):
    expected = fresh("shimmed").end_points(IMAGES, training=training)
    actual = fresh(stage).end_points(IMAGES, training=training)
    assert list(actual) == list(expected)
    for key in expected:
        assert_close(actual[key], expected[key], SAME, key)


@functools.cache
def gradients(stage):
    model = fresh(stage)
    with tf.GradientTape() as tape:
        logits = model(IMAGES, training=True)
        loss = keras.losses.sparse_categorical_crossentropy(LABELS, logits, from_logits=True)
        loss = tf.reduce_mean(loss) + sum(model.losses)
    variables = {name: weight.value for name, weight in by_name(model).items() if weight.trainable}
    return tape.gradient(loss, variables)


@pytest.mark.parametrize("stage", OTHER_STAGES)
def test_every_gradient_is_equal(stage):
    actual, expected = gradients(stage), gradients("shimmed")
    assert actual.keys() == expected.keys()
    for name in expected:
        assert_close(actual[name], expected[name], GRADIENT, name)


@functools.cache
def trained(stage):
    """Weights by name after one step of SGD, and after five; the statistics learn fast."""
    model = fresh(stage, batch_norm_decay=0.9)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss, jit_compile=False)
    after = []
    for steps in (1, 4):
        images, labels = (np.tile(x, [steps] + [1] * (x.ndim - 1)) for x in (IMAGES, LABELS))
        model.fit(images, labels, batch_size=8, shuffle=False, verbose=0)
        after.append({name: weight.numpy() for name, weight in by_name(model).items()})
    return after


@pytest.mark.parametrize("stage", OTHER_STAGES)
def test_one_sgd_step_is_equal(stage):
    actual, expected = trained(stage)[0], trained("shimmed")[0]
    for name in expected:
        assert_close(actual[name], expected[name], SAME, name)


@pytest.mark.parametrize("stage", OTHER_STAGES)
def test_moving_statistics_after_five_steps_are_equal(stage):
    actual, expected = trained(stage)[1], trained("shimmed")[1]
    before = goldens.values(SMALL)
    for name in expected:
        if name.endswith(("moving_mean", "moving_variance")):
            assert_close(actual[name], expected[name], SAME, name)
            assert np.abs(expected[name] - before[name]).max() > 0.01


def test_xla_computes_the_same():
    """Outputs and statistics; gradients at ReLU6's corners depend on the last bit of a sum."""
    plain, compiled = fresh("native"), fresh("native")
    expected = plain(IMAGES, training=True)
    actual = tf.function(compiled, jit_compile=True)(IMAGES, training=True)
    assert_close(actual, expected, XLA)
    for weight, other in zip(compiled.weights, plain.weights, strict=True):
        assert_close(weight.numpy(), other.numpy(), XLA, weight.path)


@functools.cache
def atrous_end_points(stage, output_stride):
    model = fresh(stage, output_stride=output_stride, global_pool=True)
    return model.end_points(goldens.image((2, 65, 65, 3)))


@every_stage
@pytest.mark.parametrize("output_stride", [8, 16])
def test_atrous_maps_hold_the_plain_ones(stage, output_stride):
    """With odd sizes SAME padding is symmetric, so that strides only skip pixels."""
    plain, atrous = (atrous_end_points(stage, stride) for stride in (None, output_stride))
    last = np.asarray(atrous["Conv2d_13_pointwise"])
    assert last.shape[1] == -(-65 // output_stride)
    for name in ("Conv2d_6_depthwise", "Conv2d_11_pointwise", "Conv2d_13_pointwise"):
        dense, sparse = np.asarray(atrous[name]), np.asarray(plain[name])
        factor = (dense.shape[1] - 1) // (sparse.shape[1] - 1)
        assert_close(dense[:, ::factor, ::factor], sparse, SAME, name)


@pytest.mark.parametrize("stage", OTHER_STAGES)
@pytest.mark.parametrize("output_stride", [8, 16])
def test_every_atrous_end_point_is_equal(stage, output_stride):
    actual, expected = (atrous_end_points(s, output_stride) for s in (stage, "shimmed"))
    for key in expected:
        assert_close(actual[key], expected[key], SAME, key)
