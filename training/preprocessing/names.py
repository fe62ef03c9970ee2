"""The names of the preprocessings, and what can be told of them without TensorFlow."""

from __future__ import annotations

# Name -> module and class.
HOME = {
    "inception": ("inception", "Inception"),
    "inception_full": ("inception", "InceptionFull"),
    "vgg": ("vgg", "Vgg"),
    "cifarnet": ("cifarnet", "Cifarnet"),
    "lenet": ("lenet", "Lenet"),
    "resize": ("resize", "Resize"),
}
PREPROCESSINGS = tuple(HOME)
# VGG's crops are taken from images whose smaller side is this long: `_RESIZE_SIDE_MIN` of
# research/slim/preprocessing/vgg_preprocessing.py in tensorflow/models.
VGG_SMALLEST_SIDE = 256


def check(name: str, image_size: int) -> None:
    """Holds a name and a size against what there is.

    Args:
        name: As in `get`.
        image_size: Height and width that the model is to see, in pixels.

    Raises:
        ValueError: There is no such preprocessing, or it can't give that size.
    """
    if name not in HOME:
        raise ValueError(
            f"There is no preprocessing {name!r}: there are {', '.join(PREPROCESSINGS)}."
        )
    if name == "vgg" and image_size > VGG_SMALLEST_SIDE:
        raise ValueError(
            f"image_size={image_size} is too large for the preprocessing vgg, which crops images "
            f"whose smaller side is {VGG_SMALLEST_SIDE}: take up to that, or another preprocessing."
        )
