"""Dtype policies: a decorated layer computes and keeps its variables as Keras layers do."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

shim.install()

import tf_slim as slim  # noqa: E402

tf1 = tf.compat.v1

INPUTS = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
MIXED = {"mixed_float16": tf.float16, "mixed_bfloat16": tf.bfloat16}
RUNS = pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "tf.function"])


def layer_of(forward_pass, policy="mixed_float16", decorated=shim.track_tf1_style_variables):
    """A Keras layer, not yet called, whose `call` is some TF1 code."""

    class Layer(keras.Layer):
        @decorated
        def call(self, inputs):
            return forward_pass(inputs)

    return Layer(dtype=policy)


def half_sum(variable):
    return tf.reduce_sum(variable) / 2


def dense(inputs):
    """TF1 code that names no dtype."""
    with tf1.variable_scope("dense"):
        kernel = tf1.get_variable("kernel", [inputs.shape[-1], 4], regularizer=half_sum)
        bias = tf1.get_variable("bias", [4], initializer=tf1.ones_initializer())
        return tf.nn.relu(tf.matmul(inputs, kernel) + bias)


@RUNS
@pytest.mark.parametrize(
    ("policy", "compute", "kept"),
    [
        ("mixed_float16", tf.float16, "float32"),
        ("mixed_bfloat16", tf.bfloat16, "float32"),
        ("float16", tf.float16, "float16"),
        ("bfloat16", tf.bfloat16, "bfloat16"),
        ("float64", tf.float64, "float64"),
    ],
)
def test_a_decorated_layer_follows_its_policy_as_a_keras_layer_does(policy, compute, kept, run):
    native = keras.layers.Dense(4, "relu", dtype=policy)
    layer = layer_of(dense, policy)
    call, call_native = run(layer), run(native)
    call(INPUTS), call_native(INPUTS)
    native.set_weights([v.numpy() for v in layer.weights])
    outputs = call(INPUTS)
    assert outputs.dtype == compute
    assert [v.dtype for v in layer.weights] == [v.dtype for v in native.weights] == [kept] * 2
    np.testing.assert_array_equal(
        tf.cast(outputs, tf.float64), tf.cast(call_native(INPUTS), tf.float64)
    )


@RUNS
@pytest.mark.parametrize(("policy", "compute"), MIXED.items())
def test_tf1_code_gets_a_variable_that_reads_in_the_compute_dtype(policy, compute, run):
    seen = []

    def forward_pass(inputs):
        variable = tf1.get_variable(
            "scope/v", [2, 3], initializer=tf1.constant_initializer(1 + 2**-12)
        )
        seen.append(variable)
        read = [
            tf.convert_to_tensor(variable),
            variable.value(),
            variable.read_value(),
            variable + 0,
            0 + variable,
            variable * tf.ones([2, 3], variable.dtype),
            tf.ones([2, 3], variable.dtype) * variable,
            tf.identity(variable),
            variable[0],
            tf.gather(variable, [0]),
            variable.sparse_read([0]),
            variable.gather_nd([[0]]),
            tf.nn.embedding_lookup(variable, [1]),
            tf.stack([variable, variable]),
            tf.concat([variable, variable], 0),
            tf.cond(tf.reduce_sum(inputs) < 9, lambda: variable, lambda: -variable),
            tf.cast(inputs, variable.dtype),
        ]
        assert [tensor.dtype for tensor in read] == [compute] * len(read)
        return tf.add_n([tf.cast(tf.reduce_sum(t), tf.float32) for t in read[:-1]])

    layer = layer_of(forward_pass, policy)
    call = run(layer)
    np.testing.assert_array_equal(call(INPUTS), call(INPUTS))
    variable = seen[0]
    assert all(other is variable for other in seen)
    assert isinstance(variable, tf.Variable)
    assert tf.is_tensor(variable)
    assert (variable.name, variable.op.name) == ("scope/v:0", "scope/v")
    assert (variable.shape, variable.trainable) == ((2, 3), True)
    assert variable.dtype == compute
    # 1 + 2**-12 has more digits than either half precision type.
    assert np.all(variable.numpy() == 1)
    np.testing.assert_array_equal(layer.weights[0], np.full([2, 3], 1 + 2**-12, "float32"))


@RUNS
def test_an_op_that_asks_for_float32_gets_all_digits(run):
    def forward_pass(inputs):
        variable = tf1.get_variable("v", [], initializer=tf1.constant_initializer(1 + 2**-12))
        return tf.cast(inputs, tf.float32) * variable

    outputs = run(layer_of(forward_pass))(np.ones(1, "float32"))
    np.testing.assert_array_equal(outputs, np.float32(1 + 2**-12))


@RUNS
@pytest.mark.parametrize("dtype", [tf.float32, tf.float16])
def test_tf1_code_assigns_in_either_dtype(dtype, run):
    def forward_pass(inputs):
        variable = tf1.get_variable("v", [4], initializer=tf1.zeros_initializer())
        variable.assign(tf.fill([4], tf.constant(2, dtype)))
        variable.assign_add(tf.ones([4], dtype))
        variable.assign_sub(tf.fill([4], tf.constant(0.5, dtype)))
        tf1.assign_add(variable, tf.ones([4], dtype))
        variable.scatter_add(tf.IndexedSlices(tf.ones([1], dtype), [3]))
        variable.scatter_nd_update([[2]], tf.zeros([1], dtype))
        variable[0].assign(tf.constant(7, dtype))
        with tf.control_dependencies([variable.assign(variable)]):
            return tf.identity(inputs)

    layer = layer_of(forward_pass)
    run(layer)(INPUTS)
    np.testing.assert_array_equal(layer.weights[0], [7, 3.5, 0, 4.5])


@RUNS
def test_tf1s_functions_that_scatter_write_the_float32_variable(run):
    def forward_pass(inputs):
        variable = tf1.get_variable("v", [3, 2], initializer=tf1.constant_initializer(4.0))
        values = tf.ones([1, 2], variable.dtype)
        rows = [
            tf1.scatter_update(variable, [0], 3 * values),
            tf1.scatter_add(variable, [0], values),
            tf1.scatter_mul(variable, [0], 2 * values),
            tf1.scatter_sub(variable, [1], values),
            tf1.scatter_div(variable, [1], 2 * values),
            tf1.scatter_max(variable, [1], 0 * values),
            tf1.scatter_min(variable, [1], 0.5 * values),
            tf1.scatter_nd_update(variable, [[2]], 5 * values),
            tf1.scatter_nd_add(variable, [[2]], values),
            tf1.scatter_nd_sub(variable, [[2]], 2 * values),
        ]
        assert {row.dtype for row in rows} == {tf.float16}
        with tf.control_dependencies([row.value() for row in rows]):
            return inputs * tf.reduce_sum(rows[-1])

    layer = layer_of(forward_pass)
    run(layer)(INPUTS)
    np.testing.assert_array_equal(layer.weights[0], [[8, 8], [0.5, 0.5], [4, 4]])
    assert layer.weights[0].dtype == "float32"


@RUNS
def test_what_an_assignment_returns_reads_in_the_compute_dtype_too(run):
    def forward_pass(inputs):
        variable = tf1.get_variable("v", [3], initializer=tf1.zeros_initializer())
        return inputs * tf1.assign_add(variable, tf.ones([3], inputs.dtype))

    outputs = run(layer_of(forward_pass))(INPUTS)
    np.testing.assert_allclose(outputs, INPUTS, rtol=1e-3)


@RUNS
def test_a_function_inside_reads_a_variable_it_is_given_in_the_compute_dtype(run):
    traces = []

    @tf.function
    def scaled(inputs, variable):
        traces.append(variable.dtype)
        variable.assign_add(tf.ones([3], variable.dtype))
        return inputs * variable

    def forward_pass(inputs):
        first = tf1.get_variable("first", [3], initializer=tf1.zeros_initializer())
        second = tf1.get_variable("second", [3], initializer=tf1.ones_initializer())
        return scaled(scaled(inputs, first), second)

    layer = layer_of(forward_pass)
    call = run(lambda x: layer(x))
    np.testing.assert_allclose(call(INPUTS), 2 * INPUTS, rtol=1e-3)
    np.testing.assert_allclose(call(INPUTS), 6 * INPUTS, rtol=1e-3)
    first, second = (v.value for v in layer.weights)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(call(INPUTS), tf.float32))
    np.testing.assert_allclose(tape.gradient(loss, second), 3 * INPUTS.sum(0), rtol=1e-2, atol=0.02)
    assert (first.dtype, second.dtype) == (tf.float32, tf.float32)
    assert set(traces) == {tf.float16}
    assert len(traces) <= 4


@RUNS
def test_gradients_arrive_in_float32(run):
    layer = layer_of(dense)

    @run
    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(layer(INPUTS), tf.float32))
        return tape.gradient(loss, [v.value for v in layer.trainable_weights])

    layer(INPUTS)
    kernel, bias = gradients()
    assert (kernel.dtype, bias.dtype) == (tf.float32, tf.float32)
    active = np.float32(layer(INPUTS).numpy() > 0)
    np.testing.assert_allclose(bias, active.sum(0))
    np.testing.assert_allclose(kernel, INPUTS.T @ active, rtol=2e-2, atol=2e-2)


@RUNS
def test_gradients_by_tf1_code_itself(run):
    def forward_pass(inputs):
        variable = tf1.get_variable("v", [3], initializer=tf1.ones_initializer())
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(inputs * variable)
        return tape.gradient(loss, variable)

    gradient = run(layer_of(forward_pass))(INPUTS)
    assert gradient.dtype == tf.float32
    np.testing.assert_allclose(gradient, INPUTS.sum(0), rtol=1e-2)


def test_regularization_losses_are_computed_in_float32():
    layer = layer_of(dense)
    layer(INPUTS)
    kernel = layer.weights[0]
    kernel.assign(np.full([3, 4], 1 + 2**-12))
    (loss,) = layer.losses
    assert loss.dtype == tf.float32
    np.testing.assert_array_equal(loss, np.float32(6 * (1 + 2**-12)))


def test_tf1_code_finds_float32_variables_in_its_collections():
    def forward_pass(inputs):
        outputs = dense(inputs)
        assert [v.dtype for v in tf1.trainable_variables()] == [tf.float32] * 2
        with tf1.variable_scope("dense", reuse=True):
            kernel = tf1.get_variable("kernel", [3, 4])
        assert kernel.dtype == tf.float16
        assert kernel == tf1.trainable_variables()[0] == kernel
        assert kernel != tf1.trainable_variables()[1]
        assert kernel in tf1.trainable_variables()
        assert tf1.trainable_variables()[0] in {kernel: "found"}
        return outputs

    layer_of(forward_pass)(INPUTS)


@pytest.mark.parametrize(
    ("arguments", "read", "kept"),
    [
        ({"shape": [3], "dtype": tf.float32}, tf.float32, "float32"),
        ({"shape": [3], "dtype": tf.float16}, tf.float16, "float32"),
        ({"shape": [3], "dtype": tf.bfloat16}, tf.bfloat16, "bfloat16"),
        ({"shape": [3], "dtype": tf.float64}, tf.float64, "float64"),
        ({"shape": [3], "dtype": tf.int32}, tf.int32, "int32"),
        ({"initializer": np.ones(3, "float32")}, tf.float16, "float32"),
        ({"initializer": np.ones(3, "float16")}, tf.float16, "float32"),
        ({"initializer": np.ones(3, "float64")}, tf.float64, "float64"),
        ({"initializer": [1, 2, 3]}, tf.int32, "int32"),
        ({"initializer": [0.5, 2, 3]}, tf.float16, "float32"),
    ],
    ids=str,
)
def test_a_dtype_that_tf1_code_names_is_heard(arguments, read, kept):
    def forward_pass(inputs):
        variable = tf1.get_variable("v", **arguments)
        assert variable.dtype == read
        return inputs * tf.cast(variable, inputs.dtype)

    layer = layer_of(forward_pass)
    for _ in range(2):
        assert layer(INPUTS).dtype == tf.float16
    assert layer.weights[0].dtype == kept


def test_a_dtype_set_on_a_scope_is_heard():
    def forward_pass(inputs):
        with tf1.variable_scope("exact", dtype=tf.float32):
            exact = tf1.get_variable("v", [3])
            with tf1.variable_scope("inner"):
                inner = tf1.get_variable("v", [3])
        assert (exact.dtype, inner.dtype) == (tf.float32, tf.float32)
        assert tf1.get_variable("v", [3]).dtype == tf.float16
        return inputs

    layer_of(forward_pass)(INPUTS)


def test_plain_variables_and_partitioned_ones_follow_the_policy_too():
    def forward_pass(inputs):
        plain = tf.Variable(tf.ones([3, 4]), name="plain")
        parts = tf1.get_variable(
            "parts",
            [4, 4],
            partitioner=tf1.fixed_size_partitioner(2),
            initializer=tf1.zeros_initializer,
        )
        return tf.matmul(tf.matmul(inputs, plain), parts)

    layer = layer_of(forward_pass)
    assert layer(INPUTS).dtype == layer(INPUTS).dtype == tf.float16
    assert [v.dtype for v in layer.weights] == ["float32"] * 3


def test_every_layer_follows_its_own_policy_and_a_module_the_layers_it_is_called_in():
    class Module(tf.Module):
        @shim.track_tf1_style_variables
        def __call__(self, inputs):
            with tf1.variable_scope("module"):
                return dense(inputs)

    module, exact = Module(), layer_of(dense, "float32")

    def forward_pass(inputs):
        with tf1.variable_scope("outer"):
            outputs = module(dense(inputs))
            assert outputs.dtype == tf.float16
            assert exact(outputs).dtype == tf.float32
            assert dense(outputs[:, :3]).dtype == tf.float16
        return outputs

    outer = layer_of(forward_pass)
    outer(INPUTS)
    outer(INPUTS)
    kept = [*outer.weights, *exact.weights]
    assert [v.dtype for v in kept] == ["float32"] * 4
    assert [v.dtype for v in module.variables] == [tf.float32] * 2
    alone = Module()
    assert alone(tf.constant(INPUTS)).dtype == tf.float32


def slim_net(images, is_training):
    with slim.arg_scope(
        [slim.conv2d, slim.fully_connected],
        normalizer_fn=slim.batch_norm,
        normalizer_params={"is_training": is_training, "scale": True, "decay": 0.5},
        weights_regularizer=slim.l2_regularizer(0.1),
    ):
        net = slim.conv2d(images, 4, 3, scope="conv")
        net = slim.flatten(slim.avg_pool2d(net, 2))
        return slim.fully_connected(net, 2, scope="logits")


class SlimModel(keras.Model):
    @shim.track_tf1_style_variables
    def call(self, images, training=False):
        with tf1.variable_scope("net"):
            return slim_net(images, training)


IMAGES = np.random.default_rng(1).normal(size=(16, 8, 8, 3)).astype("float32")
TARGETS = np.stack([IMAGES.mean((1, 2, 3)), IMAGES.std((1, 2, 3))], 1)


@pytest.mark.parametrize(("policy", "compute"), MIXED.items())
def test_slim_with_batch_norm(policy, compute):
    exact, mixed = SlimModel(), SlimModel(dtype=policy)
    exact(IMAGES), mixed(IMAGES)
    assert {v.dtype for v in mixed.weights} == {"float32"}
    mixed.set_weights(exact.get_weights())
    outputs = mixed(IMAGES, training=True)
    assert outputs.dtype == compute
    np.testing.assert_allclose(
        tf.cast(outputs, tf.float32), exact(IMAGES, training=True), atol=0.05
    )
    for of_mixed, of_exact in zip(mixed.weights, exact.weights, strict=True):
        assert of_mixed.path == of_exact.path
        np.testing.assert_allclose(of_mixed, of_exact, rtol=2e-2, atol=2e-2)
    np.testing.assert_array_equal(mixed.losses, exact.losses)


def test_loss_scaling_in_fit():
    class Spike(keras.Model):
        """Its gradient overflows float16 in the first steps, until the scale has come down."""

        @shim.track_tf1_style_variables
        def call(self, inputs):
            return dense(inputs)

    model = Spike(dtype="mixed_float16")
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(1e-3), initial_scale=2.0**20
    )
    model.compile(optimizer, "mse")
    model.fit(INPUTS, np.ones([6, 4]), epochs=1, verbose=0)
    before = model.get_weights()
    assert optimizer.dynamic_scale.numpy() < 2.0**20, "the first gradient is infinite"
    model.fit(INPUTS, np.ones([6, 4]), epochs=12, verbose=0)
    assert np.all(np.isfinite(np.concatenate([v.ravel() for v in model.get_weights()])))
    assert not np.array_equal(before[0], model.get_weights()[0])
    assert optimizer.dynamic_scale.numpy() >= 1


@pytest.mark.parametrize("policy", MIXED)
def test_fit_learns_under_a_mixed_policy(policy):
    model = SlimModel(dtype=policy)
    model.compile(keras.optimizers.Adam(0.02), "mse")
    if policy == "mixed_float16":
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    losses = model.fit(IMAGES, TARGETS, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@RUNS
def test_under_a_strategy(run):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = layer_of(dense)

    @run
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(layer(INPUTS), tf.float32))
        return tape.gradient(loss, [v.value for v in layer.trainable_weights])

    for of_replicas in strategy.run(step):
        gradients = strategy.experimental_local_results(of_replicas)
        assert [g.dtype for g in gradients] == [tf.float32] * 2
        np.testing.assert_array_equal(*gradients)
    for variable in layer.weights:
        replicas = strategy.experimental_local_results(variable.value)
        assert [v.dtype for v in replicas] == [tf.float32] * 2


@RUNS
def test_tf1_code_assigns_under_a_strategy(run):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    def forward_pass(inputs):
        average = tf1.get_variable(
            "average",
            [],
            trainable=False,
            initializer=tf1.zeros_initializer(),
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.MEAN,
        )
        average.assign(tf.reduce_mean(inputs))
        average.assign_add(tf.ones([], inputs.dtype))
        return inputs * average

    with strategy.scope():
        layer = layer_of(forward_pass)

    @run
    def step():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return layer(tf.fill([2], tf.cast(replica, tf.float32)))

    strategy.run(step)
    assert layer.weights[0].numpy() == 1.5


def test_a_variable_kept_as_an_attribute_is_saved_once(tmp_path):
    class Policy(keras.Model):
        """The way of classes in TF1: what the forward pass makes stays at hand."""

        @shim.track_tf1_style_variables
        def call(self, inputs):
            self.kernel = tf1.get_variable("kernel", [3, 4])
            return tf.matmul(inputs, self.kernel)

    model, other = Policy(dtype="mixed_float16"), Policy(dtype="mixed_float16")
    expected = model(INPUTS)
    assert not np.array_equal(other(INPUTS), expected)
    assert [v.path for v in model.weights] == ["kernel"]
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=other).read(path).assert_consumed()
    np.testing.assert_array_equal(other(INPUTS), expected)


def test_g15_a_tf1_layer_kept_as_an_attribute_is_saved_and_exported(tmp_path):
    class Keeps(keras.Layer):
        def __init__(self):
            super().__init__(dtype="mixed_bfloat16")
            self.dense = shim.layers.Dense(4, name="dense")

        @shim.track_tf1_style_variables
        def call(self, inputs):
            with tf1.variable_scope("net"):
                return self.dense(inputs)

    models = [keras.Sequential([keras.Input([3]), Keeps()]) for _ in range(2)]
    expected = models[0](INPUTS)
    path = tf.train.Checkpoint(model=models[0]).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=models[1]).read(path).assert_consumed()
    np.testing.assert_array_equal(models[1](INPUTS), expected)
    models[0].export(tmp_path / "export", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "export"))
    np.testing.assert_array_equal(exported.serve(INPUTS), expected)


def test_saved_and_exported_models_give_the_same_outputs(tmp_path):
    model = keras.Sequential([keras.Input([8, 8, 3]), SlimModel(dtype="mixed_float16")])
    expected = model(IMAGES).numpy()
    model.export(tmp_path / "export", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "export"))
    np.testing.assert_allclose(exported.serve(IMAGES), expected, rtol=2e-3, atol=2e-3)
    model.save_weights(tmp_path / "model.weights.h5")
    exact = keras.Sequential([keras.Input([8, 8, 3]), SlimModel()])
    exact.load_weights(tmp_path / "model.weights.h5")
    for mixed_weight, weight in zip(model.weights, exact.weights, strict=True):
        np.testing.assert_array_equal(mixed_weight, weight)
