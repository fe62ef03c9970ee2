"""G5 and G17: TF-Slim and `tf.compat.v1.layers` under the shim; TF1 graphs after `install()`."""

import re
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim
from tensorflow.python.ops import variable_scope

shim.install()

import tf_slim as slim  # noqa: E402  (TF1 code, imported as its users do, after install)

tf1 = tf.compat.v1

IMAGES = np.random.default_rng(0).normal(1.0, 2.0, (4, 8, 8, 3)).astype("float32")
DECAY, EPSILON = 0.9, 1e-3


@pytest.fixture(autouse=True)
def installed():
    shim.install()
    yield
    shim.install()


class SlimNet(keras.Layer):
    """Every layer of Slim that MobileNet v1 uses, as a TF1 author writes them."""

    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        return self.net(inputs, training)[0]

    @shim.track_tf1_style_variables
    def end_points(self, inputs):
        return self.net(inputs, False)[1]

    def net(self, inputs, training):
        batch_norm = {"is_training": training, "decay": DECAY, "epsilon": EPSILON, "scale": True}
        with (
            slim.arg_scope(
                [slim.conv2d, slim.separable_conv2d],
                activation_fn=tf.nn.relu6,
                normalizer_fn=slim.batch_norm,
                normalizer_params=batch_norm,
                outputs_collections="end_points",
            ),
            slim.arg_scope([slim.conv2d], weights_regularizer=slim.l2_regularizer(0.1)),
            tf1.variable_scope("Net"),
        ):
            net = slim.conv2d(inputs, 4, [3, 3], stride=2, scope="Conv2d_0")
            net = slim.separable_conv2d(net, None, [3, 3], depth_multiplier=1, scope="depthwise")
            net = slim.avg_pool2d(net, [4, 4], scope="AvgPool")
            net = slim.dropout(net, keep_prob=0.5, is_training=training, scope="Dropout")
            logits = slim.conv2d(
                net, 5, [1, 1], activation_fn=None, normalizer_fn=None, scope="Logits"
            )
            end_points = slim.utils.convert_collection_to_dict("end_points")
            return tf.squeeze(logits, [1, 2]), end_points


SLIM_VARIABLES = [
    "Net/Conv2d_0/weights",
    "Net/Conv2d_0/BatchNorm/gamma",
    "Net/Conv2d_0/BatchNorm/beta",
    "Net/Conv2d_0/BatchNorm/moving_mean",
    "Net/Conv2d_0/BatchNorm/moving_variance",
    "Net/depthwise/depthwise_weights",
    "Net/depthwise/BatchNorm/gamma",
    "Net/depthwise/BatchNorm/beta",
    "Net/depthwise/BatchNorm/moving_mean",
    "Net/depthwise/BatchNorm/moving_variance",
    "Net/Logits/weights",
    "Net/Logits/biases",
]


def test_g17_slim_runs_and_its_variables_are_tf1s():
    layer = SlimNet()
    assert layer(IMAGES).shape == (4, 5)
    layer(IMAGES, training=True)
    assert [v.path for v in layer.weights] == SLIM_VARIABLES
    trainable = [name for name in SLIM_VARIABLES if "moving" not in name]
    assert [v.path for v in layer.trainable_weights] == trainable


def test_g02_slims_regularizer_is_half_the_sum_of_squares():
    layer = SlimNet()
    layer(IMAGES)
    kernels = [
        v.numpy() for v in layer.weights if v.path in (SLIM_VARIABLES[0], SLIM_VARIABLES[-2])
    ]
    expected = [0.1 * np.square(kernel).sum() / 2 for kernel in kernels]
    np.testing.assert_allclose(layer.losses, expected, rtol=1e-5)


def test_g11_slims_end_points_work_eagerly():
    layer = SlimNet()
    end_points = layer.end_points(tf.constant(IMAGES))
    assert list(end_points) == ["Net/Conv2d_0", "Net/depthwise", "Net/Logits"]
    assert end_points["Net/depthwise"].shape == (4, 4, 4, 4)


def test_g17_a_tf1_session_and_the_shimmed_layer_agree():
    layer = SlimNet()
    expected = layer(IMAGES)
    values = {v.path: v.numpy() for v in layer.weights}
    with tf.Graph().as_default(), tf1.Session() as session:
        images = tf1.placeholder(tf.float32, [None, 8, 8, 3])
        logits, _ = SlimNet().net(images, False)
        variables = tf1.global_variables()
        assert [v.op.name for v in variables] == SLIM_VARIABLES
        for variable in variables:
            variable.load(values[variable.op.name], session)
        np.testing.assert_allclose(
            session.run(logits, {images: IMAGES}), expected, rtol=1e-4, atol=1e-5
        )


def test_g17_a_tf1_graph_fills_the_collections_as_tf1_did():
    with tf.Graph().as_default(), tf1.Session() as session:
        images = tf1.placeholder(tf.float32, [None, 8, 8, 3])
        SlimNet().net(images, True)
        updates = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
        assert len(updates) == 4
        assert len(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)) == 2
        assert [v.op.name for v in slim.get_model_variables()] == SLIM_VARIABLES
        session.run(tf1.global_variables_initializer())
        session.run(updates, {images: IMAGES})
        (moving_mean,) = slim.get_variables_by_name("moving_mean", "Net/Conv2d_0")
        assert np.abs(session.run(moving_mean)).max() > 0


class Norm(keras.Layer):
    def __init__(self, **arguments):
        super().__init__()
        self.arguments = arguments

    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        with tf1.variable_scope("net"):
            return tf1.layers.batch_normalization(
                inputs, momentum=DECAY, epsilon=EPSILON, training=training, **self.arguments
            )


def moving_averages(layer):
    return [v.numpy() for v in layer.non_trainable_weights]


def expected_moving_averages(inputs, unbiased):
    flat = inputs.reshape(-1, inputs.shape[-1]).astype("float64")
    return (1 - DECAY) * flat.mean(0), DECAY + (1 - DECAY) * flat.var(0, ddof=int(unbiased))


def train_eagerly(layer, inputs):
    layer(inputs, training=True)


def train_in_function(layer, inputs):
    tf.function(lambda x: layer(x, training=True))(tf.constant(inputs))


def train_under_xla(layer, inputs):
    tf.function(lambda x: layer(x, training=True), jit_compile=True)(tf.constant(inputs))


def train_by_fit(layer, inputs):
    model = keras.Sequential([layer, keras.layers.Flatten()])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    targets = np.zeros([len(inputs), inputs[0].size], "float32")
    model.fit(inputs, targets, batch_size=len(inputs), epochs=1, verbose=0)


@pytest.mark.parametrize("train", [train_eagerly, train_in_function, train_under_xla, train_by_fit])
@pytest.mark.parametrize(
    ("inputs", "unbiased"), [(IMAGES, True), (IMAGES[:, 0, 0], False)], ids=["fused", "plain"]
)
def test_g05_moving_averages_are_updated_at_once_in_training(train, inputs, unbiased):
    layer = Norm()
    train(layer, inputs)
    mean, variance = expected_moving_averages(inputs, unbiased)
    np.testing.assert_allclose(moving_averages(layer)[0], mean, rtol=1e-4)
    np.testing.assert_allclose(moving_averages(layer)[1], variance, rtol=1e-4)


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])
def test_g05_never_updated_out_of_training(wrap):
    layer = Norm()
    outputs = wrap(lambda x: layer(x, training=False))(tf.constant(IMAGES))
    np.testing.assert_allclose(outputs, IMAGES / np.sqrt(1 + EPSILON), rtol=1e-5)
    np.testing.assert_array_equal(moving_averages(layer), [[0] * 3, [1] * 3])


def test_g05_training_may_be_a_tensor():
    layer = Norm()

    @tf.function
    def call(training):
        return layer(tf.constant(IMAGES), training=training)

    call(tf.constant(False))
    np.testing.assert_array_equal(moving_averages(layer), [[0] * 3, [1] * 3])
    outputs = call(tf.constant(True)).numpy()
    np.testing.assert_allclose(outputs.mean((0, 1, 2)), [0] * 3, atol=1e-5)
    np.testing.assert_allclose(
        moving_averages(layer)[0], expected_moving_averages(IMAGES, True)[0], rtol=1e-4
    )


def test_g05_training_outputs_are_normalized_by_the_biased_variance():
    outputs = Norm()(IMAGES, training=True)
    flat = IMAGES.reshape(-1, 3).astype("float64")
    expected = (IMAGES - flat.mean(0)) / np.sqrt(flat.var(0) + EPSILON)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


def test_g05_each_replica_updates_from_its_own_batch():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = Norm()
    halves = iter([IMAGES[:2], IMAGES[2:]] * 2)
    batches = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(next(halves))
    )
    with strategy.scope():
        strategy.run(tf.function(lambda x: layer(x, training=True)), (batches,))
    expected = np.mean(
        [expected_moving_averages(half, True) for half in (IMAGES[:2], IMAGES[2:])], 0
    )
    np.testing.assert_allclose(moving_averages(layer), expected, rtol=1e-4)


def test_g17_tf1_modules_have_the_layers_and_give_back_what_they_had():
    shim.uninstall()
    with pytest.raises(AttributeError):
        _ = tf1.layers.conv2d
    assert tf1.keras.utils is keras.utils
    shim.install()
    for name in shim.layers.__all__:
        assert getattr(tf1.layers, name) is getattr(shim.layers, name)
    utils = tf1.keras.utils
    assert utils.track_tf1_style_variables is shim.track_tf1_style_variables
    assert utils.get_or_create_layer is shim.get_or_create_layer
    assert utils.DeterministicRandomTestTool is shim.DeterministicRandomTestTool
    assert utils.to_categorical is keras.utils.to_categorical
    assert tf1.keras.layers.Dense is keras.layers.Dense
    assert not hasattr(keras.utils, "track_tf1_style_variables")
    assert not hasattr(tf.keras.utils, "track_tf1_style_variables")


@pytest.mark.parametrize(
    "imports",
    [
        "import tensorflow.compat.v1 as tf; found = tf.layers.conv2d",
        "from tensorflow.compat import v1; found = v1.layers.conv2d",
        "from tensorflow.compat.v1 import layers; found = layers.conv2d",
        "import tensorflow.compat.v1.layers as layers; found = layers.conv2d",
        "from tensorflow.compat.v1.layers import conv2d as found",
        "from tensorflow.python.layers.layers import conv2d as found",
        "from tensorflow.python.layers.convolutional import conv2d as found",
        "import tensorflow.compat.v1 as tf; tf.layers.dense; found = tf.layers.conv2d",
    ],
)
def test_g17_tf1s_layers_are_found_however_they_are_imported(imports):
    names = {}
    exec(imports, names)
    assert names["found"] is shim.layers.conv2d


@pytest.mark.parametrize(
    "imports",
    [
        "import tensorflow.compat.v1 as tf; found = tf.keras.utils.track_tf1_style_variables",
        "from tensorflow.compat.v1 import keras; found = keras.utils.track_tf1_style_variables",
        "from tensorflow.compat.v1.keras import utils; found = utils.track_tf1_style_variables",
        "from tensorflow.compat.v1.keras.utils import track_tf1_style_variables as found",
    ],
)
def test_g17_the_official_shims_decorator_is_found_however_it_is_imported(imports):
    names = {}
    exec(imports, names)
    assert names["found"] is shim.track_tf1_style_variables


STATE = """
import sys
import tensorflow as tf

def outcome(expression):
    try:
        return eval(expression)
    except Exception as error:
        return type(error), str(error)

def outcomes():
    return [outcome(f"tf.{name}") for name in (
        "keras.utils", "compat.v1.layers.conv2d", "compat.v1.layers.Dense",
        "compat.v1.layers.InputSpec", "compat.v1.keras.utils", "compat.v1.keras.layers.Dense",
        "compat.v1.keras.utils.track_tf1_style_variables",
        "compat.v1.keras.utils.DeterministicRandomTestTool")]

def state():
    namespaces = {
        name: dict(vars(module)) for name, module in sys.modules.items()
        if name.startswith(("tensorflow", "keras"))
    }
    return outcomes(), namespaces

def assert_same(before, after, may_grow=False):
    assert before[0] == after[0], (before[0], after[0])
    names = lambda namespaces: {(m, n) for m, names in namespaces.items() for n in names}
    if not may_grow:
        assert list(before[1]) == list(after[1])
        assert names(before[1]) == names(after[1]), names(before[1]) ^ names(after[1])
    changed = [name for name in names(before[1]) if after[1][name[0]].get(name[1], state)
               is not before[1][name[0]][name[1]]]
    assert not changed, changed

outcomes()  # TensorFlow puts in place what it loads on first access.
"""


def run(code):
    result = subprocess.run(
        [sys.executable, "-c", STATE + code], capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("imported", ["", "import tensorflow.compat.v1 as tf1"])
def test_g17_uninstalling_puts_back_exactly_what_was_there(imported):
    run(f"""
{imported}
from shimzoo import shim
before = state()
shim.install()
installed = state()
assert installed[0] != before[0]
shim.install()
assert_same(installed, state())
shim.uninstall()
assert_same(before, state())
shim.uninstall()
assert_same(before, state())
""")


def test_g17_importing_the_shim_changes_nothing_global():
    run("""
import keras
before = state()
from shimzoo import shim
assert_same(before, state(), may_grow=True)
""")


def test_g17_layers_take_unknown_dimensions_after_disabling_v2_behavior():
    """TF1's `Dimension` objects are back then, and an unknown one is not None."""
    run("""
import numpy as np
tf1 = tf.compat.v1
tf1.disable_v2_behavior()
from shimzoo import shim
shim.install()
import tf_slim as slim

def placeholder(*shape):
    return tf1.placeholder(tf.float32, shape)

def raised(code):
    try:
        code()
    except ValueError as error:
        return str(error)

images = placeholder(None, 8, 8, 3)
for flatten in (tf1.layers.flatten, slim.flatten):
    assert flatten(images).shape.as_list() == [None, 192]
assert tf1.layers.flatten(images, data_format="channels_first").shape.as_list() == [None, 192]
assert tf1.layers.flatten(placeholder(2, 8, 8, 3)).shape.as_list() == [2, 192]
assert tf1.layers.flatten(placeholder(None)).shape.as_list() == [None, 1]
logits = slim.fully_connected(slim.flatten(images), 4, normalizer_fn=slim.batch_norm)
assert logits.shape.as_list() == [None, 4]
with tf1.Session() as session:
    session.run(tf1.global_variables_initializer())
    assert session.run(logits, {images: np.zeros([5, 8, 8, 3])}).shape == (5, 4)

assert "known last dimension" in raised(lambda: tf1.layers.dense(placeholder(None, None), 3))
unknown = placeholder(None, 8, 8, None)
assert "known number of input channels" in raised(lambda: tf1.layers.conv2d(unknown, 4, 3))
assert "axis 3 is undefined" in raised(lambda: tf1.layers.batch_normalization(unknown, axis=3))
""")


@pytest.fixture
def own_collections():
    """Other files' tests run in this process, and see what is in the default graph's."""
    graph = tf1.get_default_graph()
    before = {name: graph.get_collection(name) for name in graph.collections}
    yield
    for name in graph.collections:
        graph.clear_collection(name)
        for member in before.get(name, []):
            graph.add_to_collection(name, member)


@pytest.mark.usefixtures("own_collections")
def test_g19_a_variable_asked_for_eagerly_in_no_decorated_method_warns_once():
    """A forgotten decorator."""

    def forward(inputs):
        with tf1.variable_scope("d", reuse=tf1.AUTO_REUSE):
            return inputs * tf1.get_variable("w", [3])

    message = "^Variable d/w .* outside of a decorated method.* Decorate the method of a keras.Lay"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            forward(np.ones([2, 3], "float32"))
    assert len(caught) == 1
    assert re.search(message, str(caught[0].message))
    assert caught[0].filename == __file__
    assert caught[0].lineno == forward.__code__.co_firstlineno + 2


@pytest.mark.usefixtures("own_collections")
def test_g19_variables_that_something_keeps_do_not_warn():
    def scaled(inputs):
        return inputs * tf1.get_variable("w", [3])

    class Net(tf.Module):
        @shim.track_tf1_style_variables
        def __call__(self, inputs):
            return scaled(inputs)

    inputs = np.ones([2, 3], "float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Net()(inputs)
        tf.function(Net())(inputs)
        template = tf1.make_template("scaled", scaled)
        np.testing.assert_array_equal(template(inputs), template(inputs))
        store = variable_scope.EagerVariableStore()
        with store.as_default(), tf1.variable_scope("net", reuse=tf1.AUTO_REUSE):
            np.testing.assert_array_equal(scaled(inputs), scaled(inputs))
        tf1.train.get_or_create_global_step()
        with tf.Graph().as_default():
            scaled(inputs)
    shim.uninstall()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scaled(inputs)


@pytest.mark.parametrize(
    "code",
    [
        lambda x: tf1.layers.conv2d(x, 2, 3),
        lambda x: slim.batch_norm(x),
        lambda x: tf1.keras.utils.get_or_create_layer("dense", lambda: keras.layers.Dense(2)),
    ],
    ids=["layers", "slim", "utilities"],
)
def test_g19_what_is_missing_without_install_says_what_to_call(code):
    class Net(tf.Module):
        @shim.track_tf1_style_variables
        def __call__(self, inputs):
            with tf1.variable_scope("net"):
                return code(inputs)

    shim.uninstall()
    with pytest.raises((AttributeError, ImportError), match=r"\. TF1's .* after shim\.install\(\)"):
        Net()(IMAGES)


def test_g19_integer_images_say_what_to_do():
    images = tf.cast(IMAGES, tf.uint8)
    for code in (lambda x: tf1.layers.conv2d(x, 2, 3), lambda x: slim.conv2d(x, 2, 3)):

        class Net(keras.Layer):
            @shim.track_tf1_style_variables
            def call(self, inputs, code=code):
                with tf1.variable_scope("net"):
                    return code(inputs)

        with pytest.raises(TypeError, match=r"floating-point inputs, got uint8\. Cast the inputs"):
            Net(autocast=False)(images)


def test_g19_tf1_layers_outside_of_a_decorated_method_say_what_to_do():
    message = r"'net/conv2d'.*outside of a decorated method"
    with tf1.variable_scope("net"), pytest.raises(RuntimeError, match=message):
        tf1.layers.conv2d(tf.constant(IMAGES), 2, 3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_in_half_and_keeps_float32(policy):
    layer, reference = SlimNet(dtype=policy), SlimNet()
    layer(IMAGES)
    reference(IMAGES)
    for variable, value in zip(layer.weights, reference.weights, strict=True):
        variable.assign(value)
    outputs = layer(IMAGES)
    assert outputs.dtype == policy.removeprefix("mixed_")
    assert {v.dtype for v in layer.weights} == {"float32"}
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), reference(IMAGES), atol=0.1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(IMAGES, training=True), tf.float32))
    gradients = tape.gradient(loss, layer.trainable_weights)
    assert {g.dtype.name for g in gradients} == {"float32"}
