"""Two models are equal, or it is told on which rung they are not."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints, cli, models, shim
from shimzoo.models.mobilenet import native
from shimzoo.tools import noise_weights, verify

NAME = "mobilenet_v1_0.25_128"
IMAGES = np.random.default_rng(3).uniform(-1, 1, (4, 8, 8, 3)).astype("float32")
RUNGS = [
    "variables",
    "evaluation",
    "regularization loss",
    "training",
    "moving statistics",
    "gradients",
]


class Net(keras.Model):
    """A convolution, a norm and a dense layer."""

    def __init__(self, *, depth=6, names=("conv", "norm", "dense"), momentum=0.9, decay=0.1, act=1):
        super().__init__(name="net")
        l2 = keras.regularizers.L2(decay)
        self.conv = keras.layers.Conv2D(depth, 3, kernel_regularizer=l2, name=names[0])
        self.norm = keras.layers.BatchNormalization(momentum=momentum, name=names[1])
        self.dense = keras.layers.Dense(5, name=names[2])
        self.act = act

    def call(self, images, training=False):
        net = keras.ops.relu(self.norm(self.conv(images), training=training)) * self.act
        return self.dense(keras.ops.mean(net, axis=(1, 2)))


def net(**settings):
    return built(Net(**settings))


def built(model):
    model(IMAGES)
    return model


def unequal(rungs):
    return [rung.name for rung in rungs if not rung.is_equal]


def test_equal_models_are_equal():
    first, second = net(), net()
    noise_weights.fill(first)
    rungs = verify.compare(first, second, IMAGES)
    assert [rung.name for rung in rungs] == RUNGS
    assert not unequal(rungs)
    assert [rung.compared for rung in rungs] == [8, 1, 1, 1, 2, 6]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"act": 1.001}, ["evaluation", "training", "gradients"]),
        ({"act": np.nan}, ["evaluation", "training", "gradients"]),
        ({"decay": 0.2}, ["regularization loss", "gradients"]),
        ({"momentum": 0.99}, ["moving statistics"]),
    ],
)
def test_a_difference_is_found_on_its_rungs(settings, expected):
    first = net()
    noise_weights.fill(first)
    assert unequal(verify.compare(first, net(**settings), IMAGES)) == expected


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        (
            {"names": ("conv", "norm", "last")},
            "only the first has net/dense/weights, and 3 more",
        ),
        ({"depth": 7}, "net/conv/weights is 3x3x3x6, trainable and 3x3x3x7, trainable, and 6 more"),
    ],
)
def test_variables_that_are_not_the_same(settings, difference):
    (rung,) = verify.compare(net(), net(**settings), IMAGES)
    assert (rung.is_equal, rung.difference) == (False, difference)


def test_variables_in_another_order():
    class Turned(Net):
        @property
        def weights(self):
            return super().weights[::-1]

    turned = Turned()
    turned(IMAGES)
    (rung,) = verify.compare(net(), turned, IMAGES)
    assert rung.difference.startswith("net/conv/weights stands where the second has ")


def test_tf1_code_of_ones_own_and_its_migration():
    class Shimmed(keras.Model):
        @shim.track_tf1_style_variables
        def call(self, images, training=False):
            with tf.compat.v1.variable_scope("net"):
                net = shim.layers.conv2d(images, 6, 3, name="conv")
                net = shim.layers.batch_normalization(net, 3, 0.9, training=training, name="norm")
                return shim.layers.dense(tf.reduce_mean(net, [1, 2]), 5, name="dense")

    class Native(keras.Model):
        def __init__(self):
            super().__init__(name="net")
            self.conv = keras.layers.Conv2D(6, 3, name="conv")
            self.norm = keras.layers.BatchNormalization(momentum=0.9, name="norm")
            self.dense = keras.layers.Dense(5, name="dense")

        def call(self, images, training=False):
            net = self.norm(self.conv(images), training=training)
            return self.dense(keras.ops.mean(net, axis=(1, 2)))

    shimmed, migrated = Shimmed(), Native()
    shimmed(IMAGES)
    migrated(IMAGES)
    noise_weights.fill(shimmed)
    rungs = verify.compare(shimmed, migrated, IMAGES)
    # TF1's kernel has the unbiased variance, Keras' layer the biased one: `models/batch_norm.py`.
    assert unequal(rungs) == ["moving statistics"]
    assert rungs[4].worst == "net/norm/moving_variance"


def functional(momentum=0.9):
    """`Net` as a functional model, whose variables have no scope."""
    inputs = keras.Input(IMAGES.shape[1:])
    made = Net(momentum=momentum)
    maps = keras.ops.relu(made.norm(made.conv(inputs)))
    return keras.Model(inputs, made.dense(keras.ops.mean(maps, axis=(1, 2))), name="net")


def test_a_functional_migration_has_other_names():
    first = net()
    noise_weights.fill(first)
    (rung,) = verify.compare(first, functional(), IMAGES)
    assert rung.difference == (
        "only the first has net/conv/weights, and 15 more; no name is in both: `rename` tells what "
        "is called how"
    )
    for rename in ({"net/": "/"}, {"net/(conv|norm)/(.+)": r"\1/\2", "net/": ""}):
        rungs = verify.compare(first, functional(), IMAGES, rename=rename)
        assert [rung.compared for rung in rungs] == [8, 1, 1, 1, 2, 6]
        assert not unequal(rungs)
    rungs = verify.compare(first, functional(momentum=0.5), IMAGES, rename={"net/": "/"})
    assert unequal(rungs) == ["moving statistics"]
    (rung,) = verify.compare(first, functional(), IMAGES, rename={"net/conv/": "conv/"})
    assert rung.difference == "only the first has net/norm/gamma, and 11 more"
    with pytest.raises(ValueError, match=r"^rename gives two weights of the first model one name"):
        verify.compare(first, functional(), IMAGES, rename={"net/(conv|dense)/biases": "biases"})


class WithEndPoints(Net):
    """Has what only one of two models may have."""

    def end_points(self, images, training=False):
        return {"logits": self(images, training=training)}


def test_end_points_are_compared_if_both_have_them():
    models_of = {
        "one": (net(), built(WithEndPoints())),
        "other": (built(WithEndPoints()), net()),
        "both": (built(WithEndPoints()), built(WithEndPoints())),
    }
    compared = {}
    for who, (first, second) in models_of.items():
        noise_weights.fill(first)
        rungs = verify.compare(first, second, IMAGES)
        assert not unequal(rungs)
        compared[who] = [rung.compared for rung in rungs]
    assert compared["one"] == compared["other"] == [8, 1, 1, 1, 2, 6]
    assert compared["both"] == [8, 2, 1, 1, 2, 6]


class Doubled(keras.Model):
    """Builds two layers of one name in one scope, which Keras allows."""

    def __init__(self):
        super().__init__(name="doubled")
        self.first, self.second = (keras.layers.Dense(3, name="dense") for _ in range(2))

    def build(self, input_shape):
        for layer in (self.first, self.second):
            layer.build(input_shape)

    def call(self, images, training=False):
        return self.first(images) + self.second(images)


class Several(Net):
    """Gives more than one tensor."""

    def call(self, images, training=False):
        return {"logits": super().call(images, training)}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Net, "^net has no weights yet: call it with images once.$"),
        (lambda: built(Doubled()), "^doubled has two weights doubled/dense/weights: name "),
        (lambda: built(Several()), "^net gives a dict, where models that give one tensor can"),
    ],
)
def test_models_that_can_not_be_compared(model, message):
    with pytest.raises(ValueError, match=message):
        verify.compare(model(), model(), IMAGES)


def test_statistics_that_can_not_settle():
    settings = {"input_size": 32, "batch_norm_decay": 1.0}
    with pytest.raises(ValueError, match=r"^batch_norm_decay=1.0 keeps moving statistics"):
        verify.compare_stages(NAME, ("native", "shimmed"), **settings)


def test_the_example_on_the_page_runs(capsys):
    page = (Path(models.__file__).parent / "README.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    exec(compile(example, "models/README.md", "exec"), {})
    assert "moving statistics" in capsys.readouterr().out


def verified(capsys, *arguments):
    code = cli.main(["verify", NAME, "--image-size", "64", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_prints_a_table_for_each_version(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, _ = verified(capsys)
    assert code == 0
    assert "shimmed and partially_native" in out
    assert "shimmed and native" in out
    assert all(out.count(rung) == 2 for rung in RUNGS)


def test_the_command_fails_where_versions_differ(capsys, monkeypatch):
    monkeypatch.setattr(native, "l2", keras.regularizers.L2)  # Without the half.
    code, out, _ = verified(capsys, "--stage", "partially_native", "--stage", "native")
    assert code == 1
    assert "partially_native and native" in out


def test_weights_from_a_checkpoint(capsys, tmp_path):
    model = models.create(NAME, "native", input_size=64, num_classes=7)
    path = tmp_path / "model.weights.h5"
    checkpoints.save(model, path)
    stages = ("--stage", "native", "--stage", "shimmed")
    arguments = (*stages, "--checkpoint", str(path))
    code, out, err = verified(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "float32[7] in the file" in err
    assert verified(capsys, *arguments, "--option", "num_classes=7")[0] == 0
    code, out, err = verified(capsys, *stages, "--checkpoint", str(tmp_path / "none.weights.h5"))
    assert (code, out) == (2, "")
    assert "none.weights.h5" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--stage", "native"), "two or all of the stages"),
        (("--stage", "native", "--stage", "native"), "each once"),
        (("--stage", "native", "--stage", "nativ"), "no stage 'nativ'"),
        (("--image-size", "x"), "'x' is not a whole number"),
        (("--option", "classes=7"), "MobileNet v1 has no option 'classes'"),
        (("--image-size", "31"), "at least 32x32 pixels"),
        (("--image-size", "0"), "input_size=0 is not allowed: it has to be a whole number"),
        (("--image-size", "-5"), "input_size=-5 is not allowed: it has to be a whole number"),
    ],
)
def test_bad_input_is_one_line(capsys, arguments, message):
    code, out, err = verified(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
