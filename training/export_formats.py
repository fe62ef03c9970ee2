"""The formats a model is exported in: by which name, in which precision, by which packages."""

from __future__ import annotations

import importlib.util
import pathlib

SAVED_MODEL, TFLITE, ONNX = "SavedModel", "TFLite", "ONNX"
PRECISIONS = ("float32", "float16", "int8")
# Names in every exported model.
IMAGES, IMAGE_BYTES, LOGITS, PROBABILITIES = "images", "image_bytes", "logits", "probabilities"
# A SavedModel's signatures: TensorFlow's default one, and that which takes encoded images.
SIGNATURE, ENCODED_SIGNATURE = "serving_default", "serve_encoded"

# Ends of files' names that stand for something else than a SavedModel's folder.
_OTHERS = {".pb", ".pbtxt", ".h5", ".keras", ".safetensors", ".pt", ".pth"}
# Modules that write the format or run it.
_MODULES = {SAVED_MODEL: (), TFLITE: ("ai_edge_litert",), ONNX: ("tf2onnx", "onnxruntime")}


def format_of(path: pathlib.Path) -> str:
    """The format that a target's name stands for: by `.tflite` and `.onnx`, else a SavedModel."""
    return {".tflite": TFLITE, ".onnx": ONNX}.get(path.suffix, SAVED_MODEL)


def check(path: pathlib.Path, precision: str) -> None:
    """Refuses an export before any work.

    Args:
        path: The target.
        precision: One of `PRECISIONS`.

    Raises:
        ValueError: Unknown precision, or one that the format hasn't; a file of another format.
        ModuleNotFoundError: A package that the format needs is not installed.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"There is no precision {precision!r}: precisions are {', '.join(PRECISIONS)}."
        )
    if path.suffix in _OTHERS:
        raise ValueError(
            f"'{path}' ends in {path.suffix}, which no export does: name a target that ends in "
            ".tflite or .onnx, or a folder for a SavedModel. `shimzoo convert` writes weights."
        )
    kind = format_of(path)
    if precision != "float32" and kind != TFLITE:
        raise ValueError(
            f"'{path}' would be {kind}, which is exported in float32 only: for {precision} name a "
            "target that ends in .tflite."
        )
    missing = [name for name in _MODULES[kind] if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"{kind} needs {' and '.join(missing)}, which isn't installed: "
            "pip install 'shimzoo[export]'",
            name=missing[0],
        )


def is_export(path: pathlib.Path) -> bool:
    """Whether what is at a target's path is of the format that its name stands for."""
    if format_of(path) == SAVED_MODEL:
        return (path / "saved_model.pb").is_file()
    return path.is_file()
