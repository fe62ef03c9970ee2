"""Which file a path stands for."""

import difflib
import re
from pathlib import Path

WEIGHTS_SUFFIX = ".weights.h5"
KERAS_SUFFIXES = (WEIGHTS_SUFFIX, ".keras")
SAFETENSORS_SUFFIX = ".safetensors"
GRAPH_SUFFIX = ".pb"
ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar")
KNOWN_FILES = (
    "TF1 or TF2 checkpoints (.index and .data files, or one .ckpt file), .tar.gz and .tgz archives "
    "of them, SavedModel directories, frozen graphs (.pb), .weights.h5, .keras and .safetensors"
)

_BUNDLE_FILE = re.compile(r"(.+)\.(index|meta|data-\d{5}-of-\d{5})")
# A TF1 checkpoint of one file: `model.ckpt`, `model.ckpt-1234`.
_SINGLE_FILE = re.compile(r".+\.ckpt(-\d+)?")
_SUFFIXES = (".index", *KERAS_SUFFIXES, SAFETENSORS_SUFFIX, GRAPH_SUFFIX, *ARCHIVE_SUFFIXES)
_SAVED_MODEL = "saved_model.pb"
# What is beside the variables in a SavedModel's directory; no frozen graphs.
_OF_SAVED_MODELS = (_SAVED_MODEL, "fingerprint.pb", "keras_metadata.pb")
# Where in a directory checkpoints may be as well: in a SavedModel's, in a training run's.
_FOLDERS = ("variables", "checkpoints")


def locate(path: str | Path) -> Path:
    """The newest checkpoint that a path stands for.

    Args:
        path: A checkpoint's prefix or one of its files, any other file of `KNOWN_FILES`, a
            `checkpoint` state file, or a directory with any of these: a SavedModel, a training
            run.

    Returns:
        A file that exists, or a prefix whose `.index` exists.

    Raises:
        FileNotFoundError: There is no such file, or no checkpoint in the directory.
        ValueError: A `checkpoint` state file that names none.
    """
    path = Path(path)
    if path.is_dir():
        return _newest_in(path)
    if path.name == "checkpoint" and path.is_file():
        return _latest_of_state_file(path)
    if path.name in _OF_SAVED_MODELS and path.is_file():
        return _newest_in(path.parent)
    if path.is_file() and not _BUNDLE_FILE.fullmatch(path.name):
        return path
    prefix = path
    if match := _BUNDLE_FILE.fullmatch(path.name):
        prefix = path.with_name(match[1])
    if _index_of(prefix).is_file():
        return prefix
    raise FileNotFoundError(f"There is no checkpoint {path}.{_near_files(prefix)}")


def _index_of(prefix: Path) -> Path:
    return prefix.with_name(prefix.name + ".index")


def _newest_in(directory: Path) -> Path:
    state_file = directory / "checkpoint"
    if state_file.is_file():
        return _latest_of_state_file(state_file)
    if (directory / _SAVED_MODEL).is_file():
        return _variables_of_saved_model(directory)
    found = [file for file in directory.iterdir() if _is_checkpoint(file)]
    if found:
        newest = max(found, key=lambda file: (file.stat().st_mtime_ns, file.name))
        return newest.with_name(newest.name.removesuffix(".index"))
    for folder in _FOLDERS:
        if (directory / folder).is_dir():
            return _newest_in(directory / folder)
    raise FileNotFoundError(
        f"There is no checkpoint in {directory}: it holds none of {KNOWN_FILES}."
    )


def _variables_of_saved_model(directory: Path) -> Path:
    prefix = directory / "variables" / "variables"
    if not _index_of(prefix).is_file():
        raise FileNotFoundError(
            f"There is no checkpoint in {directory}: it is a SavedModel without variables/. What "
            "its graph holds as constants is read from a frozen graph (.pb)."
        )
    return prefix


def _is_checkpoint(file: Path) -> bool:
    is_one = file.name.endswith(_SUFFIXES) or _SINGLE_FILE.fullmatch(file.name) is not None
    return is_one and file.name not in _OF_SAVED_MODELS and file.is_file()


def _latest_of_state_file(state_file: Path) -> Path:
    import tensorflow as tf

    state = tf.train.get_checkpoint_state(str(state_file.parent))
    if state is None or not state.model_checkpoint_path:
        raise ValueError(f"{state_file} is not a checkpoint state file: it names no checkpoint.")
    prefix = Path(state.model_checkpoint_path)
    if not prefix.is_absolute():
        prefix = state_file.parent / prefix
    if not (_index_of(prefix).is_file() or prefix.is_file()):
        # The directory may have moved since, with an absolute path in it.
        beside = state_file.parent / prefix.name
        if not (_index_of(beside).is_file() or beside.is_file()):
            raise FileNotFoundError(f"{state_file} names {prefix}, which is not there.")
        return beside
    return prefix


def _near_files(prefix: Path) -> str:
    if not prefix.parent.is_dir():
        return f" There is no directory {prefix.parent} either."
    names = {
        match[1] if (match := _BUNDLE_FILE.fullmatch(file.name)) else file.name
        for file in prefix.parent.iterdir()
    }
    near = difflib.get_close_matches(prefix.name, sorted(names), n=3)
    return f" Near are {', '.join(near)}." if near else ""
