"""Checks of images, so that all versions of all models refuse the same ones in the same words.

Nothing here needs keras or tensorflow.
"""

from typing import Any

IMAGE_CHANNELS = 3
# Preprocessing -> what images hold, and how to get there from 0 to 255.
IMAGE_VALUES = {
    "inception": "with values in [-1, 1], got {}: divide 0 to 255 by 127.5 and subtract 1.",
    "vgg": "of 0 to 255 less the mean colour, got {}: subtract (123.68, 116.78, 103.94).",
}


def check(images: Any, model: str, preprocessing: str, least_size: int) -> None:
    """Checks type, shape, dtype and size of images.

    Args:
        images: Array or tensor, `[B, H, W, 3]`; unknown dimensions are None.
        model: What messages call the model.
        preprocessing: A key of `IMAGE_VALUES`.
        least_size: Least height and width, in pixels.

    Raises:
        ValueError: The net can't take such images.
    """
    if not hasattr(images, "shape") or not hasattr(images, "dtype"):
        raise ValueError(
            f"{model} takes images as an array or a tensor, got {type(images).__name__}: make it "
            "one with np.asarray."
        )
    shape, dtype = tuple(images.shape), getattr(images.dtype, "name", str(images.dtype))
    if len(shape) != 4 or shape[3] != IMAGE_CHANNELS:
        raise ValueError(
            f"{model} takes images of shape [batch, height, width, {IMAGE_CHANNELS}], got "
            f"{_shape_text(shape)}."
        )
    if shape[0] == 0:
        raise ValueError(f"{model} takes at least one image, got a batch of none.")
    if "float" not in dtype:
        values = IMAGE_VALUES[preprocessing].format(dtype)
        raise ValueError(f"{model} takes floating-point images {values}")
    if any(size is not None and size < least_size for size in shape[1:3]):
        raise ValueError(
            f"{model} takes images of at least {least_size}x{least_size} pixels, got "
            f"{shape[1]}x{shape[2]}."
        )


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
