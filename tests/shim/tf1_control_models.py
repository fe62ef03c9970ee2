"""Models in plain TF1: policies, graph convolutions, generators, siamese nets, bare variables."""

import numpy as np
import tensorflow.compat.v1 as tf

# Policies in the manner of baselines: orthogonal initializers, a template, normalization by
# running sums in float64, and a target network that follows by assignments.


def ortho_init(scale=1.0):
    def initializer(shape, dtype, partition_info=None):
        shape = tuple(shape)
        flat = (int(np.prod(shape[:-1])), shape[-1])
        drawn = np.random.RandomState(0).normal(0.0, 1.0, flat)
        left, _, right = np.linalg.svd(drawn, full_matrices=False)
        matrix = left if left.shape == flat else right
        return (scale * matrix.reshape(shape)).astype(np.float32)

    return initializer


def conv(x, scope, *, filters, size, stride, scale=1.0, one_dim_bias=False):
    bias_shape = [filters] if one_dim_bias else [1, 1, 1, filters]
    kernel_shape = [size, size, x.get_shape()[3].value, filters]
    with tf.variable_scope(scope):
        kernel = tf.get_variable("w", kernel_shape, initializer=ortho_init(scale))
        bias = tf.get_variable("b", bias_shape, initializer=tf.constant_initializer(0.0))
        bias = tf.reshape(bias, [1, 1, 1, filters])
        return bias + tf.nn.conv2d(x, kernel, strides=[1, stride, stride, 1], padding="VALID")


def fc(x, scope, units, *, scale=1.0, bias=0.0):
    with tf.variable_scope(scope):
        inputs = x.get_shape()[1].value
        kernel = tf.get_variable("w", [inputs, units], initializer=ortho_init(scale))
        offset = tf.get_variable("b", [units], initializer=tf.constant_initializer(bias))
        return tf.matmul(x, kernel) + offset


class RunningMeanStd:
    """Mean and deviation of all that was seen, by running sums."""

    def __init__(self, shape=()):
        zeros = {"dtype": tf.float64, "initializer": tf.constant_initializer(0.0)}
        self.total = tf.get_variable("runningsum", shape=shape, trainable=False, **zeros)
        self.squares = tf.get_variable("runningsumsq", shape=shape, trainable=False, **zeros)
        self.count = tf.get_variable(
            "count",
            shape=(),
            dtype=tf.float64,
            initializer=tf.constant_initializer(1e-2),
            trainable=False,
        )
        self.mean = tf.to_float(self.total / self.count)
        variance = tf.to_float(self.squares / self.count) - tf.square(self.mean)
        self.std = tf.sqrt(tf.maximum(variance, 1e-2))

    def update(self, x):
        x = tf.cast(x, tf.float64)
        return tf.group(
            tf.assign_add(self.total, tf.reduce_sum(x, axis=0)),
            tf.assign_add(self.squares, tf.reduce_sum(tf.square(x), axis=0)),
            tf.assign_add(self.count, tf.cast(tf.shape(x)[0], tf.float64)),
        )


def policy(features, training):
    frames, observations = features["images"], features["observations"]
    with tf.variable_scope("ppo2_model", reuse=tf.AUTO_REUSE):
        with tf.variable_scope("obfilter"):
            statistics = RunningMeanStd(shape=observations.shape[1:])
        filtered = (observations - statistics.mean) / statistics.std
        filtered = tf.clip_by_value(filtered, -5.0, 5.0)
        with tf.variable_scope("pi"):
            hidden = tf.nn.relu(conv(frames, "c1", filters=3, size=4, stride=2, scale=np.sqrt(2)))
            hidden = tf.nn.relu(conv(hidden, "c2", filters=4, size=3, stride=1, one_dim_bias=True))
            flat = tf.reshape(hidden, [-1, int(np.prod(hidden.get_shape().as_list()[1:]))])
            latent = tf.tanh(fc(tf.concat([flat, filtered], 1), "fc1", 8, scale=np.sqrt(2)))
            mean = fc(latent, "mean", 2, scale=0.01)
        logstd = tf.get_variable(name="pi/logstd", shape=[1, 2], initializer=tf.zeros_initializer())
        value = fc(latent, "vf", 1)[:, 0]
    if training:
        with tf.control_dependencies([mean, value]):
            updated = statistics.update(observations)
        with tf.control_dependencies([updated]):
            value = tf.identity(value)
    return {"mean": mean, "std": mean * 0.0 + tf.exp(logstd), "value": value}


def q_func(x, scope, reuse=None):
    with tf.variable_scope(scope, reuse=reuse):
        with tf.variable_scope("action_value"):
            hidden = tf.layers.dense(x, 6, activation=tf.nn.relu)
            actions = tf.layers.dense(hidden, 3)
        with tf.variable_scope("state_value"):
            hidden = tf.layers.dense(x, 6, activation=tf.nn.relu)
            return tf.layers.dense(hidden, 1) + actions - tf.reduce_mean(actions, 1, True)


def deep_q(features, training):
    """Two nets of one code; the second is a copy of the first, some steps behind."""
    with tf.variable_scope("deepq"):
        values = q_func(features["observations"], scope="q_func")
        scope = tf.get_variable_scope().name + "/q_func"
        variables = tf.get_collection(tf.GraphKeys.GLOBAL_VARIABLES, scope=scope)
        again = q_func(-features["observations"], scope="q_func", reuse=True)
        target = q_func(features["observations"], scope="target_q_func")
        scope = tf.get_variable_scope().name + "/target_q_func"
        targets = tf.get_collection(tf.GraphKeys.GLOBAL_VARIABLES, scope=scope)
        best = tf.one_hot(tf.argmax(again, 1), 3)
        chosen = tf.reduce_sum(target * best, 1)
        error = tf.reduce_sum(values * best, 1) - tf.stop_gradient(chosen)
        outputs = {"values": values, "error": error, "chosen": chosen}
        if not training:
            return outputs
        with tf.control_dependencies([tf.identity(chosen)]):
            pairs = zip(
                sorted(variables, key=lambda v: v.name),
                sorted(targets, key=lambda v: v.name),
                strict=True,
            )
            updates = [target.assign(variable) for variable, target in pairs]
        with tf.control_dependencies(updates):
            outputs["updated"] = tf.identity(tf.shape(chosen))
    return outputs


def averaged_policy(features, training):
    """A policy beside the moving average of itself, which a custom getter reads."""
    del training

    def net(reuse=None, custom_getter=None):
        with tf.variable_scope("acer", reuse=reuse, custom_getter=custom_getter):
            return tf.nn.softmax(fc(tf.tanh(fc(features["observations"], "fc1", 4)), "pi", 3))

    train = net()
    average = tf.train.ExponentialMovingAverage(0.9)
    applied = average.apply(tf.trainable_variables("acer"))

    def averaging_getter(getter, *args, **kwargs):
        return average.average(getter(*args, **kwargs))

    with tf.control_dependencies([applied] if applied is not None else []):
        followed = net(reuse=True, custom_getter=averaging_getter)
    return {"train": train, "average": followed}


def templates(features, training):
    """A template called twice, and variables that name scopes do not rename."""
    del training

    def head(x, units):
        hidden = tf.layers.dense(x, 5, activation=tf.nn.elu, name="hidden")
        scale = tf.get_variable("scale", [5], initializer=tf.ones_initializer())
        return tf.layers.dense(hidden * scale, units, name="out")

    with tf.variable_scope("model"):
        shared = tf.make_template("shared_head", head, units=3)
        first, second = tf.split(features["observations"], 2, axis=1)
        with tf.name_scope("first"):
            first = shared(first)
        with tf.name_scope("second"):
            second = shared(second)
            gate = tf.get_variable("gate", [3], initializer=tf.zeros_initializer())
        other = tf.make_template("shared_head", head, units=2)
        return {"first": first, "second": second * tf.sigmoid(gate), "other": other(first)}


# Graph convolutions: sparse inputs and supports, and weights that are bare variables in the scopes
# of layer objects.


def glorot(shape, name):
    limit = np.sqrt(6.0 / (shape[0] + shape[1]))
    initial = tf.random_uniform(shape, minval=-limit, maxval=limit, dtype=tf.float32)
    return tf.Variable(initial, name=name)


def sparse_dropout(x, keep_probability, nonzero):
    kept = tf.cast(tf.floor(keep_probability + tf.random_uniform(nonzero)), dtype=tf.bool)
    return tf.sparse_retain(x, kept) * (1.0 / keep_probability)


class GraphConvolution:
    """One layer: its weights are made with it."""

    def __init__(self, name, inputs, outputs, supports, activation, sparse, training):
        self.name, self.supports, self.activation = name, supports, activation
        self.sparse, self.training = sparse, training
        self.vars = {}
        with tf.variable_scope(name + "_vars"):
            for number in range(len(supports)):
                weights = glorot([inputs, outputs], name=f"weights_{number}")
                self.vars[f"weights_{number}"] = weights
            self.vars["bias"] = tf.Variable(tf.zeros([outputs], dtype=tf.float32), name="bias")

    def __call__(self, x):
        with tf.name_scope(self.name):
            if self.training:
                if self.sparse:
                    x = sparse_dropout(x, 0.8, tf.shape(x.values))
                else:
                    x = tf.nn.dropout(x, keep_prob=0.8)
            product = tf.sparse_tensor_dense_matmul if self.sparse else tf.matmul
            convolved = [
                tf.sparse_tensor_dense_matmul(support, product(x, self.vars[f"weights_{number}"]))
                for number, support in enumerate(self.supports)
            ]
            return self.activation(tf.add_n(convolved) + self.vars["bias"])


def sparse(dense):
    indices = tf.where(tf.not_equal(dense, 0.0))
    return tf.SparseTensor(
        indices, tf.gather_nd(dense, indices), tf.shape(dense, out_type=tf.int64)
    )


def masked_softmax_cross_entropy(logits, labels, mask):
    loss = tf.nn.softmax_cross_entropy_with_logits(logits=logits, labels=labels)
    mask = tf.cast(mask, dtype=tf.float32)
    return tf.reduce_mean(loss * mask / tf.reduce_mean(mask))


def graph_convolution(features, training):
    x, supports = sparse(features["nodes"]), [sparse(features["edges"])]
    with tf.variable_scope("gcn"):
        size = features["nodes"].shape[1].value
        layers = [
            GraphConvolution("graphconvolution_1", size, 4, supports, tf.nn.relu, True, training),
            GraphConvolution("graphconvolution_2", 4, 3, supports, lambda x: x, False, training),
        ]
    for layer in layers:
        x = layer(x)
    decay = tf.add_n([5e-2 * tf.nn.l2_loss(v) for v in layers[0].vars.values()])
    variables = tf.get_collection(tf.GraphKeys.GLOBAL_VARIABLES, scope="gcn")
    size = tf.add_n([tf.cast(tf.size(v), tf.float32) for v in variables])
    labels, mask = features["labels"], features["mask"]
    loss = decay + masked_softmax_cross_entropy(x, tf.one_hot(labels, 3), mask)
    return {"logits": x, "loss": loss, "size": size}


# Progressive GANs: the learning rate equalized at run time, by the code and by a custom getter, and
# initializers that are values.


def get_weight(shape, gain=2**0.5, use_wscale=True):
    std = gain / np.sqrt(np.prod(shape[:-1]))
    if use_wscale:
        scale = tf.constant(np.float32(std), name="wscale")
        return tf.get_variable("weight", shape, initializer=tf.random_normal_initializer()) * scale
    return tf.get_variable("weight", shape, initializer=tf.random_normal_initializer(0, std))


def apply_bias(x):
    bias = tf.get_variable("bias", shape=[x.shape[-1]], initializer=tf.zeros_initializer())
    return x + tf.cast(bias, x.dtype)


def equalized(getter, name, shape=None, *args, **kwargs):
    """Keeps unit weights and scales them by He's constant where they are used."""
    if not name.endswith("kernel"):
        return getter(name, shape, *args, **kwargs)
    kwargs["initializer"] = tf.random_normal_initializer()
    return getter(name, shape, *args, **kwargs) * np.sqrt(2 / np.prod(shape[:-1])).astype("float32")


def pixel_norm(x, epsilon=1e-8):
    with tf.variable_scope("PixelNorm"):
        return x * tf.rsqrt(tf.reduce_mean(tf.square(x), axis=-1, keepdims=True) + epsilon)


def generator_block(x, resolution):
    with tf.variable_scope(f"{resolution}x{resolution}"):
        with tf.variable_scope("Conv0_up"):
            x = tf.image.resize_nearest_neighbor(x, [resolution, resolution])
            kernel = get_weight([3, 3, x.shape[-1].value, 4])
            x = apply_bias(tf.nn.conv2d(x, kernel, [1, 1, 1, 1], "SAME"))
            x = pixel_norm(tf.nn.leaky_relu(x))
        with tf.variable_scope("Conv1", custom_getter=equalized):
            return pixel_norm(
                tf.layers.conv2d(x, 4, 3, padding="same", activation=tf.nn.leaky_relu)
            )


def to_rgb(x, level):
    with tf.variable_scope(f"ToRGB_lod{level}"):
        kernel = get_weight([1, 1, x.shape[-1].value, 3], gain=1, use_wscale=False)
        return apply_bias(tf.nn.conv2d(x, kernel, [1, 1, 1, 1], "SAME"))


def progressive_generator(features, training):
    del training
    latents = tf.cast(features["latents"], tf.float32)
    lod = tf.get_variable("lod", initializer=np.float32(0.3), trainable=False)
    average = tf.get_variable("dlatent_avg", initializer=tf.zeros([3]), trainable=False)
    noise = tf.get_variable("noise", initializer=tf.random_normal([1, 8, 8, 1]), trainable=False)
    with tf.variable_scope("4x4/Dense"):
        x = pixel_norm(latents)
        x = tf.matmul(x, get_weight([3, 64], gain=np.sqrt(2) / 4))
        x = apply_bias(tf.reshape(x, [-1, 4, 4, 4]))
    small = to_rgb(x, 1)
    x = generator_block(x, 8)
    strength = tf.get_variable("noise_strength", shape=[], initializer=tf.initializers.zeros())
    large = to_rgb(x + noise * strength, 0)
    small = tf.image.resize_nearest_neighbor(small, [8, 8])
    images = large + (small - large) * tf.clip_by_value(lod, 0.0, 1.0)
    centered = tf.reduce_mean(images, [1, 2]) - average
    return {"images": images, "centered": centered, "lod": tf.identity(lod, name="lod_out")}


def growing_generator(features, training):
    """Resolutions that fade in one after the other: their layers are made within `tf.cond`."""
    del training
    lod = tf.get_variable("lod", initializer=np.float32(1.5), trainable=False)

    def upscaled(x, level):
        return tf.image.resize_nearest_neighbor(x, [16, 16]) if level else x

    def grow(x, level):
        y = generator_block(x, 16 // 2**level)
        images = lambda: upscaled(to_rgb(y, level), level)  # noqa: E731  (as such code has it)
        if level < 1:
            coarse, fine = to_rgb(x, level + 1), to_rgb(y, level)
            coarse = tf.image.resize_nearest_neighbor(coarse, [16, 16])
            faded = coarse + (fine - coarse) * tf.clip_by_value(lod - level, 0.0, 1.0)
            images = chosen(images, lod > level, lambda: faded)
        else:
            images = chosen(images, lod < level, lambda: grow(y, level - 1))
        return images()

    def chosen(current, condition, other):
        return lambda: tf.cond(condition, other, current)

    with tf.variable_scope("grow", reuse=tf.AUTO_REUSE):
        with tf.variable_scope("4x4/Dense"):
            x = tf.matmul(pixel_norm(features["latents"]), get_weight([3, 64], gain=0.5))
            x = apply_bias(tf.reshape(x, [-1, 4, 4, 4]))
        return {"images": grow(x, 1)}


# Siamese nets: the same scope, entered once and for the second input reused.


def siamese_branch(x):
    for number, size in enumerate([6, 4], 1):
        with tf.variable_scope(f"fc{number}"):
            kernel = tf.get_variable(
                "W",
                dtype=tf.float32,
                shape=[x.get_shape()[1], size],
                initializer=tf.truncated_normal_initializer(stddev=0.1),
            )
            start = tf.constant(0.01, shape=[size], dtype=tf.float32)
            bias = tf.get_variable("b", dtype=tf.float32, initializer=start)
            x = tf.nn.relu(tf.nn.bias_add(tf.matmul(x, kernel), bias))
    return x


def siamese(features, training):
    del training
    first, second = tf.split(features["observations"], 2, axis=0)
    with tf.variable_scope("siamese") as scope:
        first = siamese_branch(first)
        scope.reuse_variables()
        second = siamese_branch(second)
    with tf.variable_scope(scope, reuse=True):
        kernel = tf.get_variable("fc1/W")
    squared = tf.reduce_sum(tf.pow(tf.subtract(first, second), 2), 1)
    distance = tf.sqrt(squared + 1e-6, name="distance")
    loss = tf.reduce_mean(tf.maximum(1.0 - distance, 0), name="loss")
    return {"distance": distance, "loss": loss, "norm": tf.norm(kernel)}


# Scopes that set defaults: a regularizer and a partitioner for all that is made in them.


def wide_and_deep(features, training):
    del training
    partitioner = tf.fixed_size_partitioner(2)
    with tf.variable_scope("dnn", partitioner=partitioner):
        with tf.variable_scope("input_layer"):
            table = tf.get_variable(
                "embedding_weights", [6, 4], initializer=tf.truncated_normal_initializer(stddev=0.5)
            )
            embedded = tf.nn.embedding_lookup(table, features["ids"], partition_strategy="div")
        deep = tf.concat([features["observations"], embedded], 1)
        with tf.variable_scope(
            "hidden", regularizer=lambda v: 0.1 * tf.nn.l2_loss(v), partitioner=None
        ) as scope:
            scope.set_partitioner(None)
            deep = tf.layers.dense(deep, 4, activation=tf.nn.relu)
            deep = tf.layers.dense(deep, 4, kernel_regularizer=lambda v: tf.reduce_sum(tf.abs(v)))
        logits = tf.layers.dense(deep, 2, name="logits")
    with tf.variable_scope("linear", regularizer=lambda v: 0.5 * tf.nn.l2_loss(v)):
        weights = tf.get_variable("weights", [features["observations"].shape[1], 2])
        bias = tf.get_variable(
            "bias", [2], initializer=tf.zeros_initializer(), regularizer=tf.no_regularizer
        )
        linear = tf.matmul(features["observations"], weights) + bias
    decay = tf.losses.get_regularization_loss()
    return {"logits": logits + linear, "decay": decay}


# Tutorials: bare `tf.Variable`s, named by name scopes.


def weight_variable(shape):
    return tf.Variable(tf.truncated_normal(shape, stddev=0.1))


def bias_variable(shape):
    return tf.Variable(tf.constant(0.1, shape=shape))


def bare_variables(features, training):
    x = features["observations"]
    with tf.name_scope("layer1"):
        with tf.name_scope("weights"):
            kernel = weight_variable([4, 5])
        with tf.name_scope("biases"):
            bias = bias_variable([5])
        hidden = tf.nn.relu(tf.matmul(x, kernel) + bias)
    weights = {
        "h1": tf.Variable(tf.random_normal([5, 4]), name="h1"),
        "out": tf.Variable(tf.random_normal([4, 2])),
    }
    biases = {"b1": tf.Variable(tf.zeros([4]), name="b1"), "out": tf.Variable(tf.zeros([2]))}
    hidden = tf.nn.sigmoid(tf.add(tf.matmul(hidden, weights["h1"]), biases["b1"]))
    outputs = {"logits": tf.matmul(hidden, weights["out"]) + biases["out"]}
    step = tf.Variable(0, trainable=False, name="global_step", dtype=tf.int64)
    if training:
        outputs["step"] = tf.assign_add(step, 1)
    return outputs
