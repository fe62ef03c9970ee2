"""Models of text and sequences in the manner of TF1: transformers and a recurrent net by hand."""

import collections
import re

import numpy as np
import tensorflow.compat.v1 as tf
import tf_slim as slim

VOCABULARY, WIDTH, HEADS, POSITIONS = 13, 8, 2, 6


def shape_of(tensor):
    """The static dimensions of a tensor, dynamic ones where those are not known."""
    static = tensor.shape.as_list()
    if all(size is not None for size in static):
        return static
    dynamic = tf.shape(tensor)
    return [dynamic[i] if size is None else size for i, size in enumerate(static)]


def check_rank(tensor, rank):
    name = tensor.name
    if tensor.shape.ndims != rank:
        scope = tf.get_variable_scope().name
        raise ValueError(f"{name} in {scope} has {tensor.shape.ndims} dimensions, not {rank}")


def gelu(x):
    return 0.5 * x * (1.0 + tf.erf(x / tf.sqrt(2.0)))


def dropout(x, probability, training):
    # The argument's old name, and its old meaning.
    return tf.nn.dropout(x, keep_prob=1.0 - probability) if training else x


def layer_norm(x, name=None):
    return slim.layer_norm(inputs=x, begin_norm_axis=-1, begin_params_axis=-1, scope=name)


def init(stddev=0.02):
    return tf.truncated_normal_initializer(stddev=stddev)


# BERT: named dense layers in nested scopes, layer norm by Slim, a head that is tied to the
# embeddings by reuse from another scope, and parameters shared between layers.


def bert_embeddings(ids, segments, training):
    check_rank(ids, 2)
    table = tf.get_variable("word_embeddings", [VOCABULARY, WIDTH], initializer=init())
    output = tf.nn.embedding_lookup(table, ids)
    segment_table = tf.get_variable("token_type_embeddings", [2, WIDTH], initializer=init())
    one_hot = tf.one_hot(tf.reshape(segments, [-1]), depth=2)
    output += tf.reshape(tf.matmul(one_hot, segment_table), shape_of(output))
    length = shape_of(ids)[1]
    with tf.control_dependencies([tf.assert_less_equal(length, POSITIONS)]):
        position_table = tf.get_variable(
            "position_embeddings", [POSITIONS, WIDTH], initializer=init()
        )
        output += tf.expand_dims(tf.slice(position_table, [0, 0], [length, -1]), 0)
    return dropout(layer_norm(output), 0.1, training)


def bert_attention(x, mask, training):
    batch, length, _ = shape_of(x)
    flat = tf.reshape(x, [-1, WIDTH])

    def heads(name):
        projected = tf.layers.dense(flat, WIDTH, name=name, kernel_initializer=init())
        split = tf.reshape(projected, [batch, length, HEADS, WIDTH // HEADS])
        return tf.transpose(split, [0, 2, 1, 3])

    query, key, value = heads("query"), heads("key"), heads("value")
    scores = tf.matmul(query, key, transpose_b=True) / np.sqrt(WIDTH / HEADS)
    scores += (1.0 - tf.cast(mask[:, tf.newaxis, tf.newaxis, :], tf.float32)) * -10000.0
    context = tf.matmul(dropout(tf.nn.softmax(scores), 0.1, training), value)
    return tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [batch, length, WIDTH])


def bert_layer(x, mask, training):
    with tf.variable_scope("attention"):
        with tf.variable_scope("self"):
            attended = bert_attention(x, mask, training)
        with tf.variable_scope("output"):
            attended = tf.layers.dense(attended, WIDTH, kernel_initializer=init())
            x = layer_norm(dropout(attended, 0.1, training) + x)
    with tf.variable_scope("intermediate"):
        inner = tf.layers.dense(x, 2 * WIDTH, activation=gelu, kernel_initializer=init())
    with tf.variable_scope("output"):
        outer = tf.layers.dense(inner, WIDTH, kernel_initializer=init())
        return layer_norm(dropout(outer, 0.1, training) + x)


def bert_body(features, training):
    with tf.variable_scope("bert"):
        with tf.variable_scope("embeddings"):
            output = bert_embeddings(features["ids"], features["segments"], training)
        with tf.variable_scope("encoder"):
            for number in range(2):
                with tf.variable_scope(f"layer_{number}"):
                    output = bert_layer(output, features["mask"], training)
            for _ in range(2):
                with tf.variable_scope("shared", reuse=tf.AUTO_REUSE):
                    output = bert_layer(output, features["mask"], training)
        with tf.variable_scope("pooler"):
            first = tf.squeeze(output[:, 0:1, :], axis=1)
            pooled = tf.layers.dense(first, WIDTH, activation=tf.tanh, kernel_initializer=init())
    return output, pooled


def bert(features, training):
    output, pooled = bert_body(features, training)
    with tf.variable_scope("cls/predictions"):
        with tf.variable_scope("transform"):
            hidden = layer_norm(tf.layers.dense(output, WIDTH, gelu, kernel_initializer=init()))
        bias = tf.get_variable("output_bias", [VOCABULARY], initializer=tf.zeros_initializer())
    with tf.variable_scope("bert/embeddings", reuse=True):
        table = tf.get_variable("word_embeddings", [VOCABULARY, WIDTH])
    flat = tf.reshape(hidden, [-1, WIDTH])
    logits = tf.nn.bias_add(tf.matmul(flat, table, transpose_b=True), bias)
    labels = tf.one_hot(tf.reshape(features["ids"], [-1]), VOCABULARY)
    losses = -tf.reduce_sum(labels * tf.nn.log_softmax(logits, axis=-1), axis=-1)
    with tf.variable_scope("cls/seq_relationship"):
        weights = tf.get_variable("output_weights", shape=[2, WIDTH], initializer=init())
        next_sentence = tf.matmul(pooled, weights, transpose_b=True)
    return {"logits": logits, "pooled": pooled, "losses": losses, "next": next_sentence}


def assignment_map(variables, checkpoint):
    """Which of a checkpoint's variables go into which of the model's: by name, without `:0`."""
    names = collections.OrderedDict()
    for variable in variables:
        match = re.match("^(.*):\\d+$", variable.name)
        names[match.group(1) if match is not None else variable.name] = variable
    found = collections.OrderedDict()
    for name, _ in tf.train.list_variables(checkpoint):
        if name in names:
            found[name] = name
    return found


def bert_classifier(features, training, checkpoint):
    """A new head on a body that starts from a checkpoint."""
    _, pooled = bert_body(features, training)
    weights = tf.get_variable("output_weights", [3, WIDTH], initializer=init())
    bias = tf.get_variable("output_bias", [3], initializer=tf.zeros_initializer())
    found = assignment_map(tf.trainable_variables(), checkpoint)
    tf.train.init_from_checkpoint(checkpoint, found)
    return {"logits": tf.nn.bias_add(tf.matmul(pooled, weights, transpose_b=True), bias)}


# GPT-2: everything by `get_variable`, and generation that goes on from the keys and values so far.


def gpt2_norm(x, scope, *, axis=-1, epsilon=1e-5):
    with tf.variable_scope(scope):
        size = x.shape[-1]
        gain = tf.get_variable("g", [size], initializer=tf.constant_initializer(1))
        bias = tf.get_variable("b", [size], initializer=tf.constant_initializer(0))
        mean = tf.reduce_mean(x, axis=axis, keepdims=True)
        variance = tf.reduce_mean(tf.square(x - mean), axis=axis, keepdims=True)
        return (x - mean) * tf.rsqrt(variance + epsilon) * gain + bias


def conv1d(x, scope, size, *, stddev=0.02):
    with tf.variable_scope(scope):
        *start, inputs = shape_of(x)
        kernel = tf.get_variable(
            "w", [1, inputs, size], initializer=tf.random_normal_initializer(stddev=stddev)
        )
        bias = tf.get_variable("b", [size], initializer=tf.constant_initializer(0))
        flat = tf.matmul(tf.reshape(x, [-1, inputs]), tf.reshape(kernel, [-1, size])) + bias
        return tf.reshape(flat, [*start, size])


def gpt2_attention(x, scope, past):
    def split_heads(x):
        *start, size = shape_of(x)
        return tf.transpose(tf.reshape(x, [*start, HEADS, size // HEADS]), [0, 2, 1, 3])

    with tf.variable_scope(scope):
        query, key, value = map(split_heads, tf.split(conv1d(x, "c_attn", WIDTH * 3), 3, axis=2))
        present = tf.stack([key, value], axis=1)
        if past is not None:
            past_key, past_value = tf.unstack(past, axis=1)
            key = tf.concat([past_key, key], axis=-2)
            value = tf.concat([past_value, value], axis=-2)
        scores = tf.matmul(query, key, transpose_b=True) * tf.rsqrt(WIDTH / HEADS)
        rows, columns = shape_of(scores)[-2:]
        seen = tf.range(rows)[:, None] >= tf.range(columns) - columns + rows
        seen = tf.cast(tf.reshape(seen, [1, 1, rows, columns]), scores.dtype)
        weights = tf.nn.softmax(scores * seen - 1e10 * (1 - seen))
        merged = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])
        merged = tf.reshape(merged, [*shape_of(merged)[:-2], WIDTH])
        return conv1d(merged, "c_proj", WIDTH), present


def gpt2_block(x, scope, past):
    with tf.variable_scope(scope):
        attended, present = gpt2_attention(gpt2_norm(x, "ln_1"), "attn", past)
        x = x + attended
        hidden = gelu(conv1d(gpt2_norm(x, "ln_2"), "mlp/c_fc", 4 * WIDTH))
        return x + conv1d(hidden, "mlp/c_proj", WIDTH), present


def gpt2_net(tokens, past=None, scope="model", reuse=False):
    with tf.variable_scope(scope, reuse=reuse):
        positions = tf.get_variable(
            "wpe", [POSITIONS, WIDTH], initializer=tf.random_normal_initializer(stddev=0.01)
        )
        table = tf.get_variable(
            "wte", [VOCABULARY, WIDTH], initializer=tf.random_normal_initializer(stddev=0.02)
        )
        start = 0 if past is None else tf.shape(past)[-2]
        batch, length = shape_of(tokens)
        steps = tf.tile(tf.expand_dims(start + tf.range(length), 0), [batch, 1])
        x = tf.gather(table, tokens) + tf.gather(positions, steps)
        presents = []
        for number, layer_past in enumerate([None] * 2 if past is None else tf.unstack(past, 2, 1)):
            x, present = gpt2_block(x, f"h{number}", layer_past)
            presents.append(present)
        flat = tf.reshape(gpt2_norm(x, "ln_f"), [-1, WIDTH])
        logits = tf.reshape(tf.matmul(flat, table, transpose_b=True), [batch, length, VOCABULARY])
        return {"logits": logits, "present": tf.stack(presents, axis=1)}


def gpt2(features, training):
    """Scores of the text, and the likeliest tokens after it."""
    del training
    tokens = features["tokens"]
    scored = gpt2_net(tokens)

    def body(past, last, output):
        step = gpt2_net(last[:, tf.newaxis], past=past, reuse=tf.AUTO_REUSE)
        following = tf.argmax(step["logits"][:, -1, :], axis=-1, output_type=tf.int32)
        past = tf.concat([past, step["present"]], axis=-2)
        return [past, following, tf.concat([output, following[:, tf.newaxis]], axis=1)]

    with tf.name_scope("sample_sequence"):
        _, _, generated = tf.while_loop(
            lambda *_: True,
            body,
            [gpt2_net(tokens[:, :-1], reuse=tf.AUTO_REUSE)["present"], tokens[:, -1], tokens],
            shape_invariants=[
                tf.TensorShape([None, 2, 2, HEADS, None, WIDTH // HEADS]),
                tf.TensorShape([None]),
                tf.TensorShape([None, None]),
            ],
            maximum_iterations=2,
            back_prop=False,
        )
    return {**scored, "generated": generated}


# A recurrent net by hand: weights asked for at every step and reused from the second on.


def lstm_cell(x, state, units):
    cell, hidden = state
    size = x.shape[-1] + units
    gates = []
    for name, bias in [("input", 0.0), ("forget", 1.0), ("output", 0.0), ("new", 0.0)]:
        kernel = tf.get_variable(f"W_{name}", [size, units], initializer=init(0.1))
        offset = tf.get_variable(f"b_{name}", [units], initializer=tf.constant_initializer(bias))
        gates.append(tf.nn.xw_plus_b(tf.concat([x, hidden], 1), kernel, offset))
    write, forget, read, new = gates
    cell = tf.sigmoid(forget) * cell + tf.sigmoid(write) * tf.tanh(new)
    return cell, tf.sigmoid(read) * tf.tanh(cell)


def lstm(features, training):
    """Two layers over the steps of a sequence: one unrolled in Python, one in `tf.while_loop`."""
    del training
    sequence, units = features["sequence"], 4
    batch, length, _ = shape_of(sequence)
    start = tf.zeros([batch, units])
    with tf.variable_scope("lstm", initializer=tf.random_uniform_initializer(-0.1, 0.1)):
        with tf.variable_scope("layer_1"):
            state, outputs = (start, start), []
            for step in range(length):
                if step > 0:
                    tf.get_variable_scope().reuse_variables()
                state = lstm_cell(sequence[:, step, :], state, units)
                outputs.append(state[1])
        inputs = tf.TensorArray(tf.float32, length).unstack(tf.stack(outputs))
        with tf.variable_scope("layer_2", reuse=tf.AUTO_REUSE):

            def body(step, cell, hidden, written):
                cell, hidden = lstm_cell(inputs.read(step), (cell, hidden), units)
                return step + 1, cell, hidden, written.write(step, hidden)

            _, cell, _, written = tf.while_loop(
                lambda step, *_: step < length,
                body,
                [0, start, start, tf.TensorArray(tf.float32, length)],
            )
        weights = tf.get_variable("softmax_w", [units, 3])  # By the scope's initializer.
        bias = tf.get_variable("softmax_b", [3])
    stacked = written.stack()
    logits = tf.matmul(tf.reshape(stacked, [-1, units]), weights) + bias
    return {"logits": logits, "cell": cell, "outputs": stacked}
