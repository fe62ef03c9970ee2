"""Slim's ResNet v1-50 in `tf.Variable` and `tf.nn`: what is left of it without Slim and shim.

The ops, their order and the variables' names are those of `tf_slim.nets.resnet_v1.resnet_v1_50`
(https://arxiv.org/abs/1512.03385), so that the two differ in nothing but what the shim costs.
"""

from __future__ import annotations

import tensorflow as tf

# Name, channels inside of the bottleneck, units, stride of the last unit: Slim's way, where the
# paper has it in the first unit of the next block.
BLOCKS = (("block1", 64, 3, 2), ("block2", 128, 4, 2), ("block3", 256, 6, 2), ("block4", 512, 3, 1))
# Of `tf_slim.nets.resnet_utils.resnet_arg_scope`.
BATCH_NORM_DECAY = 0.997
BATCH_NORM_EPSILON = 1e-5


class PlainResNet(tf.Module):
    """ResNet v1-50 with variables under Slim's names.

    Args:
        num_classes: number of logits.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self._initializer = tf.keras.initializers.VarianceScaling(2.0, "fan_in")
        self.by_name: dict[str, tf.Variable] = {}
        self._add_convolution("conv1", [7, 7, 3, 64])
        channels = 64
        for block, depth, units, _ in BLOCKS:
            for unit in range(1, units + 1):
                name = f"{block}/unit_{unit}/bottleneck_v1"
                if unit == 1:
                    self._add_convolution(f"{name}/shortcut", [1, 1, channels, 4 * depth])
                self._add_convolution(f"{name}/conv1", [1, 1, channels, depth])
                self._add_convolution(f"{name}/conv2", [3, 3, depth, depth])
                self._add_convolution(f"{name}/conv3", [1, 1, depth, 4 * depth])
                channels = 4 * depth
        self._add("logits/weights", self._initializer([1, 1, channels, num_classes]))
        self._add("logits/biases", tf.zeros([num_classes]))

    def _add(self, name: str, value: tf.Tensor, trainable: bool = True) -> None:
        name = f"resnet_v1_50/{name}"
        self.by_name[name] = tf.Variable(value, trainable=trainable, name=name)

    def _add_convolution(self, name: str, shape: list[int]) -> None:
        self._add(f"{name}/weights", self._initializer(shape))
        self._add(f"{name}/BatchNorm/gamma", tf.ones(shape[-1:]))
        self._add(f"{name}/BatchNorm/beta", tf.zeros(shape[-1:]))
        self._add(f"{name}/BatchNorm/moving_mean", tf.zeros(shape[-1:]), trainable=False)
        self._add(f"{name}/BatchNorm/moving_variance", tf.ones(shape[-1:]), trainable=False)

    @tf.autograph.experimental.do_not_convert
    def __call__(self, images: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs the network.

        Args:
            images: [batch, height, width, 3], float32.
            training: whether batch norm takes the batch's statistics and updates its averages.

        Returns:
            `(logits, probabilities)`, both [batch, 1, 1, num_classes], float32.
        """
        net = tf.nn.relu(self._convolve(images, "conv1", training, stride=2))
        net = tf.nn.max_pool2d(net, 3, 2, "SAME")
        for block, _, units, last_stride in BLOCKS:
            for unit in range(1, units + 1):
                stride = last_stride if unit == units else 1
                net = self._bottleneck(net, f"{block}/unit_{unit}/bottleneck_v1", training, stride)
        net = tf.reduce_mean(net, [1, 2], keepdims=True)
        net = tf.nn.conv2d(net, self._variable("logits/weights"), 1, "SAME")
        logits = tf.nn.bias_add(net, self._variable("logits/biases"))
        flat = tf.reshape(logits, [-1, logits.shape[-1]])
        return logits, tf.reshape(tf.nn.softmax(flat), tf.shape(logits))

    def _bottleneck(self, inputs: tf.Tensor, name: str, training: bool, stride: int) -> tf.Tensor:
        if f"resnet_v1_50/{name}/shortcut/weights" in self.by_name:
            shortcut = self._convolve(inputs, f"{name}/shortcut", training, stride)
        else:
            shortcut = inputs if stride == 1 else tf.nn.max_pool2d(inputs, 1, stride, "SAME")
        net = tf.nn.relu(self._convolve(inputs, f"{name}/conv1", training))
        net = tf.nn.relu(self._convolve(net, f"{name}/conv2", training, stride))
        return tf.nn.relu(shortcut + self._convolve(net, f"{name}/conv3", training))

    def _convolve(self, inputs: tf.Tensor, name: str, training: bool, stride: int = 1) -> tf.Tensor:
        kernel = self._variable(f"{name}/weights")
        padding = "SAME"
        if stride > 1 and kernel.shape[0] > 1:
            # Symmetric, where "SAME" would put the odd pixel at the bottom and right.
            before, after = (kernel.shape[0] - 1) // 2, kernel.shape[0] // 2
            inputs = tf.pad(inputs, [[0, 0], [before, after], [before, after], [0, 0]])
            padding = "VALID"
        return self._batch_norm(
            tf.nn.conv2d(inputs, kernel, stride, padding), f"{name}/BatchNorm", training
        )

    def _batch_norm(self, inputs: tf.Tensor, name: str, training: bool) -> tf.Tensor:
        moving_mean = self._variable(f"{name}/moving_mean")
        moving_variance = self._variable(f"{name}/moving_variance")
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            self._variable(f"{name}/gamma"),
            self._variable(f"{name}/beta"),
            mean=moving_mean,
            variance=moving_variance,
            epsilon=BATCH_NORM_EPSILON,
            is_training=training,
            exponential_avg_factor=1.0 - BATCH_NORM_DECAY,
        )
        if training:
            moving_mean.assign(mean)
            moving_variance.assign(variance)
        return outputs

    def _variable(self, name: str) -> tf.Variable:
        return self.by_name[f"resnet_v1_50/{name}"]
