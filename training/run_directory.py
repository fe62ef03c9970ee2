"""The directory of a run: what is in it, when it may be made, continued or replaced."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from .continuation import FREE_SETTINGS, check_same_settings
from .publishing import check_writable, new_path
from .result import TrainResult
from .train_config import TrainConfig

RUNS = pathlib.Path("runs")
_FORMAT = "shimzoo training run"
_LOCK = ".lock"
# All there is of a run that was stopped before its config.json was written.
_LEFTOVERS = {_LOCK, "config.json.partial"}

# Everything that a run writes, as paths below its directory. `--overwrite` deletes these, but for
# the lock, and nothing else.
_FILES_OF_A_RUN = re.compile(
    r"\.lock|(config\.json|metrics\.jsonl|result\.json)(\.partial)?|curve\.png"
    r"|(final|best)\.weights\.h5|\.(final|best)\.weights\.h5\.\w+(/(final|best)\.weights\.h5)?"
    r"|checkpoints(/damaged)?|checkpoints/checkpoint(\.tmp\w*)?|checkpoints/step-\d+_temp"
    r"|checkpoints(/damaged)?/step-\d+(_temp/part-\d+-of-\d+)?\.(index|data-\d+-of-\d+)"
    r"(\.tempstate\d+)?"
    r"|tensorboard(/(train|validation)(/events\.out\.tfevents\.[^/]+)?)?"
    r"|tensorboard/plugins(/profile(/[\d_]+(/[^/]+)?)?)?"
)


class RunDirectory:
    """Paths and records of one run.

    Args:
        path: The directory; it need not exist.
    """

    def __init__(self, path: pathlib.Path | str) -> None:
        path = pathlib.Path(path)
        self.path = path
        self.config_json = path / "config.json"
        self.metrics_jsonl = path / "metrics.jsonl"
        self.result_json = path / "result.json"
        self.curve_png = path / "curve.png"
        self.final_weights = path / "final.weights.h5"
        self.best_weights = path / "best.weights.h5"
        self.checkpoints = path / "checkpoints"
        self.tensorboard = path / "tensorboard"

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Makes the directory, and keeps other processes from training in it meanwhile.

        Raises:
            BlockingIOError: Another process trains in it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / _LOCK, "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BlockingIOError(
                    f"'{self.path}' is in use by another process, which trains in it: wait for "
                    "its end, stop it with Ctrl-C, or choose another --out."
                ) from None
            yield

    def create(self, record: dict[str, Any], overwrite: bool = False) -> None:
        """Makes the directory, without an earlier run's files, and writes `config.json`.

        To be called while it is `in_use`, as only then no other process can come in between.

        Args:
            record: What `config.json` says.
            overwrite: Whether a run that is there may be replaced.

        Raises:
            FileExistsError: Since it was chosen, it has got files that must not be lost.
        """
        _check_replaceable(self.path, overwrite)
        self._delete_earlier_run()
        self.path.mkdir(parents=True, exist_ok=True)
        _write_whole(self.config_json, _to_json({"format": _FORMAT, **record}))

    def read_config(self) -> TrainConfig:
        """The settings that the run was started with.

        Raises:
            FileNotFoundError: There is no such directory.
            ValueError: It is not the directory of a run, or its `config.json` is damaged.
        """
        if not self.path.exists():
            raise FileNotFoundError(f"There is no run directory '{self.path}' to resume.")
        if not is_run(self.path):
            raise ValueError(
                f"'{self.path}' is not the directory of a training run: it has no config.json of "
                "one. Pass the directory that a run has written, as --out."
            )
        try:
            saved = json.loads(self.config_json.read_text())["config"]
            # A default of today may differ from what an older version did.
            fields = {field.name for field in dataclasses.fields(TrainConfig)}
            if missing := fields - saved.keys() - FREE_SETTINGS:
                raise KeyError(f"missing: {', '.join(sorted(missing))}")
            return TrainConfig(**saved)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"'{self.config_json}' does not hold this version's settings ({error}): the run "
                "can only be continued by the version of shimzoo that it names."
            ) from error

    def read_parts(self) -> list[dict[str, Any]]:
        """What `config.json` says of the beginning and of each continuation, with its step."""
        record = json.loads(self.config_json.read_text())
        return [{"step": 0, **record["resolved"]}, *record.get("resumed", ())]

    def record_part(self, config: TrainConfig, part: dict[str, Any]) -> None:
        """Writes into `config.json` what the run goes on with.

        Args:
            config: The settings.
            part: From which step, on what, and made by what.
        """
        record = json.loads(self.config_json.read_text())
        resumed = [*record.get("resumed", ()), part]
        record |= {"config": dataclasses.asdict(config), "resumed": resumed}
        _write_whole(self.config_json, _to_json(record))

    def read_class_names(self) -> tuple[str, ...]:
        """What the classes of the run's model stand for.

        Raises:
            ValueError: The run's `config.json` is damaged.
        """
        try:
            return tuple(self.read_resolved()["class_names"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"'{self.config_json}' names no classes ({error}).") from error

    def read_resolved(self) -> dict[str, Any]:
        """What `config.json` says that the settings led to; empty if it says nothing."""
        return json.loads(self.config_json.read_text()).get("resolved", {})

    def read_expected(self) -> str | None:
        """The test accuracy expected of the run by its recipe, in words; None where none is."""
        recipe = json.loads(self.config_json.read_text()).get("recipe")
        return None if recipe is None else recipe["expected"]

    def read_result(self) -> TrainResult | None:
        """The result of a finished run; None if it is not finished.

        Raises:
            ValueError: `result.json` is damaged.
        """
        if not self.result_json.exists():
            return None
        try:
            return TrainResult(**json.loads(self.result_json.read_text()), directory=self.path)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"'{self.result_json}' is damaged or of another version ({error}): delete it, and "
                "--resume writes it anew from the run's last checkpoint."
            ) from error

    def write_result(self, result: TrainResult) -> None:
        """Writes `result.json`, which says that the run is finished."""
        values = dataclasses.asdict(result)
        del values["directory"]
        _write_whole(self.result_json, _to_json(values))

    def read_metrics(self) -> list[dict[str, float]]:
        """The lines of `metrics.jsonl` that are of whole epochs."""
        return [line for line in self.read_lines() if "epoch" in line]

    def read_lines(self) -> list[dict[str, float]]:
        """All lines of `metrics.jsonl`, in their order; one that was cut off ends them."""
        if not self.metrics_jsonl.exists():
            return []
        lines = []
        for line in self.metrics_jsonl.read_text().splitlines():
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return lines

    def append_metrics(self, line: dict[str, float], is_durable: bool = False) -> None:
        """Adds a line to `metrics.jsonl`; a durable one is on the disk before this returns."""
        with open(self.metrics_jsonl, "a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            if is_durable:
                os.fsync(file.fileno())

    def keep_metrics_until(self, step: int, lines: list[dict[str, float]]) -> None:
        """Leaves in `metrics.jsonl` those of some lines that are of a training step or before."""
        kept = [line for line in lines if line["step"] <= step]
        _write_whole(self.metrics_jsonl, "".join(json.dumps(line) + "\n" for line in kept))

    def _delete_earlier_run(self) -> None:
        # Last the file by which this is known as a run, should the deletion be cut short.
        paths = sorted(self.path.rglob("*"), reverse=True)
        for path in sorted(paths, key=lambda path: path == self.config_json):
            if not _is_part_of_a_run(path, self.path) or path.name == _LOCK:
                continue
            if not path.is_dir():
                path.unlink()
            elif not any(path.iterdir()):
                path.rmdir()


def choose(
    config: TrainConfig, out: pathlib.Path | str | None, resume: bool, overwrite: bool
) -> RunDirectory:
    """Decides on the directory of a run, and writes nothing yet.

    Args:
        config: The run's settings.
        out: The directory asked for; None for `runs/<model>-<stage>-<time>`.
        resume: Whether to continue the run in `out`.
        overwrite: Whether to replace a run in `out`.

    Returns:
        The directory.

    Raises:
        ValueError: Both `resume` and `overwrite`, `resume` without `out`, or other settings than
            those of the run to continue.
        FileNotFoundError: There is nothing to resume.
        FileExistsError: `out` has files that must not be lost.
        NotADirectoryError: `out` or one of its parents is a file.
        PermissionError: `out` can't be written.
        BlockingIOError: Another process trains in `out`.
    """
    if resume and overwrite:
        raise ValueError("--resume and --overwrite exclude each other: pass one of them.")
    if resume and out is None:
        raise ValueError("--resume needs --out DIR, the directory of the run to continue.")
    directory = RunDirectory(
        out if out is not None else new_path(RUNS, f"{config.model}-{config.stage}")
    )
    if resume:
        check_same_settings(directory.read_config(), config, directory.path)
    else:
        _check_replaceable(directory.path, overwrite)
    check_writable(directory.path, directory.path)
    if is_run(directory.path):
        with directory.in_use():
            pass
    return directory


def _check_replaceable(path: pathlib.Path, overwrite: bool) -> None:
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"'{path}' is a file: --out takes a directory.")
    if not path.exists() or {entry.name for entry in path.iterdir()} <= _LEFTOVERS:
        return
    if not is_run(path):
        raise FileExistsError(
            f"'{path}' is not empty, and not the directory of a training run: choose another --out."
        )
    if not overwrite:
        raise FileExistsError(
            f"'{path}' has a run already: pass --resume to continue it, --overwrite to replace it, "
            "or choose another --out."
        )
    foreign = [entry for entry in path.rglob("*") if not _is_part_of_a_run(entry, path)]
    if foreign:
        raise FileExistsError(
            f"'{min(foreign)}' is not part of a training run, so --overwrite leaves '{path}' "
            "alone: move it away or choose another --out."
        )


def is_run(path: pathlib.Path) -> bool:
    """Whether a directory is that of a training run, as its `config.json` says."""
    try:
        return json.loads((path / "config.json").read_text())["format"] == _FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_part_of_a_run(path: pathlib.Path, directory: pathlib.Path) -> bool:
    relative = path.relative_to(directory).as_posix()
    return _FILES_OF_A_RUN.fullmatch(relative) is not None and not path.is_symlink()


def _write_whole(path: pathlib.Path, text: str) -> None:
    """Writes a file so that an interruption leaves the old one or the new one."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text)
    os.replace(partial, path)


def _to_json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2) + "\n"
