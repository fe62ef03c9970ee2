"""The picture of a run: loss and accuracy over the epochs."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import matplotlib.figure
import matplotlib.ticker

_PANELS = (("loss", "loss"), ("accuracy", "accuracy"))
_PARTS = (("", "training"), ("test_", "held out"))


def draw_curve(metrics: Sequence[dict[str, float]], title: str, path: pathlib.Path) -> None:
    """Draws loss and accuracy, of training and of held-out images, as a PNG.

    Args:
        metrics: The lines of `metrics.jsonl`.
        title: What stands above both panels.
        path: Where the picture goes.
    """
    # Without pyplot, a figure needs no display and leaves no state behind.
    figure = matplotlib.figure.Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    epochs = [line["epoch"] for line in metrics]
    for axes, (key, label) in zip(figure.subplots(1, 2), _PANELS, strict=True):
        for prefix, part in _PARTS:
            values = [line[prefix + key] for line in metrics]
            axes.plot(epochs, values, marker=".", label=f"{part}, last {values[-1]:.4f}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
