"""How close numbers have to be, each as a share of the expected array's largest absolute value."""

import numpy as np

# Against numbers from another TensorFlow (2.12), whose kernels sum in another order.
GOLDEN = 1e-4
# The same of 152 and 200 layers. The outputs stored here are of shallower nets; it is for those of
# the deep ones, to be compared as soon as they are added to `tests/data/goldens`.
GOLDEN_DEEP = 3e-4
# Moving statistics against the same: sums over few layers.
GOLDEN_STATISTICS = 1e-5
# Between two versions of a model in one process, or one layer and NumPy.
SAME = 1e-5
# Gradients and what follows from them: sums over whole batches of maps.
GRADIENT = 1e-4
# Between backends, a step of training included.
BACKEND = 1e-4
# Between XLA and single kernels, through a whole net.
XLA = 1e-3
# float16 has 11 bits.
HALF = 2e-3


def error(actual, expected) -> float:
    """How far an array is from the expected one."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    return np.abs(actual - expected).max() / (np.abs(expected).max() or 1.0)


def assert_close(actual, expected, tolerance: float, what: str = "") -> None:
    """Raises if an array is too far from the expected one."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, not {expected.shape}"
    off, scale = error(actual, expected), np.abs(expected).max()
    assert off <= tolerance, f"{what}: off by {off:.2g} of the largest value {scale:.3g}"
