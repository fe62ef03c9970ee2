"""G6: `variable_scope` and `get_variable` inside a decorated method mean what they mean in TF1."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1


class Runs(keras.Layer):
    """Runs TF1 code given as a function of the inputs."""

    def __init__(self, code):
        super().__init__()
        self.code = code

    @shim.track_tf1_style_variables
    def call(self, inputs):
        return self.code(inputs)


def names_made_by(code, calls=2, wrap=lambda f: f):
    """Names of the variables that TF1 code makes; asserts that later calls make no others."""
    layer = Runs(code)
    call = wrap(lambda x: layer(x))
    call(tf.ones([2, 3]))
    names = [v.path for v in layer.weights]
    for _ in range(calls - 1):
        call(tf.ones([4, 3]))
    assert [v.path for v in layer.weights] == names
    return names


def scalar(name="v", **arguments):
    return tf1.get_variable(name, [], **arguments)


both_modes = pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])


@both_modes
class TestNames:
    def test_g06_scopes_nest(self, wrap):
        def code(x):
            with tf1.variable_scope("a"), tf1.variable_scope("b/c"):
                return x * scalar()

        assert names_made_by(code, wrap=wrap) == ["a/b/c/v"]

    @pytest.mark.filterwarnings("ignore:Runs makes variables under automatic names")
    def test_g06_default_names_count_up_and_start_anew_each_call(self, wrap):
        def code(x):
            for _ in range(3):
                with tf1.variable_scope(None, default_name="unit"):
                    x *= scalar()
            return x

        assert names_made_by(code, 3, wrap) == ["unit/v", "unit_1/v", "unit_2/v"]

    def test_g06_name_scopes_do_not_count(self, wrap):
        def code(x):
            with tf1.variable_scope("a"), tf.name_scope("tower"):
                return x * scalar()

        assert names_made_by(code, wrap=wrap) == ["a/v"]

    def test_g06_reentering_by_object_leaves_the_enclosing_scope(self, wrap):
        def code(x):
            with tf1.variable_scope("a") as scope:
                x *= scalar("first")
            with tf1.variable_scope("b"), tf1.variable_scope(scope, auxiliary_name_scope=False):
                return x * scalar("second")

        assert names_made_by(code, wrap=wrap) == ["a/first", "a/second"]

    def test_g06_auto_reuse_shares(self, wrap):
        def code(x):
            for _ in range(2):
                with tf1.variable_scope("tower", reuse=tf1.AUTO_REUSE):
                    x *= scalar()
            return x

        assert names_made_by(code, wrap=wrap) == ["tower/v"]

    def test_g06_reuse_true_shares(self, wrap):
        def code(x):
            with tf1.variable_scope("tower"):
                first = scalar()
            with tf1.variable_scope("tower", reuse=True):
                second = scalar()
            assert first is second
            return x * first

        assert names_made_by(code, wrap=wrap) == ["tower/v"]

    def test_g06_reuse_true_asks_for_an_existing_variable(self, wrap):
        def code(x):
            with tf1.variable_scope("tower"):
                scalar("weights")
            with tf1.variable_scope("tower", reuse=True):
                return x * scalar("weight")

        with pytest.raises(ValueError, match=r"tower/weight does not exist(.|\n)*tower/weights"):
            names_made_by(code, wrap=wrap)

    def test_g06_reuse_variables_holds_for_the_rest_of_the_scope(self, wrap):
        def code(x):
            with tf1.variable_scope("tower") as scope:
                x *= scalar()
                scope.reuse_variables()
                assert scope.reuse is True
                x *= scalar()
                return x * scalar("other")

        with pytest.raises(ValueError, match="tower/other does not exist"):
            names_made_by(code, wrap=wrap)

    def test_g06_reuse_is_inherited(self, wrap):
        def code(x):
            with tf1.variable_scope("a"), tf1.variable_scope("b"):
                scalar()
            with tf1.variable_scope("a", reuse=True), tf1.variable_scope("b"):
                assert tf1.get_variable_scope().reuse is True
                return x * scalar()

        assert names_made_by(code, wrap=wrap) == ["a/b/v"]

    def test_g06_reuse_false_creates_or_gets(self, wrap):
        def code(x):
            with tf1.variable_scope("a", reuse=False):
                return x * scalar()

        assert names_made_by(code, wrap=wrap) == ["a/v"]

    def test_g06_enclosing_scope_prefixes_the_names(self, wrap):
        layer = Runs(lambda x: x * scalar("kernel"))
        with tf1.variable_scope("outer"):
            wrap(lambda x: layer(x))(tf.ones([2, 3]))
        assert [v.path for v in layer.weights] == ["outer/kernel"]


@both_modes
class TestDefaultsOfTheScope:
    def test_g06_initializer_regularizer_and_dtype(self, wrap):
        def code(x):
            with tf1.variable_scope(
                "a",
                initializer=tf1.constant_initializer(3.0),
                regularizer=lambda v: 2 * v,
                dtype=tf.float64,
            ):
                inherited = scalar("inherited")
                own = scalar("own", initializer=tf1.ones_initializer(), dtype=tf.float32)
                return x * tf.cast(inherited, tf.float32) * own

        layer = Runs(code)
        np.testing.assert_allclose(wrap(lambda x: layer(x))(tf.ones([2])), [3, 3])
        assert [v.dtype for v in layer.weights] == ["float64", "float32"]
        np.testing.assert_allclose([float(loss) for loss in layer.losses], [6, 2])

    def test_g06_custom_getters_nest_inner_first(self, wrap):
        order = []

        def getter(label):
            def get(next_getter, name, *args, **kwargs):
                order.append((label, name))
                return next_getter(f"{name}_{label}", *args, **kwargs)

            return get

        def code(x):
            with (
                tf1.variable_scope("a", custom_getter=getter("outer")),
                tf1.variable_scope("b", custom_getter=getter("inner")),
            ):
                return x * scalar()

        assert names_made_by(code, 1, wrap) == ["a/b/v_inner_outer"]
        assert [label for label, _ in order[:2]] == ["inner", "outer"]

    def test_g06_a_custom_getter_may_change_the_value(self, wrap):
        def equalized(getter, name, *args, **kwargs):
            return getter(name, *args, **kwargs) * 0.5

        def code(x):
            with tf1.variable_scope("a", custom_getter=equalized):
                return x * scalar(initializer=tf1.ones_initializer())

        layer = Runs(code)
        np.testing.assert_allclose(wrap(lambda x: layer(x))(tf.ones([2])), [0.5, 0.5])
        np.testing.assert_allclose(layer.weights[0], 1.0)

    def test_g06_partitioner(self, wrap):
        def code(x):
            with tf1.variable_scope("a", partitioner=tf1.fixed_size_partitioner(2, axis=0)):
                kernel = tf1.get_variable("kernel", [3, 5])
            return tf.matmul(x, tf.convert_to_tensor(kernel))

        layer = Runs(code)
        call = wrap(lambda x: layer(x))
        first = call(tf.ones([2, 3]))
        np.testing.assert_array_equal(first, call(tf.ones([2, 3])))
        assert [(v.path, tuple(v.shape)) for v in layer.weights] == [
            ("a/kernel/part_0", (2, 5)),
            ("a/kernel/part_1", (1, 5)),
        ]

    def test_g06_partitions_train_and_are_regularized_each(self, wrap):
        partitioner = tf1.fixed_size_partitioner(2, axis=0)

        def code(x):
            kernel = tf1.get_variable(
                "kernel",
                [3, 2],
                initializer=tf1.ones_initializer(),
                regularizer=tf.reduce_sum,
                partitioner=partitioner,
            )
            return tf.matmul(x, tf.convert_to_tensor(kernel))

        layer = Runs(code)

        def gradients(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(x))
            return tape.gradient(loss, [v.value for v in layer.trainable_weights])

        wrap(lambda x: layer(x))(tf.ones([4, 3]))
        assert [v.path for v in layer.weights] == ["kernel/part_0", "kernel/part_1"]
        assert [float(loss) for loss in layer.losses] == [4.0, 2.0]
        first, second = wrap(gradients)(tf.ones([4, 3]))
        np.testing.assert_array_equal(first, np.full([2, 2], 4.0))
        np.testing.assert_array_equal(second, np.full([1, 2], 4.0))

    def test_g06_auxiliary_name_scope_is_no_part_of_variable_names(self, wrap):
        op_scopes = []

        def code(x):
            with tf1.variable_scope("a") as scope:
                pass
            with tf1.variable_scope(scope, auxiliary_name_scope=False):
                op_scopes.append(tf1.get_default_graph().get_name_scope())
                return x * scalar()

        assert names_made_by(code, wrap=wrap) == ["a/v"]
        assert not any(op_scope.endswith("a") for op_scope in op_scopes)

    def test_g06_synchronization_and_aggregation_are_as_asked(self, wrap):
        layer = Runs(
            lambda x: (
                x
                * scalar(
                    synchronization=tf.VariableSynchronization.ON_READ,
                    aggregation=tf.VariableAggregation.MEAN,
                )
            )
        )
        wrap(lambda x: layer(x))(tf.ones([2, 3]))
        assert layer.weights[0].value.aggregation == tf.VariableAggregation.MEAN
        assert layer.weights[0].value.synchronization == tf.VariableSynchronization.ON_READ
        assert layer.trainable_weights == []  # As in TF1: what is summed on reading is not trained.

    def test_g06_constraint_and_caching_device_are_accepted(self, wrap):
        def code(x):
            with tf1.variable_scope("a", caching_device="/CPU:0", constraint=tf.abs):
                return x * scalar()

        assert names_made_by(code, wrap=wrap) == ["a/v"]

    @pytest.mark.parametrize("device", ["/CPU:0", lambda op: op.device], ids=["name", "function"])
    def test_g06_a_cached_variable_has_its_new_value(self, device, wrap):
        layer = Runs(lambda x: x * tf1.get_variable("v", [], caching_device=device))
        call = wrap(lambda x: layer(x))
        call(tf.ones([2]))
        layer.weights[0].assign(5.0)
        np.testing.assert_array_equal(call(tf.ones([2])), [5.0, 5.0])

    @pytest.mark.parametrize(
        "loop",
        [
            lambda body, x: tf.map_fn(lambda row: body(row, 0.0), x),
            lambda body, x: tf.scan(lambda total, row: body(row, total), x, tf.zeros([2])),
            lambda body, x: tf.foldl(lambda total, row: body(row, total), x, tf.zeros([2])),
            lambda body, x: tf.foldr(lambda total, row: body(row, total), x, tf.zeros([2])),
            lambda body, x: tf.while_loop(
                lambda i, total: i < 3, lambda i, total: (i + 1, body(x[i], total)), [0, x[0]]
            )[1],
        ],
        ids=["map_fn", "scan", "foldl", "foldr", "while_loop"],
    )
    def test_g06_variables_are_made_in_loops(self, loop, wrap):
        def code(x):
            with tf1.variable_scope("a"):
                ones = tf1.ones_initializer()
                return loop(
                    lambda row, total: row * tf1.get_variable("v", [2], None, ones) + total, x
                )

        inputs = np.arange(6, dtype="float32").reshape(3, 2)
        layer = Runs(code)
        call = wrap(lambda x: layer(x))
        call(inputs)
        layer.weights[0].assign([3.0, 5.0])
        expected = loop(lambda row, total: row * np.float32([3, 5]) + total, inputs)
        np.testing.assert_array_equal(call(inputs), expected)
        assert [v.path for v in layer.weights] == ["a/v"]


@pytest.mark.parametrize(
    "initializer",
    [
        tf1.ones_initializer,
        tf1.ones_initializer(),
        keras.initializers.Ones(),
        "ones",
        lambda shape, dtype, partition_info=None: tf.ones(shape, dtype),
    ],
    ids=["class", "instance", "keras", "string", "callable"],
)
@both_modes
def test_g06_initializers_with_a_shape(initializer, wrap):
    layer = Runs(lambda x: x * tf1.get_variable("v", [3], initializer=initializer))
    np.testing.assert_array_equal(wrap(lambda x: layer(x))(tf.ones([2, 3])), np.ones([2, 3]))


@pytest.mark.parametrize(
    "initializer",
    [np.ones([3], "float32"), [1.0, 1.0, 1.0], lambda: tf.ones([3]), "tensor"],
    ids=["array", "list", "callable", "tensor"],
)
@both_modes
def test_g06_initializers_that_bring_their_shape(initializer, wrap):
    def code(x):
        # A tensor made in the forward pass, where inside tf.function it is symbolic.
        value = tf.ones([3]) if isinstance(initializer, str) else initializer
        return x * tf1.get_variable("v", initializer=value)

    layer = Runs(code)
    np.testing.assert_array_equal(wrap(lambda x: layer(x))(tf.ones([2, 3])), np.ones([2, 3]))


def test_g06_another_shape_is_an_error_that_names_both():
    def code(x):
        with tf1.variable_scope("a", reuse=tf1.AUTO_REUSE):
            tf1.get_variable("v", [3, 4])
            return tf1.get_variable("v", [3, 5])

    with pytest.raises(ValueError, match=r"a/v has shape \(3, 4\).*shape \(3, 5\)"):
        names_made_by(code)


def test_g06_another_dtype_is_an_error_that_names_both():
    def code(x):
        with tf1.variable_scope("a", reuse=tf1.AUTO_REUSE):
            scalar()
            return scalar(dtype=tf.int32)

    with pytest.raises(ValueError, match=r"a/v has dtype float32.*dtype int32"):
        names_made_by(code)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": [None, 3]}, r"needs a fully defined shape, got \(None, 3\)"),
        ({}, "needs a fully defined shape, got None"),
        ({"shape": [2], "initializer": np.ones([2])}, "brings its own shape"),
        ({"shape": [], "dtype": tf.complex64}, "complex64 needs an initializer"),
        ({"shape": [], "custom_getter": "name"}, "custom_getter must be callable"),
    ],
)
def test_g06_what_cannot_be_made_says_why(arguments, message):
    with pytest.raises(ValueError, match=message):
        names_made_by(lambda x: tf1.get_variable("v", **arguments))


def test_g06_outside_of_a_decorated_method_scopes_are_tensorflows_own():
    before = tf1.VariableScope
    names_made_by(lambda x: x * scalar())
    from tensorflow.python.ops import variable_scope

    assert variable_scope.VariableScope is before


def test_g06_reuse_does_not_depend_on_what_was_asked_before():
    seen = []

    def code(x):
        with tf1.variable_scope("a") as scope:
            seen.append((tf1.get_variable_scope().reuse, scope.reuse))
        with tf1.variable_scope("a", reuse=tf1.AUTO_REUSE) as scope:
            seen.append(scope.reuse)
        return x

    for prepare in (lambda: None, tf1.get_variable_scope):
        prepare()
        seen.clear()
        Runs(code)(tf.ones([1]))
        assert seen == [(False, False), tf1.AUTO_REUSE]
        seen.clear()
        with tf1.variable_scope("outer"):
            Runs(code)(tf.ones([1]))
        assert seen == [(False, False), tf1.AUTO_REUSE]


def test_g17_another_thread_outside_of_decorated_calls_sees_tensorflow_as_ever():
    inside, go_on = threading.Event(), threading.Event()

    def code(x):
        inside.set()
        assert go_on.wait(60)
        return x

    def facts():
        with tf1.variable_scope("x", reuse=False) as scope:
            return type(scope), scope.reuse, type(tf.ones([2]).shape[0]), hasattr(tf.ones([]), "op")

    expected = facts()
    thread = threading.Thread(target=Runs(code), args=[tf.ones([1])])
    thread.start()
    try:
        assert inside.wait(60)
        assert facts() == expected
    finally:
        go_on.set()
        thread.join()
