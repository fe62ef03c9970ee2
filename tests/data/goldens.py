"""Facts about TF-Slim's own nets, measured on TensorFlow 2.12: names, shapes and outputs.

`<variant>.json` has the variables in creation order, the end points and the counts;
`<variant>.npz` has outputs for weights and images that follow from a formula, so that no
checkpoint is stored. Noise comes from NumPy's PCG64, which gives the same numbers everywhere.
"""

import json
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def table(variant: str) -> dict:
    """Variables, end points, counts and constants of a variant."""
    return json.loads((HERE / f"{variant}.json").read_text())


def has_table(variant: str) -> bool:
    """Whether there is a table of that variant."""
    return (HERE / f"{variant}.json").exists()


def has_outputs(variant: str) -> bool:
    """Whether there are outputs of that variant."""
    return (HERE / f"{variant}.npz").exists()


def outputs(variant: str) -> dict[str, np.ndarray]:
    """Logits in evaluation and training, and moving statistics after one update."""
    with np.load(HERE / f"{variant}.npz", allow_pickle=False) as arrays:
        return dict(arrays)


# What the end of a name changes, so that activations of deep nets neither grow nor vanish.
_FACTORS = {
    "/bottleneck_v1/conv3/BatchNorm/gamma": 0.25,
    "/bottleneck_v2/conv3/weights": 0.25,
    "/project/BatchNorm/gamma": 0.75,
}


def value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The float32 value of the variable with this TF1 name, from noise seeded by the name."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    kind = name.rsplit("/", 1)[-1]
    if kind in ("weights", "kernel", "pointwise_weights"):
        # Without a mean over the inputs, which would otherwise drown the images' differences.
        noise = noise - noise.mean(axis=tuple(range(len(shape) - 1)), keepdims=True)
        variance = 2.0 if "/expand/" in name else 2.9
        noise = noise * np.sqrt(variance / np.prod(shape[:-1], dtype=np.float64))
    elif kind == "depthwise_weights":
        noise = noise * np.sqrt(2.0 / (shape[0] * shape[1]))
    elif kind == "gamma":
        noise = 1 + 0.1 * noise
    elif kind in ("beta", "biases", "bias", "moving_mean"):
        noise = 0.1 * noise
        if name.endswith("squeeze_excite/Conv_1/biases"):
            noise = noise + 2.0  # Gates that are open for the most part.
    elif kind == "moving_variance":
        noise = 1 + 0.1 * np.abs(noise)
    else:
        raise ValueError(f"The formula does not know variables like {name}.")
    for ending, factor in _FACTORS.items():
        if name.endswith(ending):
            is_edge = name.startswith("MobilenetEdgeTPU/") and "/project/" in ending
            noise = noise * (0.65 if is_edge else factor)
    return noise.astype(np.float32)


def values(variant: str) -> dict[str, np.ndarray]:
    """All variables of a variant by TF1 name, in creation order."""
    return {name: value(name, tuple(shape)) for name, shape, _ in table(variant)["variables"]}


def image(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Uniform noise in [-1, 1), float32."""
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
