"""G4: what TF1's layers tell of themselves, and what is left out of that."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

shim.install()

tf1 = tf.compat.v1
layers = shim.layers
INPUTS = np.ones([2, 3], "float32")


class Keeps(keras.Layer):
    """Calls a TF1 layer that it keeps."""

    def __init__(self, layer, **arguments):
        super().__init__(**arguments)
        self.layer = layer

    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf1.variable_scope("net"):
            return self.layer(inputs)


def dense(**arguments):
    return layers.Dense(4, name="dense", **arguments)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_g04_weights_as_arrays(policy):
    owner = Keeps(dense(), dtype=policy)
    owner(INPUTS)
    kernel, bias = owner.layer.get_weights()
    np.testing.assert_array_equal(kernel, owner.weights[0])
    assert (kernel.shape, kernel.dtype, bias.shape) == ((3, 4), np.float32, (4,))
    owner.layer.set_weights([kernel + 1, bias + 2])
    np.testing.assert_array_equal(owner.weights[0], kernel + 1)
    np.testing.assert_array_equal(owner.weights[1], [2] * 4)
    assert owner.layer.count_params() == 3 * 4 + 4


def test_g04_weights_as_arrays_in_a_session():
    layer = dense()
    with tf.Graph().as_default() as graph:
        layer(tf.constant(INPUTS))
        assert layer.graph is graph
        with pytest.raises(RuntimeError, match="get_weights of layer dense needs a session"):
            layer.get_weights()
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel + 1, bias])
            np.testing.assert_array_equal(session.run(layer.kernel), kernel + 1)


def test_g04_weights_of_another_shape_are_refused():
    owner = Keeps(dense())
    owner(INPUTS)
    message = r"Layer dense has weights of the shapes \[\(3, 4\), \(4,\)\], got \[\(3, 4\)\]"
    with pytest.raises(ValueError, match=message):
        owner.layer.set_weights([np.ones([3, 4])])
    with pytest.raises(ValueError, match="Layer dense has no weights to count yet"):
        dense().count_params()


CONFIGURED = [
    layers.Dense(4, "relu", kernel_initializer="ones", name="dense"),
    layers.Conv2D(2, 3, padding="same", kernel_initializer="ones"),
    layers.SeparableConv2D(2, 3, depthwise_initializer="ones", pointwise_initializer="ones"),
    layers.Conv2DTranspose(2, 3, 2, kernel_initializer="ones", trainable=False),
    layers.BatchNormalization(momentum=0.9, renorm=True, name="norm"),
    layers.MaxPooling2D(2, 2),
    layers.Flatten(),
    layers.Dropout(0.2),
]


@pytest.mark.parametrize("layer", CONFIGURED, ids=lambda layer: type(layer).__name__)
def test_g04_a_layer_is_made_anew_by_its_config(layer):
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.name == layer.name
    images = np.random.default_rng(0).normal(size=(2, 5, 5, 3)).astype("float32")
    inputs = images[:, 0] if isinstance(layer, layers.Dense) else images
    first, second = Keeps(layer), Keeps(again)
    np.testing.assert_array_equal(first(inputs), second(inputs))
    assert [v.path for v in first.weights] == [v.path for v in second.weights]
    assert len(first.trainable_weights) == len(second.trainable_weights)


def test_g04_a_config_needs_the_arguments():
    class Scaled(layers.Layer):
        def __init__(self, factor):
            super().__init__()

    with pytest.raises(NotImplementedError, match=r"Scaled does not keep its argument\(s\) factor"):
        Scaled(2).get_config()


def test_g04_losses_and_updates_by_inputs():
    losses = {"kernel_regularizer": "l2", "activity_regularizer": tf.reduce_sum}
    owner = Keeps(dense(**losses))
    owner(INPUTS)
    layer = owner.layer
    assert len(layer.get_losses_for(None)) == len(layer.get_losses_for(INPUTS)) == 1
    np.testing.assert_allclose(layer.get_losses_for(None)[0], owner.losses[1])
    with tf.Graph().as_default():
        norm = layers.BatchNormalization()
        inputs = tf.constant(INPUTS)
        norm(inputs, training=True)
        assert norm.get_updates_for(inputs) == tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
        assert norm.get_updates_for(None) == []


def test_g04_inputs_are_checked_against_a_layers_own_input_spec():
    class OfTwo(layers.Layer):
        def __init__(self):
            super().__init__(name="of_two")
            self.input_spec = layers.InputSpec(ndim=2, axes={-1: 3})

        def call(self, inputs):
            return inputs

    np.testing.assert_array_equal(Keeps(OfTwo())(INPUTS), INPUTS)
    for inputs in (np.ones([2, 3, 3], "float32"), np.ones([2, 4], "float32")):
        with pytest.raises(ValueError, match="of_two is incompatible with the layer"):
            Keeps(OfTwo())(inputs)


@pytest.mark.parametrize("name", ["input", "output_shape", "get_output_at", "inbound_nodes"])
def test_g04_what_needs_the_tensors_of_a_call_is_left_out(name):
    owner = Keeps(dense())
    owner(INPUTS)
    with pytest.raises(AttributeError, match=f"dense keeps no tensors of its calls.*'{name}'"):
        getattr(owner.layer, name)
    assert not hasattr(owner.layer, "no_such_attribute")


def test_g04_a_graph_is_for_tf1_graphs():
    owner = Keeps(dense())
    owner(INPUTS)
    with pytest.raises(RuntimeError, match="dense has a graph only once it is called in a TF1 one"):
        _ = owner.layer.graph


@pytest.mark.parametrize("name", ["keras_style_scope", "set_keras_style"])
def test_g17_keras_style_is_left_out_by_a_clear_error(name):
    with pytest.raises(NotImplementedError, match=f"experimental.{name} makes layers that"):
        getattr(tf1.layers.experimental, name)()
