"""Models of images in the manner of TF-Slim: backbones, heads, and detectors on several scales."""

import numpy as np
import tensorflow.compat.v1 as tf
import tf_slim as slim
from tf_slim.nets import resnet_utils, resnet_v1

# VGGish: one arg_scope a kind of argument, repeated layers, `trainable` by the mode.


def vggish(features, training):
    with (
        slim.arg_scope(
            [slim.conv2d, slim.fully_connected],
            weights_initializer=tf.truncated_normal_initializer(stddev=0.1),
            biases_initializer=tf.zeros_initializer(),
            activation_fn=tf.nn.relu,
            trainable=training,
        ),
        slim.arg_scope([slim.conv2d], kernel_size=[3, 3], stride=1, padding="SAME"),
        slim.arg_scope([slim.max_pool2d], kernel_size=[2, 2], stride=2, padding="SAME"),
        tf.variable_scope("vggish"),
    ):
        net = tf.reshape(features["spectrograms"], [-1, 12, 8, 1])
        net = slim.conv2d(net, 4, scope="conv1")
        net = slim.max_pool2d(net, scope="pool1")
        net = slim.repeat(net, 2, slim.conv2d, 6, scope="conv3")
        net = slim.max_pool2d(net, scope="pool3")
        net = slim.flatten(net)
        net = slim.repeat(net, 2, slim.fully_connected, 8, scope="fc1")
        net = slim.fully_connected(net, 5, scope="fc2", activation_fn=None)
        embedding = tf.identity(net, name="embedding")
    with tf.variable_scope("mymodel"):
        hidden = slim.fully_connected(embedding, 6)
        logits = slim.fully_connected(hidden, 3, activation_fn=None, scope="logits")
        tf.sigmoid(logits, name="prediction")
    return {"embedding": embedding, "logits": logits}


# facenet: Inception-ResNet blocks with scaled residuals, batch norm that updates at once, and the
# centers of the classes, which move with every training step.


def block35(net, scale=1.0, activation_fn=tf.nn.relu, scope=None, reuse=None):
    with tf.variable_scope(scope, "Block35", [net], reuse=reuse):
        with tf.variable_scope("Branch_0"):
            branch_0 = slim.conv2d(net, 4, 1, scope="Conv2d_1x1")
        with tf.variable_scope("Branch_1"):
            branch_1 = slim.conv2d(net, 4, 1, scope="Conv2d_0a_1x1")
            branch_1 = slim.conv2d(branch_1, 4, 3, scope="Conv2d_0b_3x3")
        return residual(net, [branch_0, branch_1], scale, activation_fn)


def block17(net, scale=1.0, activation_fn=tf.nn.relu, scope=None, reuse=None):
    with tf.variable_scope(scope, "Block17", [net], reuse=reuse):
        with tf.variable_scope("Branch_0"):
            branch_0 = slim.conv2d(net, 4, 1, scope="Conv2d_1x1")
        with tf.variable_scope("Branch_1"):
            branch_1 = slim.conv2d(net, 4, [1, 7], scope="Conv2d_0b_1x7")
            branch_1 = slim.conv2d(branch_1, 4, [7, 1], scope="Conv2d_0c_7x1")
        return residual(net, [branch_0, branch_1], scale, activation_fn)


def residual(net, branches, scale, activation_fn):
    up = slim.conv2d(
        tf.concat(branches, 3),
        net.get_shape()[3],
        1,
        normalizer_fn=None,
        activation_fn=None,
        scope="Conv2d_1x1",
    )
    net = net + scale * up
    return activation_fn(net) if activation_fn else net


def reduction(net):
    with tf.variable_scope("Branch_0"):
        convolved = slim.conv2d(net, 6, 3, stride=2, padding="VALID", scope="Conv2d_1a_3x3")
    with tf.variable_scope("Branch_1"):
        pooled = slim.max_pool2d(net, 3, stride=2, padding="VALID", scope="MaxPool_1a_3x3")
    return tf.concat([convolved, pooled], 3)


def inception_resnet(images, training, embedding_size, keep_probability, reuse=None):
    end_points = {}
    with (
        tf.variable_scope("InceptionResnetV1", "InceptionResnetV1", [images], reuse=reuse),
        slim.arg_scope([slim.batch_norm, slim.dropout], is_training=training),
        slim.arg_scope([slim.conv2d, slim.max_pool2d, slim.avg_pool2d], stride=1, padding="SAME"),
    ):
        net = slim.conv2d(images, 4, 3, stride=2, padding="VALID", scope="Conv2d_1a_3x3")
        end_points["Conv2d_1a_3x3"] = net
        net = slim.repeat(net, 2, block35, scale=0.17)
        end_points["Mixed_5a"] = net
        with tf.variable_scope("Mixed_6a"):
            net = reduction(net)
        end_points["Mixed_6a"] = net
        net = slim.repeat(net, 1, block17, scale=0.10)
        net = block17(net, activation_fn=None)
        end_points["Mixed_6b"] = net
        with tf.variable_scope("Logits"):
            window = net.get_shape()[1:3]
            net = slim.avg_pool2d(net, window, padding="VALID", scope="AvgPool_1a_8x8")
            net = slim.flatten(net)
            net = slim.dropout(net, keep_probability, scope="Dropout")
            end_points["PreLogitsFlatten"] = net
        net = slim.fully_connected(net, embedding_size, activation_fn=None, scope="Bottleneck")
    return net, end_points


def center_loss(embeddings, labels, alpha, classes):
    size = embeddings.get_shape()[1]
    centers = tf.get_variable(
        "centers",
        [classes, size],
        dtype=tf.float32,
        initializer=tf.constant_initializer(0),
        trainable=False,
    )
    labels = tf.reshape(labels, [-1])
    of_batch = tf.gather(centers, labels)
    difference = (1 - alpha) * (of_batch - embeddings)
    centers = tf.scatter_sub(centers, labels, difference)
    with tf.control_dependencies([centers]):
        return tf.reduce_mean(tf.square(embeddings - of_batch)), tf.identity(centers)


def facenet(features, training):
    batch_norm = {
        "decay": 0.9,
        "epsilon": 0.001,
        "updates_collections": None,
        # What is in that collection is taken for trainable, moving averages included.
        "variables_collections": [tf.GraphKeys.TRAINABLE_VARIABLES],
    }
    with slim.arg_scope(
        [slim.conv2d, slim.fully_connected],
        weights_initializer=slim.initializers.xavier_initializer(),
        weights_regularizer=slim.l2_regularizer(0.01),
        normalizer_fn=slim.batch_norm,
        normalizer_params=batch_norm,
    ):
        prelogits, end_points = inception_resnet(features["images"], training, 5, 0.8)
    logits = slim.fully_connected(
        prelogits,
        3,
        activation_fn=None,
        weights_initializer=slim.initializers.xavier_initializer(),
        weights_regularizer=slim.l2_regularizer(0.01),
        scope="Logits",
        reuse=False,
    )
    outputs = {"logits": logits, **end_points}
    outputs["embeddings"] = tf.nn.l2_normalize(prelogits, 1, 1e-10, name="embeddings")
    if training:
        loss, outputs["centers"] = center_loss(prelogits, features["labels"], 0.95, 3)
        tf.add_to_collection("losses", loss * 0.1)
        regularization = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
        outputs["total_loss"] = tf.add_n(tf.get_collection("losses") + regularization)
    return outputs


# DeepLabCut: a Slim ResNet as it is, frozen norms, and heads of transposed convolutions with an
# intermediate loss.


def small_resnet(images, training):
    blocks = [
        resnet_v1.resnet_v1_block("block1", base_depth=2, num_units=2, stride=2),
        resnet_v1.resnet_v1_block("block2", base_depth=4, num_units=2, stride=2),
        resnet_v1.resnet_v1_block("block3", base_depth=4, num_units=1, stride=1),
    ]
    return resnet_v1.resnet_v1(
        images,
        blocks,
        is_training=training,
        global_pool=False,
        output_stride=8,
        include_root_block=True,
        scope="resnet_v1_10",
    )


def prediction_layer(features, name, outputs):
    with (
        slim.arg_scope(
            [slim.conv2d, slim.conv2d_transpose],
            padding="SAME",
            activation_fn=None,
            normalizer_fn=None,
            weights_regularizer=slim.l2_regularizer(0.01),
        ),
        tf.variable_scope(name),
    ):
        return slim.conv2d_transpose(
            features, outputs, kernel_size=[3, 3], stride=2, scope="block4"
        )


def pose_net(features, training):
    mean = tf.constant([0.5, 0.4, 0.3], dtype=tf.float32, shape=[1, 1, 1, 3], name="img_mean")
    # As its authors do: norms stay as they came, in training too.
    with slim.arg_scope(resnet_v1.resnet_arg_scope(weight_decay=0.01)):
        net, end_points = small_resnet(features["images"] - mean, training=False)
    with tf.variable_scope("pose"):
        heads = {
            "part_pred": prediction_layer(net, "part_pred", 4),
            "locref": prediction_layer(net, "locref_pred", 8),
            "part_pred_interm": prediction_layer(
                end_points["resnet_v1_10/block2/unit_1/bottleneck_v1"],
                "intermediate_supervision",
                4,
            ),
        }
    if training:
        for name in ("part_pred", "part_pred_interm"):
            targets = tf.cast(heads[name] > 0.1, tf.float32)
            tf.losses.sigmoid_cross_entropy(targets, heads[name], weights=1.0)
        tf.losses.huber_loss(tf.zeros_like(heads["locref"]), heads["locref"], weights=0.05)
        heads["total_loss"] = tf.losses.get_total_loss()
    return heads


# YOLOv3: a layer of one's own in an arg_scope, routes between scales, outputs_collections.


@slim.add_arg_scope
def fixed_padding(inputs, kernel_size, *, mode="CONSTANT"):
    total = kernel_size - 1
    start = total // 2
    return tf.pad(inputs, [[0, 0], [start, total - start], [start, total - start], [0, 0]], mode)


def darknet_conv(inputs, filters, kernel_size, strides=1):
    if strides > 1:
        inputs = fixed_padding(inputs, kernel_size)
    padding = "SAME" if strides == 1 else "VALID"
    return slim.conv2d(inputs, filters, kernel_size, stride=strides, padding=padding)


def darknet(inputs):
    routes = []
    net = darknet_conv(inputs, 4, 3)
    for filters in (6, 8, 8):
        net = darknet_conv(net, filters, 3, strides=2)
        shortcut = net
        net = darknet_conv(darknet_conv(net, filters // 2, 1), filters, 3) + shortcut
        routes.append(net)
    return routes


def detection(inputs, classes, anchors, image_size):
    predictions = slim.conv2d(
        inputs,
        len(anchors) * (5 + classes),
        1,
        stride=1,
        normalizer_fn=None,
        activation_fn=None,
        biases_initializer=tf.zeros_initializer(),
    )
    grid = predictions.get_shape().as_list()[1:3]
    predictions = tf.reshape(predictions, [-1, len(anchors) * grid[0] * grid[1], 5 + classes])
    stride = image_size[0] // grid[0]
    centers, sizes, confidence, scores = tf.split(predictions, [2, 2, 1, classes], axis=-1)
    across, down = tf.meshgrid(
        tf.range(grid[1], dtype=tf.float32), tf.range(grid[0], dtype=tf.float32)
    )
    offset = tf.concat([tf.reshape(across, (-1, 1)), tf.reshape(down, (-1, 1))], axis=-1)
    offset = tf.reshape(tf.tile(offset, [1, len(anchors)]), [1, -1, 2])
    scaled = [(width / stride, height / stride) for width, height in anchors]
    sizes = tf.exp(sizes) * tf.tile(scaled, [grid[0] * grid[1], 1]) * stride
    centers = (tf.nn.sigmoid(centers) + offset) * stride
    boxes = [centers, sizes, tf.nn.sigmoid(confidence), tf.nn.sigmoid(scores)]
    return tf.identity(tf.concat(boxes, axis=-1))


def upsample(inputs, like):
    size = like.get_shape().as_list()[1:3]
    return tf.identity(tf.image.resize_nearest_neighbor(inputs, size), name="upsampled")


def yolo(features, training):
    images = features["images"] / 2.0
    batch_norm = {
        "decay": 0.9,
        "epsilon": 1e-5,
        "scale": True,
        "is_training": training,
        "fused": None,
    }
    size = images.get_shape().as_list()[1:3]
    with (
        slim.arg_scope([slim.conv2d, slim.batch_norm, fixed_padding]),
        slim.arg_scope(
            [slim.conv2d],
            normalizer_fn=slim.batch_norm,
            normalizer_params=batch_norm,
            biases_initializer=None,
            activation_fn=lambda x: tf.nn.leaky_relu(x, alpha=0.1),
            outputs_collections="yolo_outputs",
        ),
        tf.variable_scope("detector"),
    ):
        with tf.variable_scope("darknet-53"):
            _, route, net = darknet(images)
        with tf.variable_scope("yolo-v3"):
            coarse = detection(darknet_conv(net, 6, 3), 2, [(6, 8), (9, 7)], size)
            coarse = tf.identity(coarse, name="detect_1")
            net = tf.concat([upsample(darknet_conv(net, 4, 1), route), route], axis=3)
            fine = detection(darknet_conv(net, 6, 3), 2, [(2, 3), (3, 2)], size)
            fine = tf.identity(fine, name="detect_2")
    collected = slim.utils.convert_collection_to_dict("yolo_outputs", clear_collection=True)
    return {"detections": tf.concat([coarse, fine], axis=1), **collected}


# EAST: end points of a backbone unpooled and merged, resized by dynamic shapes; a loss of its own
# with summaries.


def unpool(inputs):
    return tf.image.resize_bilinear(inputs, size=[tf.shape(inputs)[1] * 2, tf.shape(inputs)[2] * 2])


def mean_image_subtraction(images, means):
    channels = tf.split(axis=3, num_or_size_splits=len(means), value=images)
    return tf.concat(axis=3, values=[c - m for c, m in zip(channels, means, strict=True)])


def dice_loss(truth, score):
    intersection = tf.reduce_sum(truth * score)
    loss = 1.0 - 2 * intersection / (tf.reduce_sum(truth) + tf.reduce_sum(score) + 1e-5)
    tf.summary.scalar("classification_dice_loss", loss)
    return loss


def text_detector(features, training):
    images = mean_image_subtraction(features["images"], [0.5, 0.4, 0.3])
    with slim.arg_scope(resnet_v1.resnet_arg_scope(weight_decay=1e-5)):
        _, end_points = small_resnet(images, training)
    names = ["block3/unit_1", "block1/unit_1"]
    maps = [end_points[f"resnet_v1_10/{name}/bottleneck_v1"] for name in names]
    with (
        tf.variable_scope("feature_fusion", values=[end_points.values()]),
        slim.arg_scope(
            [slim.conv2d],
            activation_fn=tf.nn.relu,
            normalizer_fn=slim.batch_norm,
            normalizer_params={
                "decay": 0.9,
                "epsilon": 1e-5,
                "scale": True,
                "is_training": training,
            },
            weights_regularizer=slim.l2_regularizer(1e-5),
        ),
    ):
        merged = slim.conv2d(tf.concat([unpool(maps[0]), maps[1]], axis=-1), 6, 1)
        merged = slim.conv2d(merged, 4, 3)
        score = slim.conv2d(merged, 1, 1, activation_fn=tf.nn.sigmoid, normalizer_fn=None)
        angle = slim.conv2d(merged, 1, 1, activation_fn=tf.nn.sigmoid, normalizer_fn=None)
        geometry = tf.concat([score * 512, (angle - 0.5) * np.pi / 2], axis=-1)
    outputs = {"score": score, "geometry": geometry}
    if training:
        truth = tf.ones_like(score)
        tf.losses.add_loss(dice_loss(truth, score))
        tf.summary.image("score_map", score)
        outputs["total"] = tf.add_n(
            tf.losses.get_losses() + tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
        )
    return outputs


# A net of Slim's kind: end points from a collection that is named after the scope.


def collected_net(features, training):
    with tf.variable_scope("small", "small", [features["images"]]) as scope:
        collection = scope.original_name_scope + "_end_points"
        with slim.arg_scope(
            [slim.conv2d, slim.fully_connected, slim.max_pool2d, resnet_utils.stack_blocks_dense],
            outputs_collections=[collection],
        ):
            net = slim.stack(
                features["images"], slim.conv2d, [(4, [3, 3]), (6, [1, 1])], scope="conv"
            )
            net = slim.max_pool2d(net, [2, 2], scope="pool1")
            net = slim.separable_conv2d(net, 6, 3, 1, scope="separable")
            net = slim.dropout(net, 0.5, is_training=training, scope="dropout")
            net = slim.conv2d(net, 3, 1, activation_fn=None, scope="fc8")
        end_points = slim.utils.convert_collection_to_dict(collection)
        net = tf.reduce_mean(net, [1, 2], keepdims=True, name="global_pool")
        net = tf.squeeze(net, [1, 2], name="fc8/squeezed")
        end_points[scope.name + "/fc8"] = net
        end_points["predictions"] = slim.softmax(net, scope="predictions")
    return end_points
