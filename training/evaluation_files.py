"""What an evaluation leaves: figures as JSON and CSV, the confusion matrix as a picture."""

from __future__ import annotations

import csv
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .evaluation import Evaluation

RESULTS = "results.json"
_FORMAT = "shimzoo evaluation"
_FILES = {RESULTS, "per_class.csv", "confusion_matrix.csv", "confusion_matrix.png"}
# More names or numbers than these can't be read in a picture of this size.
_MAX_NAMES = 40
_MAX_NUMBERS = 20


def is_evaluation(path: pathlib.Path) -> bool:
    """Whether a directory holds an evaluation and nothing else."""
    try:
        found = json.loads((path / RESULTS).read_text())["format"] == _FORMAT
        return found and {entry.name for entry in path.iterdir()} <= _FILES
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write(
    directory: pathlib.Path,
    evaluation: Evaluation,
    class_names: Sequence[str],
    record: Mapping[str, Any],
) -> None:
    """Writes `results.json`, `per_class.csv`, `confusion_matrix.csv` and `confusion_matrix.png`.

    Args:
        directory: A directory that is not there yet.
        evaluation: The figures.
        class_names: Names of the classes, in their order.
        record: What was evaluated, on what and how: goes into `results.json`.
    """
    directory.mkdir()
    classes = [
        {"class": number, "name": name, **figures}
        for number, (name, figures) in enumerate(
            zip(class_names, evaluation.per_class(), strict=True)
        )
    ]
    results = {
        "format": _FORMAT,
        **record,
        "images": evaluation.images,
        "bad_images": evaluation.bad_images,
        "top1": evaluation.top1,
        "top5": evaluation.top5,
        "cross_entropy": evaluation.loss,
        "classes": classes,
    }
    (directory / RESULTS).write_text(json.dumps(results, indent=2) + "\n")
    with open(directory / "per_class.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, classes[0])
        writer.writeheader()
        writer.writerows(classes)
    with open(directory / "confusion_matrix.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["class \\ predicted", *class_names])
        rows.writerows(
            [name, *row] for name, row in zip(class_names, evaluation.confusion, strict=True)
        )
    draw_confusion(evaluation, class_names, directory / "confusion_matrix.png")


def draw_confusion(evaluation: Evaluation, class_names: Sequence[str], path: pathlib.Path) -> None:
    """Draws a confusion matrix as a PNG: shares of each class' images.

    Args:
        evaluation: The figures.
        class_names: Names of the classes, in their order.
        path: Where the picture goes.
    """
    import matplotlib.figure
    import numpy as np

    counts = evaluation.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = matplotlib.figure.Figure(figsize=(9, 8), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(picture, ax=axes, label="share of the class' images")
    axes.set_title(f"top-1 {evaluation.top1:.2%} of {evaluation.images:,} images")
    axes.set_xlabel("predicted")
    axes.set_ylabel("class")
    if len(class_names) <= _MAX_NAMES:
        axes.set_xticks(range(len(class_names)), class_names, rotation=90)
        axes.set_yticks(range(len(class_names)), class_names)
    if len(class_names) <= _MAX_NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=color)
    figure.savefig(path, dpi=120)
