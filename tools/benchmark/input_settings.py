"""What `input` measures; imports no TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib

from ...training import preprocessing as preprocessings
from ...training.datasets import check_dataset_name
from . import machine, results_file

PHOTOGRAPHS = "photographs"
OURS, TEXTBOOK = "shimzoo", "textbook"
MEASURES = ("decode", "evaluate", "train")
# What there is a textbook pipeline for.
TEXTBOOK_PREPROCESSINGS = ("inception", "vgg")


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputSettings:
    """What one run of `input` measures.

    Args:
        dataset: `PHOTOGRAPHS` for generated JPEG files, or what `load_dataset` takes.
        data_dir: as for `load_dataset`.
        preprocessing: a name of a preprocessing.
        image_size: height and width of the images as a model sees them, in pixels.
        batch_size: images in a batch.
        threads: CPU cores that each contender may use.

    Raises:
        ValueError: a value is out of its range, or there is no such dataset or preprocessing.
    """

    dataset: str = PHOTOGRAPHS
    data_dir: str | None = None
    preprocessing: str = "inception"
    image_size: int = 224
    batch_size: int = 32
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("image_size", "batch_size", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be 1 or more.")
        if self.threads > (cores := machine.available_cores()):
            raise ValueError(f"threads={self.threads}, and this process may use {cores} core(s).")
        if self.dataset != PHOTOGRAPHS:
            check_dataset_name(self.dataset, self.data_dir)
        elif self.data_dir is not None:
            raise ValueError(
                f"The photographs are made here: leave data_dir={self.data_dir!r} out."
            )
        preprocessings.check(self.preprocessing, self.image_size)

    def hindrance(self, contender: str) -> str | None:
        """Says why a contender can't take part; None if it can."""
        if contender == TEXTBOOK and self.preprocessing not in TEXTBOOK_PREPROCESSINGS:
            known = " and ".join(TEXTBOOK_PREPROCESSINGS)
            return f"textbook pipelines are there for {known}, not for {self.preprocessing}"
        return None

    def to_json(self) -> str:
        """As text, for a process' command line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> InputSettings:
        """What `to_json` gave."""
        return cls(**json.loads(text))


@dataclasses.dataclass(frozen=True)
class Step:
    """A training step that is to be fed.

    Args:
        milliseconds: its time with its input at hand.
        batch_size: images in it.
        is_on_gpu: whether a GPU runs it, and leaves the CPU's cores to the input; None where that
            is not known.

    Raises:
        ValueError: the time is none.
    """

    milliseconds: float
    batch_size: int
    is_on_gpu: bool | None = None

    def __post_init__(self) -> None:
        if not 0 < self.milliseconds < math.inf:
            raise ValueError(f"step_ms={self.milliseconds:g}: must be above 0 and finite.")

    @classmethod
    def measured(cls, path: pathlib.Path, image_size: int) -> Step:
        """The step of the zoo's model in a file that `throughput` wrote.

        Args:
            path: the file.
            image_size: height and width of the images that it is to be fed, in pixels.

        Raises:
            OSError: the file can't be read.
            ValueError: it has no training step, or one of other images.
        """
        for line in results_file.read_csv(path):
            is_step = line["measure"] == "training" and not line["against"]
            needed = ("stage", "median", "batch_size", "image_size")
            if not (is_step and all(line.get(name) for name in needed)):
                continue
            if int(line["image_size"]) != image_size:
                raise ValueError(
                    f"image_size={image_size}, and the step in '{path}' takes images of "
                    f"{line['image_size']} pixels: measure the input for these."
                )
            is_on_gpu = bool(line.get("gpu"))
            return cls(float(line["median"]), int(line["batch_size"]), is_on_gpu)
        raise ValueError(
            f"'{path}' has no training step of the zoo's: give a file of `shimzoo benchmark "
            "throughput --out`."
        )

    def verdict(self, rate_per_core: float, cores: int) -> str:
        """Says whether the step would wait for its input, or what that takes from it.

        Args:
            rate_per_core: images/s that a core prepares for training.
            cores: that there are, each as fast.
        """
        needed = self.batch_size / self.milliseconds * 1e3
        busy = needed / rate_per_core
        said = []
        if self.is_on_gpu is not False:
            waiting = f"starve, waiting {_percent(1 - cores / busy)} of the time"
            said.append(f"on a GPU it would {'not starve' if busy <= cores else waiting}")
        if not self.is_on_gpu:
            share = _percent(busy / (busy + cores))
            longer = self.milliseconds * (1 + busy / cores)
            said.append(
                f"on the CPU, where it uses the cores too, input takes {share} of their time, and "
                f"a step up to {longer:.4g} ms"
            )
        return (
            f"a step of {self.batch_size} images in {self.milliseconds:.4g} ms takes {needed:.0f} "
            f"images/s, which keep {busy:.1f} of {cores} core(s) busy: {'; '.join(said)}"
        )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
