"""How wide TF-Slim draws initial weights, in Keras' terms.

`slim.variance_scaling_initializer(factor)` draws from a normal distribution of variance
`factor / inputs`, cut at twice its deviation, and widens it by 1.3 for what the cut takes away.
`keras.initializers.VarianceScaling` cuts likewise and widens by exactly that: by 1.2924.
"""

import math

SLIM_WIDENING = 1.3
# Deviation of a standard normal distribution that is cut at 2, the constant in Keras.
CUT_DEVIATION = 0.87962566103423978


def keras_scale(factor: float) -> float:
    """The `scale` with which Keras' `VarianceScaling` draws as TF-Slim's does with `factor`."""
    return factor * SLIM_WIDENING * CUT_DEVIATION**2


def stddev(factor: float, inputs: int) -> float:
    """The deviation, before the cut, that TF-Slim gives weights of so many inputs."""
    return math.sqrt(SLIM_WIDENING * factor / inputs)
