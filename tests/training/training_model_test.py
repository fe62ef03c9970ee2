"""The training step: its loss, and what it trains."""

import dataclasses
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints, models
from shimzoo.models.batch_norm import BatchNorm
from shimzoo.training import training_model

from .two_heads import CLASSES, CONFIG, TwoHeads, batch, training


def tf1_loss(net, images, labels, smoothing, auxiliary_weight):
    """What TF-Slim's training script adds up."""
    one_hot = tf.one_hot(labels, CLASSES)
    end_points = net.end_points(images)
    heads = (("Logits", 1.0), ("AuxLogits", auxiliary_weight))
    losses = [
        tf.compat.v1.losses.softmax_cross_entropy(
            one_hot, end_points[name], label_smoothing=smoothing, weights=weight
        )
        for name, weight in heads
    ]
    return float(sum(losses) + sum(net.losses))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("auxiliary_weight", [0.4, 1.5])
def test_the_loss_is_slims(smoothing, auxiliary_weight):
    net = TwoHeads()
    model = training(net, label_smoothing=smoothing, auxiliary_loss_weight=auxiliary_weight)
    images, labels, weights = batch()
    expected = tf1_loss(net, images, labels, smoothing, auxiliary_weight)
    logs = model.train_on_batch(images, labels, weights, return_dict=True)
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_test_is_without_smoothing_and_auxiliary_head():
    net = TwoHeads()
    model = training(net, label_smoothing=0.3)
    images, labels, weights = batch()
    logs = model.test_on_batch(images, labels, weights, return_dict=True)
    assert logs["loss"] == pytest.approx(tf1_loss(net, images, labels, 0.0, 0.0), rel=1e-5)
    right = np.argmax(net(images), axis=1) == labels
    assert logs["accuracy"] == pytest.approx(right.mean())


def test_the_loss_of_a_test_is_the_mean_over_what_could_be_read():
    net = TwoHeads()
    images, labels, weights = batch(8)
    weights[[1, 4, 5, 6]] = 0.0
    dataset = tf.data.Dataset.from_tensor_slices((images, labels, weights))
    # Of the four batches one is whole, two are half, and one has no image that could be read.
    found = training(net).evaluate(dataset.batch(2), verbose=0, return_dict=True)
    good = weights > 0
    assert found["loss"] == pytest.approx(tf1_loss(net, images[good], labels[good], 0, 0), rel=1e-5)
    right = np.argmax(net(images[good]), axis=1) == labels[good]
    assert found["accuracy"] == pytest.approx(right.mean())


def test_a_model_without_auxiliary_head_trains_its_logits_alone():
    net = TwoHeads(has_aux_logits=False)
    model = training(net)
    before = net.aux_logits.kernel.numpy()
    images, labels, weights = batch()
    expected = tf1_loss(net, images, labels, 0.0, 0.0)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        logs = model.train_on_batch(images, labels, weights, return_dict=True)
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(net.aux_logits.kernel.numpy(), before)


def stepped(data, **changes):
    keras.utils.set_random_seed(1)
    net = TwoHeads()
    logs = training(net, **changes).train_on_batch(*data, return_dict=True)
    return [weight.numpy() for weight in net.weights], logs


def test_soft_labels_that_are_hard_train_as_hard_ones():
    images, labels, weights = batch()
    soft = np.eye(CLASSES, dtype="float32")[labels]
    hard_step, soft_step = (
        stepped((images, each, weights), label_smoothing=0.1) for each in (labels, soft)
    )
    for one, other in zip(hard_step[0], soft_step[0], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert hard_step[1] == pytest.approx(soft_step[1])


def test_what_weighs_nothing_changes_nothing():
    images, labels, weights = batch()
    weights[2] = 0.0
    other_images, other_labels = images.copy(), labels.copy()
    other_images[2], other_labels[2] = 100.0, (labels[2] + 1) % CLASSES
    one, other = (
        stepped(data) for data in ((images, labels, weights), (other_images, other_labels, weights))
    )
    for a, b in zip(one[0], other[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert one[1] == pytest.approx(other[1])


MODEL = "mobilenet_v1_0.25_128"


@pytest.mark.parametrize("synchronized", [False, True])
def test_all_norms_of_the_net_are_synchronized_or_none(synchronized):
    config = dataclasses.replace(CONFIG, sync_batch_norm=synchronized)
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    net = training_model.create_training_model(config, CLASSES, 1000, accuracy).net
    norms = [layer for layer in net._flatten_layers() if isinstance(layer, BatchNorm)]
    # MobileNet v1 has one behind its first convolution, and two in each of 13 blocks.
    assert [norm.synchronized for norm in norms] == [synchronized] * 27


@pytest.mark.parametrize("stage", models.STAGES)
def test_only_what_is_named_is_trained_and_statistics_go_on(stage):
    net = models.create(MODEL, stage, num_classes=CLASSES, input_size=32)
    model = training(
        net, model=MODEL, trainable="MobilenetV1/(Logits|Conv2d_13_pointwise/BatchNorm)"
    )
    before = {checkpoints.tf1_name(w): w.numpy() for w in net.weights}
    images = np.random.default_rng(0).normal(size=[4, 32, 32, 3]).astype("float32")
    model.train_on_batch(images, np.arange(4, dtype="int32"), np.ones(4, "float32"))
    after = {checkpoints.tf1_name(w): w.numpy() for w in net.weights}
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    trained = {name for name in changed if "/moving_" not in name}
    assert trained == {
        "MobilenetV1/Conv2d_13_pointwise/BatchNorm/beta",
        "MobilenetV1/Conv2d_13_pointwise/BatchNorm/gamma",
        "MobilenetV1/Logits/Conv2d_1c_1x1/biases",
        "MobilenetV1/Logits/Conv2d_1c_1x1/weights",
    }
    assert "MobilenetV1/Conv2d_0/BatchNorm/moving_mean" in changed


@pytest.mark.large
@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("inception_v3", "shimmed"),
        ("inception_v4", "partially_native"),
        ("inception_resnet_v2", "native"),
    ],
)
def test_the_zoos_auxiliary_heads_are_trained_by_their_loss(name, stage):
    size = 139
    net = models.create(
        name, stage, num_classes=CLASSES, input_size=size, dropout_keep_prob=1.0, weight_decay=0.0
    )
    model = training(net, model=name, stage=stage, image_size=size, learning_rate=1e-3)
    images = np.random.default_rng(0).uniform(-1, 1, size=[2, size, size, 3]).astype("float32")
    labels = np.array([0, 3], "int32")
    end_points = net.end_points(images, training=True)
    heads = [tf.cast(end_points[head], "float32") for head in ("Logits", "AuxLogits")]
    losses = [
        tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        for logits in heads
    ]
    before = {checkpoints.tf1_name(w): w.numpy() for w in net.trainable_weights}
    loss = model.train_on_batch(images, labels, np.ones(2, "float32"))[0]
    assert float(loss) == pytest.approx(float(losses[0] + 0.4 * losses[1]), rel=1e-3)
    after = {checkpoints.tf1_name(w): w.numpy() for w in net.trainable_weights}
    still = [each for each in before if np.array_equal(before[each], after[each])]
    assert not [each for each in still if "/AuxLogits/" in each]


def test_an_expression_that_names_nothing_is_an_error():
    with pytest.raises(ValueError, match=r"trainable='Logit' matches none of TwoHeads's .*biases"):
        training(TwoHeads(), trainable="Logit")


def test_scopes_in_tf_slims_way_are_told_ours():
    net = TwoHeads()
    heads = {name.rpartition("/")[0] for name in map(checkpoints.tf1_name, net.trainable_weights)}
    with pytest.raises(ValueError, match=r" Several are given as '[^']*'\.$") as refused:
        training(net, trainable=", ".join(sorted(heads)))
    told = re.search(r"given as '([^']*)'", str(refused.value))[1]
    assert set(told.split("|")) == heads
    training(net, trainable=told)
    assert len(net.trainable_weights) == 4


@pytest.mark.parametrize(("asked", "nearest"), [(4, "3, 6"), (5, "3, 6"), (7, "6")])
def test_executions_that_do_not_fill_an_epoch_are_refused(asked, nearest):
    config = dataclasses.replace(CONFIG, steps_per_execution=asked)
    message = rf"steps_per_execution={asked} does not divide the 6 steps.*{re.escape(nearest)}"
    with pytest.raises(ValueError, match=message):
        training_model.check_steps_per_execution(config, 6)
