"""G19: misuse is a clear error that says what to do, and errors end at the user's line."""

import traceback
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1
INPUTS = np.ones([2, 3], "float32")


class Runs(keras.Layer):
    """A layer whose forward pass is the function given."""

    def __init__(self, code):
        super().__init__()
        self.code = code

    @shim.track_tf1_style_variables
    def call(self, inputs):
        return self.code(inputs)


class RunsModule(tf.Module):
    def __init__(self, code):
        super().__init__()
        self.code = code

    @shim.track_tf1_style_variables
    def __call__(self, inputs):
        return self.code(inputs)


both_ways = pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "tf.function"])
owners = pytest.mark.parametrize("owner", [Runs, RunsModule], ids=["layer", "module"])


def innermost_line(error):
    return traceback.extract_tb(error.__traceback__)[-1].line


def test_g19_an_object_that_cannot_track():
    class Net:
        @shim.track_tf1_style_variables
        def __call__(self, inputs):
            return inputs

    with pytest.raises(TypeError, match=r"of Net, which is neither a keras.Layer nor a tf.Module"):
        Net()(INPUTS)


def test_g19_a_sequential_model_has_no_room_for_variables():
    class Net(keras.Sequential):
        @shim.track_tf1_style_variables
        def call(self, inputs, training=None, mask=None):
            return shim.layers.dense(super().call(inputs), 2)

    with pytest.raises(TypeError, match=r"(?s)of Net, a Sequential model: .* keras.Model and have"):
        Net([keras.layers.Dense(3)])(INPUTS)


def test_g19_a_generator_would_run_after_its_call():
    def generator(self):
        yield tf1.get_variable("v", [1])

    async def coroutine(self):
        return tf1.get_variable("v", [1])

    for method in (generator, coroutine, tf.function(generator)):
        with pytest.raises(TypeError, match=r"decorates .*, a generator or coroutine: .* at once"):
            shim.track_tf1_style_variables(method)


def test_g19_get_or_create_layer_outside_of_a_decorated_method():
    with pytest.raises(RuntimeError, match=r"get_or_create_layer\('dense'.* make the layer in"):
        shim.get_or_create_layer("dense", lambda: keras.layers.Dense(1))


def test_g19_a_tf1_layer_outside_of_a_decorated_method():
    with pytest.raises(RuntimeError, match=r"'dense'.* outside of a decorated method"):
        shim.layers.dense(INPUTS, 2)


def shim_frames(frames):
    return [f for f in frames if "/shim/" in f.filename and "/tests/" not in f.filename]


@pytest.mark.parametrize(
    "code",
    [
        lambda x: shim.layers.dense(x, 2),
        lambda x: shim.layers.Dense(2)(x),
        lambda x: shim.layers.conv2d(x, 2, 3),
        lambda x: shim.layers.max_pooling2d(x, 2, 2),
    ],
    ids=["function", "object", "shape of inputs", "without weights"],
)
def test_g19_misuse_outside_of_a_decorated_method_ends_at_the_users_line(code):
    with pytest.raises((RuntimeError, ValueError)) as caught:
        code(tf.constant(INPUTS))
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert frames[-2].line.lstrip().startswith("lambda x: shim.layers.")
    assert len(shim_frames(frames)) == 1


@owners
def test_g19_an_error_in_a_function_names_the_users_lines_alone(owner):
    nested = tf.function(lambda x: x * tf1.get_variable("scale", []))
    for code in (lambda x: nested(x), lambda x: tf1.get_variable("v")):
        net = owner(code)
        with pytest.raises((RuntimeError, ValueError)) as caught:
            tf.function(lambda x, net=net: net(x))(tf.constant(INPUTS))
        assert "Variable " in str(caught.value)
        assert "/tests/shim/errors_test.py" in str(caught.value)
        assert "/shim/" not in str(caught.value).replace("/tests/shim/", "")


@both_ways
@owners
def test_g19_a_variable_of_a_nested_function(run, owner):
    nested = tf.function(lambda x: x * tf1.get_variable("scale", []))
    net = owner(lambda x: nested(x))
    with pytest.raises(Exception, match=r"Variable scale .* in the tf.function <lambda> inside"):
        run(lambda x: net(x))(tf.constant(INPUTS))


def test_g19_a_nested_function_may_use_variables_asked_for_before_it():
    nested = tf.function(lambda x, scale: x * scale)
    layer = Runs(lambda x: nested(x, tf1.get_variable("scale", [], initializer=2.0)))
    with pytest.raises(ValueError, match="a constant initializer brings its own shape"):
        layer(INPUTS)
    layer = Runs(lambda x: nested(x, tf1.get_variable("scale", initializer=2.0)))
    np.testing.assert_array_equal(layer(INPUTS), INPUTS * 2)


@both_ways
def test_g19_branches_and_loops_are_no_nested_functions(run):
    def code(inputs):
        def step(index, x):
            return index + 1, x * tf1.get_variable("step", [], initializer=tf1.ones_initializer())

        _, looped = tf.while_loop(lambda index, x: index < 3, step, [tf.constant(0), inputs])
        return tf.cond(
            tf.reduce_sum(looped) > 0,
            lambda: looped * tf1.get_variable("yes", [], initializer=tf1.constant_initializer(2.0)),
            lambda: looped * tf1.get_variable("no", [], initializer=tf1.constant_initializer(3.0)),
        )

    layer = Runs(code)
    call = run(lambda x: layer(x))
    np.testing.assert_array_equal(call(tf.constant(INPUTS)), INPUTS * 2)
    np.testing.assert_array_equal(call(tf.constant(-INPUTS)), -INPUTS * 3)
    assert {v.path for v in layer.weights} == {"step", "yes", "no"}


def test_g19_a_decorated_method_may_be_a_function_itself():
    class Module(tf.Module):
        @shim.track_tf1_style_variables
        @tf.function
        def __call__(self, inputs):
            return inputs * tf1.get_variable("scale", [], initializer=tf1.ones_initializer())

    first, second = Module(), Module()
    for module in (first, second):
        np.testing.assert_array_equal(module(tf.constant(INPUTS)), INPUTS)
    first.variables[0].assign(5.0)
    np.testing.assert_array_equal(second(tf.constant(INPUTS)), INPUTS)


@owners
def test_g19_automatic_names_without_a_scope_warn_once(owner):
    class Net(owner):
        pass

    def code(inputs):
        return shim.layers.dense(shim.layers.dense(inputs, 3), 3)

    with pytest.warns(
        UserWarning, match=r"^Net makes .* \(dense, dense_1, .*variable_scope\("
    ) as w:
        _ = [net(INPUTS) for net in (Net(code), Net(code)) for _ in range(2)]
    assert len(w) == 1
    assert w[0].filename == __file__


def test_g19_automatic_names_in_a_scope_do_not_warn():
    class Net(Runs):
        pass

    def code(inputs):
        with tf1.variable_scope("net"):
            return shim.layers.dense(inputs, 3)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Net(code)(INPUTS)
        with tf1.variable_scope("outer"):
            Net(lambda x: shim.layers.dense(x, 3))(INPUTS)


@both_ways
@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            lambda x: [tf1.get_variable("v", [2]), tf1.get_variable("v", [3])],
            r"net/v has shape \(2,\) and is now asked for with shape \(3,\)",
        ),
        (
            lambda x: [tf1.get_variable("v", [2]), tf1.get_variable("v", [2], tf.int32)],
            r"net/v has dtype float32 and is now asked for with dtype int32",
        ),
        (
            lambda x: tf1.get_variable("v"),
            r"net/v needs a fully defined shape, got None",
        ),
        (
            lambda x: tf1.get_variable("v", [None, 2]),
            r"net/v needs a fully defined shape, got \(None, 2\)",
        ),
        (
            lambda x: tf1.get_variable("v", [2], tf.complex64),
            r"net/v of dtype complex64 needs an initializer",
        ),
        (
            lambda x: tf1.get_variable("v", [2], custom_getter="none"),
            r"net/v: custom_getter must be callable, got 'none'",
        ),
    ],
    ids=["shape", "dtype", "no shape", "unknown shape", "initializer", "custom getter"],
)
def test_g19_errors_of_get_variable_name_the_variable_and_end_at_the_users_line(run, code, message):
    def scoped(inputs):
        with tf1.variable_scope("net"):
            code(inputs)
        return inputs

    layer = Runs(scoped)
    with pytest.raises(ValueError, match=message) as caught:
        run(lambda x: layer(x))(tf.constant(INPUTS))
    assert "get_variable" in innermost_line(caught.value)
    assert layer.weights == [] or [v.path for v in layer.weights] == ["net/v"]


def test_g19_inputs_of_another_shape_are_what_may_be_wrong():
    layer = Runs(lambda x: shim.layers.dense(x, 2, name="dense"))
    layer(INPUTS)
    message = r"(?s)dense/kernel has shape \(3, 2\) .* call the layer with inputs of the same shape"
    with pytest.raises(ValueError, match=message):
        layer(np.ones([2, 4], "float32"))


@both_ways
def test_g19_reuse_names_what_is_near(run):
    def code(inputs):
        with tf1.variable_scope("net"):
            tf1.get_variable("kernel", [3])
        with tf1.variable_scope("net", reuse=True):
            return tf1.get_variable("kernal", [3])

    layer = Runs(code)
    with pytest.raises(ValueError, match=r"net/kernal does not exist.*Near it: net/kernel\."):
        run(lambda x: layer(x))(tf.constant(INPUTS))


@owners
def test_g19_the_users_own_errors_pass_through_with_their_line_on_top(owner):
    inner = owner(lambda x: {}["missing"])
    with pytest.raises(KeyError, match="missing") as caught:
        owner(lambda x: inner(x))(INPUTS)
    assert innermost_line(caught.value) == 'inner = owner(lambda x: {}["missing"])'
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert sum("/shim/" in f.filename and "/tests/" not in f.filename for f in frames) <= 2


def test_g19_all_frames_are_there_where_tensorflow_is_asked_for_them():
    tf.debugging.disable_traceback_filtering()
    try:
        with pytest.raises(ValueError, match="shape") as caught:
            RunsModule(lambda x: tf1.get_variable("v"))(INPUTS)
    finally:
        tf.debugging.enable_traceback_filtering()
    assert "variable_store.py" in traceback.extract_tb(caught.value.__traceback__)[-1].filename


@owners
def test_g19_a_failed_call_leaves_nothing_behind(owner):
    def code(inputs):
        with tf1.variable_scope("net"):
            scale = tf1.get_variable("scale", [], initializer=tf1.ones_initializer())
            if inputs.shape[0] == 1:
                raise ValueError("no batch of one")
            return inputs * scale

    net = owner(code)
    with pytest.raises(ValueError, match="no batch of one"):
        net(INPUTS[:1])
    assert tf1.get_variable_scope().name == ""
    assert tf1.get_collection(tf1.GraphKeys.GLOBAL_VARIABLES) == []
    np.testing.assert_array_equal(net(INPUTS), INPUTS)
    assert len(net.variables) == 1
    with pytest.raises(RuntimeError):
        shim.layers.dense(INPUTS, 2)


def decorates_a_function():
    @shim.track_tf1_style_variables
    def net(inputs):
        return inputs

    return net(INPUTS)


def decorates_below_staticmethod():
    class Net(tf.Module):
        @staticmethod
        @shim.track_tf1_style_variables
        def forward(inputs):
            return inputs

    return Net().forward(INPUTS)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (decorates_a_function, r"decorates .*net, which was called as a function.* with self, of"),
        (decorates_below_staticmethod, r"decorates .*Net.forward, which was called as a function"),
        (
            lambda: shim.track_tf1_style_variables(staticmethod(len)),
            r"decorates <staticmethod.* no method of an object. .* decorate a method, with self",
        ),
        (lambda: shim.track_tf1_style_variables(Runs), r"decorates <class .*Runs.* no method"),
        (lambda: shim.track_tf1_style_variables("call"), r"decorates 'call', which is no method"),
        (lambda: shim.track_tf1_style_variables(), r"without parentheses: @track_tf1_style_var"),
    ],
    ids=["function", "below staticmethod", "static method", "class", "name", "parentheses"],
)
def test_g19_what_the_decorator_does_not_decorate(code, message):
    with pytest.raises(TypeError, match=message):
        code()


def test_g19_a_decorated_method_may_be_called_through_its_class():
    np.testing.assert_array_equal(RunsModule.__call__(RunsModule(lambda x: x + 1), INPUTS), 2)


@both_ways
@owners
def test_g19_a_layer_where_a_builder_belongs(run, owner):
    net = owner(lambda x: shim.get_or_create_layer("dense", keras.layers.Dense(2))(x))
    message = r"get_or_create_layer\('dense', ...\) got a Dense .* lambda: Dense\(\.\.\.\)"
    with pytest.raises(TypeError, match=message):
        run(lambda x: net(x))(tf.constant(INPUTS))


def runs_a_session(inputs):
    with tf1.Session() as session:
        return session.run(inputs)


@both_ways
@owners
@pytest.mark.parametrize(
    ("code", "message"),
    [
        (lambda x: x + tf1.placeholder(tf.float32, []), "placeholder.* an argument of the method"),
        (runs_a_session, "Session.* in a decorated method .* arguments of the method"),
    ],
    ids=["placeholder", "session"],
)
def test_g19_what_belongs_to_sessions_becomes_an_argument(run, owner, code, message):
    net = owner(code)
    with pytest.raises(RuntimeError, match=message):
        run(lambda x: net(x))(tf.constant(INPUTS))


@owners
def test_g19_a_graph_of_its_own_may_have_placeholders_and_a_session(owner):
    def code(inputs):
        with tf.Graph().as_default(), tf1.Session() as session:
            placeholder = tf1.placeholder(tf.float32, [])
            value = session.run(placeholder * 2, {placeholder: 3.0})
        return inputs + value

    np.testing.assert_array_equal(owner(code)(INPUTS), INPUTS + 6)
    with tf.Graph().as_default() as graph:
        tf1.placeholder(tf.float32, [])

    def session_of_a_graph(inputs):
        with tf1.Session(graph=graph):
            return inputs

    np.testing.assert_array_equal(owner(session_of_a_graph)(INPUTS), INPUTS)


@owners
@pytest.mark.parametrize("cell", ["BasicLSTMCell", "LSTMCell", "GRUCell", "MultiRNNCell"])
def test_g19_tf1_cells_are_left_out_and_say_what_to_take(owner, cell):
    net = owner(lambda x: getattr(tf1.nn.rnn_cell, cell)(2))
    with pytest.raises(AttributeError, match=f"{cell}.*write the cell with get_variable, or take"):
        net(INPUTS)


@both_ways
@owners
def test_g19_a_keras_layer_made_in_every_call_warns_once(run, owner):
    class Net(owner):
        pass

    def code(inputs):
        return keras.layers.Dense(2, name="head")(inputs)

    message = r"^The Keras layer 'head' \(Dense\) .* method of Net.* get_or_create_layer\(\"head\","
    calls = [run(lambda x, net=net: net(x)) for net in (Net(code), Net(code))]
    with pytest.warns(UserWarning, match=message) as caught:
        _ = [call(tf.constant(INPUTS[:rows])) for call in calls for rows in (2, 1)]
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert caught[0].lineno == code.__code__.co_firstlineno + 1


class HoldsLayers(keras.Layer):
    """Makes layers in every allowed place, none of them decorated."""

    def build(self, input_shape):
        self.late = keras.layers.Dense(3)

    def call(self, inputs):
        return self.late(inputs)


@both_ways
@owners
def test_g19_keras_layers_that_something_keeps_do_not_warn(run, owner):
    outside, holder = keras.layers.Dense(3), HoldsLayers()

    class Net(owner):
        def __init__(self, code):
            super().__init__(code)
            self.early, self.late, self.others = keras.layers.Dense(3), None, []
            self.module = tf.Module()
            self.module.dense = HoldsLayers()

    def code(inputs):
        if net.late is None:
            net.late = keras.layers.Dense(3)
            net.others.append(keras.Sequential([keras.layers.Dense(3), HoldsLayers()]))
        made = shim.get_or_create_layer("made", HoldsLayers)
        inputs = keras.layers.Dropout(0.5)(keras.layers.Flatten()(inputs))
        for layer in (outside, holder, net.early, net.late, net.others[0], net.module.dense, made):
            inputs = layer(inputs)
        return inputs

    net = Net(code)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call = run(lambda x: net(x))
        for _ in range(2):
            call(tf.constant(INPUTS))


@both_ways
@owners
def test_g12_a_forgotten_record_scope_warns_once(run, owner):
    class Net(owner):
        pass

    def code(inputs, recorded=False):
        with tf1.variable_scope("net"):
            inputs = shim.get_or_create_layer("dense", lambda: keras.layers.Dense(3))(inputs)
            if recorded:
                shim.record_scope("dense")
            return shim.layers.dense(inputs, 2)

    message = r"^Net has two weights called net/dense/kernel, .* put record_scope\('dense'\) beside"
    calls = [run(lambda x, net=net: net(x)) for net in (Net(code), Net(code))]
    with pytest.warns(UserWarning, match=message) as caught:
        _ = [call(tf.constant(INPUTS)) for call in calls for _ in range(2)]
    assert len(caught) == 1

    class RecordingNet(owner):
        pass

    recording = RecordingNet(lambda x: code(x, recorded=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(lambda x: recording(x))(tf.constant(INPUTS))
