"""L2 as `keras.regularizers` has it, by the kernel that TF1's losses used."""

from typing import Any

import keras

if keras.config.backend() == "tensorflow":
    import tensorflow as tf


@keras.saving.register_keras_serializable(package="shimzoo")
class L2(keras.regularizers.L2):
    """`keras.regularizers.L2`: l2 · Σx².

    On TensorFlow one kernel sums the squares, where Keras writes them out and reads them again,
    forwards and backwards.

    Args:
        l2: The factor; half of TF-Slim's `weight_decay`, whose loss is weight_decay · Σx² / 2.

    Raises:
        ValueError: `l2` is no finite number.
    """

    def __call__(self, x: Any) -> Any:
        """A penalty.

        Args:
            x: Floating-point tensor or variable of any shape.

        Returns:
            Scalar of the same dtype.
        """
        if keras.config.backend() == "tensorflow":
            return 2.0 * self.l2 * tf.nn.l2_loss(x)
        return super().__call__(x)
