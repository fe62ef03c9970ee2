"""Decoding, whole or a part, and resizing as TF1 did it."""

from __future__ import annotations

import tensorflow as tf

# Pixels that one sample of a JPEG's colours covers, at most.
_NEIGHBOURS = 4
# How many times as many pixels as the resized one a large image has, at least.
_LARGE = 5


def image_size(image: tf.Tensor) -> tf.Tensor:
    """Height and width; of a JPEG they are read from its header.

    Args:
        image: As `Preprocessing` has it.

    Returns:
        int32 `[2]`.
    """
    if image.dtype != tf.string:
        return tf.shape(image)[:2]
    return tf.cond(
        tf.io.is_jpeg(image),
        lambda: tf.io.extract_jpeg_shape(image)[:2],
        lambda: tf.shape(_decoded(image))[:2],
    )


def decode(image: tf.Tensor, max_value: float) -> tf.Tensor:
    """The whole image.

    Args:
        image: As `Preprocessing` has it.
        max_value: What the brightest pixel becomes: 1 or 255.

    Returns:
        float32 `[H, W, 3]` from 0 to `max_value`.
    """
    return _as_float(_decoded(image) if image.dtype == tf.string else image, max_value)


def decode_window(image: tf.Tensor, begin: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """A part of the image; of a JPEG no more than that is decoded.

    Args:
        image: As `Preprocessing` has it.
        begin: int32 `[2]`, the part's first row and column.
        size: int32 `[2]`, its height and width.

    Returns:
        `[size[0], size[1], 3]`, uint8 of an encoded image, and else of the image's own type.
    """

    def window(pixels: tf.Tensor) -> tf.Tensor:
        part = tf.slice(pixels, tf.pad(begin, [[0, 1]]), tf.concat([size, [-1]], 0))
        return tf.ensure_shape(part, [None, None, pixels.shape[-1]])

    if image.dtype != tf.string:
        return _in_three_channels(window(image))
    return tf.cond(
        tf.io.is_jpeg(image),
        lambda: _decoded_jpeg_window(image, begin, size),
        lambda: window(_decoded(image)),
    )


def resize_bilinear(
    pixels: tf.Tensor,
    height: tf.Tensor | int,
    width: tf.Tensor | int,
    value_range: tuple[float, float] | None = None,
) -> tf.Tensor:
    """Resizes as TF1 did by default: corners of pixels are aligned, not their centres.

    Args:
        pixels: uint8 or float32 `[H, W, 3]`.
        height: The new height, an int32 scalar.
        width: The new width likewise.
        value_range: What black and white become, of bytes or of floats in [0, 1]; None to leave
            the values as they are.

    Returns:
        float32 `[height, width, 3]`.
    """

    def resized(values: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.ResizeBilinear(
            images=values[tf.newaxis],
            size=tf.stack([height, width]),
            align_corners=False,
            half_pixel_centers=False,
        )[0]

    if pixels.dtype != tf.uint8:
        return resized(pixels) if value_range is None else _scaled(resized(pixels), 1, value_range)
    low, high = value_range or (0.0, 255.0)

    def of_floats() -> tf.Tensor:
        # One pass from bytes to the range.
        return resized(tf.quantization.dequantize(tf.bitcast(pixels, tf.quint8), low, high))

    # The kernel for bytes makes floats of the four neighbours of each new pixel, one by one: on one
    # core 0.12 ms for 224x224, and 0.09 with the crop of a photograph turned to floats before. That
    # takes 0.1 ns a value, which is too much where few of them are neighbours.
    is_large = tf.size(pixels) > _LARGE * height * width * 3
    return tf.cond(is_large, lambda: _scaled(resized(pixels), 255, (low, high)), of_floats)


def adjust_saturation(pixels: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """As `tf.image.adjust_saturation`, without its way through hue, saturation and value.

    Args:
        pixels: float32 `[H, W, 3]`; of any scale, and negative too.
        factor: What the saturation is multiplied by, a float32 scalar, 0 or more.

    Returns:
        The same shape and type.
    """
    red, green, blue = tf.unstack(pixels, axis=-1)
    value = tf.maximum(red, tf.maximum(green, blue))
    chroma = value - tf.minimum(red, tf.minimum(green, blue))
    # Hue and value stay if every channel's distance to the brightest one is multiplied: by the
    # factor, or by less where the saturation, chroma / value, would pass 1.
    factor = tf.where(factor * chroma > value, tf.math.divide_no_nan(value, chroma), factor)
    # Below black there is no saturation.
    factor = tf.where(value > 0, factor, 0.0)
    return value[..., tf.newaxis] - (value[..., tf.newaxis] - pixels) * factor[..., tf.newaxis]


def _decoded_jpeg_window(image: tf.Tensor, begin: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    # Colours, which have half the resolution, are interpolated from their neighbours, and the
    # decoder has none behind the window's edges.
    first = tf.maximum(begin - _NEIGHBOURS, 0)
    end = tf.minimum(begin + size + _NEIGHBOURS, tf.io.extract_jpeg_shape(image)[:2])
    pixels = tf.io.decode_and_crop_jpeg(image, tf.concat([first, end - first], 0), channels=3)
    (top, left), (bottom, right) = tf.unstack(begin - first), tf.unstack(begin - first + size)
    return pixels[top:bottom, left:right]


def _decoded(image: tf.Tensor) -> tf.Tensor:
    pixels = tf.io.decode_image(image, channels=3, expand_animations=False)
    return tf.ensure_shape(pixels, [None, None, 3])


def _scaled(pixels: tf.Tensor, white: float, value_range: tuple[float, float]) -> tf.Tensor:
    low, high = value_range
    return pixels * ((high - low) / white) + low


def _in_three_channels(pixels: tf.Tensor) -> tf.Tensor:
    return tf.image.grayscale_to_rgb(pixels) if pixels.shape[-1] == 1 else pixels


def _as_float(pixels: tf.Tensor, max_value: float) -> tf.Tensor:
    pixels = _in_three_channels(pixels)
    if pixels.dtype == tf.uint8 and max_value == 255:
        return tf.cast(pixels, tf.float32)
    pixels = tf.image.convert_image_dtype(pixels, tf.float32)
    return pixels if max_value == 1 else pixels * max_value
