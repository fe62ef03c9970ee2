"""Models written as files of other runtimes: SavedModel, LiteRT (TFLite), ONNX."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

from .export_formats import (
    ENCODED_SIGNATURE,
    IMAGE_BYTES,
    IMAGES,
    LOGITS,
    PROBABILITIES,
    SAVED_MODEL,
    SIGNATURE,
    TFLITE,
    format_of,
)
from .prediction import read_image

Serve = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def write(
    model: keras.Model,
    path: pathlib.Path,
    *,
    precision: str = "float32",
    batch_size: int | None = None,
    preprocessing: str,
    calibration: np.ndarray | None = None,
) -> None:
    """Writes a model in the format of the target's name.

    It takes `images`, float32 `[B, H, W, 3]`, preprocessed, and gives `logits` and
    `probabilities`, float32 `[B, num_classes]`. A SavedModel has the signature `serve_encoded`
    besides, which takes `image_bytes`, string `[B]`, files as `prediction.read_image` reads them.

    Args:
        model: A built model of the zoo.
        path: The target, which is not there yet.
        precision: One of `export_formats.PRECISIONS`. `"float16"` stores weights in half
            precision; `"int8"` computes in integers of 8 bits, but for inputs and outputs.
        batch_size: Images in a batch; None for any number.
        preprocessing: Name of the preprocessing of encoded images.
        calibration: For `"int8"`: float32 `[N, H, W, 3]`, images as the model will see them, from
            which ranges of activations are taken.
    """
    size = model.get_build_config()["input_shape"][1]
    signature = tf.TensorSpec((batch_size, size, size, 3), tf.float32, name=IMAGES)

    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = model(images, training=False)
        return {LOGITS: logits, PROBABILITIES: tf.nn.softmax(logits)}

    def serve_encoded(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        def read(encoded: tf.Tensor) -> tf.Tensor:
            return read_image(encoded, size, preprocessing)

        return serve(tf.map_fn(read, image_bytes, fn_output_signature=signature.dtype))

    kind = format_of(path)
    signatures: dict[str, tuple[Serve, tf.TensorSpec]] = {SIGNATURE: (serve, signature)}
    if kind == SAVED_MODEL:
        encoded = tf.TensorSpec((batch_size,), tf.string, name=IMAGE_BYTES)
        _write_saved_model(model, path, signatures | {ENCODED_SIGNATURE: (serve_encoded, encoded)})
    elif kind == TFLITE:
        with tempfile.TemporaryDirectory() as scratch:
            source = pathlib.Path(scratch) / "model"
            _write_saved_model(model, source, signatures)
            path.write_bytes(_to_tflite(source, precision, batch_size or 1, calibration))
    else:
        _write_onnx(path, serve, signature)


def _write_saved_model(
    model: keras.Model, path: pathlib.Path, signatures: Mapping[str, tuple[Serve, tf.TensorSpec]]
) -> None:
    # By TensorFlow itself: `keras.export.ExportArchive` stores every variable twice.
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    functions = {
        name: tf.function(serve, autograph=False).get_concrete_function(signature)
        for name, (serve, signature) in signatures.items()
    }
    tf.saved_model.save(module, str(path), signatures=functions)


def _to_tflite(
    saved_model: pathlib.Path, precision: str, batch_size: int, calibration: np.ndarray | None
) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        # An operation without an integer kernel is an error, and not left in float32.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]

        def batches() -> Iterator[list[np.ndarray]]:
            for first in range(0, len(calibration) - batch_size + 1, batch_size):
                yield [calibration[first : first + batch_size]]

        converter.representative_dataset = batches
    return converter.convert()


def _write_onnx(path: pathlib.Path, serve: Serve, signature: tf.TensorSpec) -> None:
    import tf2onnx

    tf2onnx.convert.from_function(
        tf.function(serve), input_signature=[signature], output_path=str(path)
    )
