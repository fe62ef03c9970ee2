"""Exported models, each opened by its own runtime."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np

from . import export_formats
from .evaluation import Predict


def open_exported(path: pathlib.Path, batch_size: int | None) -> Predict:
    """Opens an exported model without the code that it was made of.

    Args:
        path: What `export_writing.write` wrote.
        batch_size: Images in a batch as it was exported; None for any number.

    Returns:
        From images, float32 `[B, H, W, 3]`, to logits, float32 `[B, num_classes]`, for any B.
    """
    openers = {
        export_formats.SAVED_MODEL: _open_saved_model,
        export_formats.TFLITE: _open_tflite,
        export_formats.ONNX: _open_onnx,
    }
    run = openers[export_formats.format_of(path)](path)
    return run if batch_size is None else _in_batches_of(batch_size, run)


def open_encoded(path: pathlib.Path) -> Callable[[list[bytes]], np.ndarray]:
    """Opens the signature of a SavedModel that takes encoded images.

    Args:
        path: A SavedModel that `export_writing.write` wrote.

    Returns:
        From image files' bytes to logits, float32 `[B, num_classes]`.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def run(files: list[bytes]) -> np.ndarray:
        serve = loaded.signatures[export_formats.ENCODED_SIGNATURE]
        outputs = serve(**{export_formats.IMAGE_BYTES: tf.constant(files)})
        return outputs[export_formats.LOGITS].numpy()

    return run


def _open_saved_model(path: pathlib.Path) -> Predict:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def run(images: np.ndarray) -> np.ndarray:
        # A signature alone does not keep the variables alive.
        serve = loaded.signatures[export_formats.SIGNATURE]
        return serve(**{export_formats.IMAGES: tf.constant(images)})[export_formats.LOGITS].numpy()

    return run


def _open_tflite(path: pathlib.Path) -> Predict:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner()
    return lambda images: runner(**{export_formats.IMAGES: images})[export_formats.LOGITS]


def _open_onnx(path: pathlib.Path) -> Predict:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run([export_formats.LOGITS], {export_formats.IMAGES: images})[0]


def _in_batches_of(batch_size: int, run: Predict) -> Predict:
    """Splits and fills up batches for a model that takes one size only."""

    def run_split(images: np.ndarray) -> np.ndarray:
        filling = np.repeat(images[:1], -len(images) % batch_size, axis=0)
        filled = np.concatenate([images, filling])
        parts = [run(part) for part in np.split(filled, len(filled) // batch_size)]
        return np.concatenate(parts)[: len(images)]

    return run_split
