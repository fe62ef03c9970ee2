"""What `throughput` measures, and who takes part; imports neither Keras nor TensorFlow."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
from collections.abc import Mapping
from typing import Any

from ... import models
from . import counterparts, machine

PHASES = ("training", "inference")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
STRATEGIES = ("one_device", "mirrored")
BACKENDS = ("tensorflow", "jax", "torch")
KERAS_APPLICATIONS, TF1_SESSION = "keras_applications", "tf1_session"
TORCHVISION, TIMM, MATRIX_PRODUCT = "torchvision", "timm", "matrix_product"
CONTENDERS = (
    *models.STAGES,
    KERAS_APPLICATIONS,
    TF1_SESSION,
    TORCHVISION,
    TIMM,
    MATRIX_PRODUCT,
)
# Whose backend can be chosen.
_ON_KERAS = (*models.STAGES, KERAS_APPLICATIONS)
NUM_CLASSES = 1000
# Rows and columns of the matrices whose product is the ceiling.
MATRIX_SIZE = 4096
# Module -> what installs it.
_INSTALLS = {
    "tensorflow": "'shimzoo[cpu]'",
    "jax": "'shimzoo[jax]'",
    "torch": "'shimzoo[torch]'",
    "torchvision": "torchvision",
    "timm": "timm",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What one run of `throughput` measures; a contender's process gets it with its own name.

    Args:
        model: name of the model.
        batch_size: images in a step, over all replicas.
        image_size: height and width of the images, in pixels.
        precision: one of `PRECISIONS`.
        jit_compile: whether XLA, or `torch.compile`, compiles the steps; None: as each contender's
            backend does by itself, see `Entry.compiles`.
        strategy: one of `STRATEGIES`, of the zoo's models on TensorFlow.
        replicas: how many devices `mirrored` uses; None for all GPUs, or one CPU.
        options: of the zoo's model, by name.
        phases: which of `PHASES`.
        threads: CPU cores that each contender may use.
        real_input: whether the zoo's models are also trained on JPEG files that are read and
            distorted meanwhile.
        files: the folder of these, which the driver makes.
        matrix_size: rows and columns of the matrices whose product is the ceiling.

    Raises:
        ValueError: a value is out of its range, or there is no such model or option of it.
    """

    model: str
    batch_size: int
    image_size: int
    precision: str = "float32"
    jit_compile: bool | None = False
    strategy: str = "one_device"
    replicas: int | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    phases: tuple[str, ...] = PHASES
    threads: int = 1
    real_input: bool = False
    files: str = ""
    matrix_size: int = dataclasses.field(default_factory=lambda: MATRIX_SIZE)

    def __post_init__(self) -> None:
        models.get_variant(self.model)
        for name in ("batch_size", "image_size", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be 1 or more.")
        known = {"precision": PRECISIONS, "strategy": STRATEGIES}
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name}={getattr(self, name)!r} is none of {', '.join(values)}.")
        for phase in self.phases:
            if phase not in PHASES:
                raise ValueError(f"phase={phase!r} is none of {', '.join(PHASES)}.")
        if self.threads > (cores := machine.available_cores()):
            raise ValueError(f"threads={self.threads}, and this process may use {cores} core(s).")
        self._check_model()
        if self.replicas is not None and self.strategy != "mirrored":
            raise ValueError(
                f"replicas={self.replicas} is of strategy='mirrored', and the strategy is "
                f"'{self.strategy}'."
            )
        if self.replicas is not None and (self.replicas < 1 or self.batch_size % self.replicas):
            raise ValueError(
                f"replicas={self.replicas} do not share a batch of {self.batch_size} evenly."
            )
        if "training" not in self.phases and self.real_input:
            raise ValueError("real input is for training, which is not measured.")

    def _check_model(self) -> None:
        if "num_classes" in self.options:
            raise ValueError(
                f"All contenders have {NUM_CLASSES} classes: leave the option num_classes out."
            )
        variant, known = models.get_variant(self.model), models.default_options(self.model)
        known.of(variant, **self.options)
        if self.image_size < known.MIN_IMAGE_SIZE:
            raise ValueError(
                f"image_size={self.image_size}: {self.model} takes images of "
                f"{known.MIN_IMAGE_SIZE} pixels or more."
            )

    def to_json(self) -> str:
        """As text, for a process' command line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """What `to_json` gave."""
        values = json.loads(text)
        return cls(**{**values, "phases": tuple(values["phases"])})


@dataclasses.dataclass(frozen=True)
class Entry:
    """A contender that is to take part.

    Args:
        kind: one of `CONTENDERS`.
        backend: Keras' backend, or the framework that runs it.
        name: what it is called in the results.
    """

    kind: str
    backend: str
    name: str

    @classmethod
    def parse(cls, text: str, backend: str) -> Entry:
        """Reads a contender as the command line has it: KIND or KIND:BACKEND.

        Args:
            text: the text.
            backend: the backend where the text names none.

        Raises:
            ValueError: there is no such contender or backend, or it has no choice of one.
        """
        kind, colon, own = text.partition(":")
        if kind not in CONTENDERS:
            raise ValueError(
                f"There is no contender {kind!r}: contenders are {', '.join(CONTENDERS)}, and on "
                "another backend than the others, for instance, native:jax."
            )
        if colon and kind not in (*_ON_KERAS, MATRIX_PRODUCT):
            raise ValueError(f"{kind} runs on no backend of Keras: leave ':{own}' out.")
        chosen = own if colon else backend
        if chosen not in BACKENDS:
            raise ValueError(f"backend={chosen!r} is none of {', '.join(BACKENDS)}.")
        if kind == TF1_SESSION:
            chosen = "tensorflow"
        elif kind in (TORCHVISION, TIMM):
            chosen = "torch"
        return cls(kind, chosen, text)

    def compiles(self, settings: Settings) -> bool:
        """Whether its steps are compiled: as the settings say, or else on JAX alone."""
        return self.backend == "jax" if settings.jit_compile is None else settings.jit_compile

    def hindrance(self, settings: Settings) -> str | None:
        """Says why a contender can't take part; None if it can."""
        return self._unsuited(settings) or self._unlike(settings) or self._not_installed()

    def _unsuited(self, settings: Settings) -> str | None:
        model = settings.model
        if self.kind in models.STAGES and self.kind != "native" and self.backend != "tensorflow":
            return f"runs on TensorFlow alone, and the backend is {self.backend}"
        if self.kind == KERAS_APPLICATIONS and counterparts.keras_application(model) is None:
            return f"keras.applications has no counterpart of {model}"
        if self.kind == TF1_SESSION:
            if model not in counterparts.SLIM_NETS:
                return f"tf_slim.nets has no {model}"
            if settings.precision != "float32" or self.compiles(settings):
                return "TF-Slim's nets are measured in float32, without XLA"
        if self.kind == TORCHVISION and counterparts.torchvision_model(model) is None:
            return f"torchvision has no counterpart of {model}"
        if self.kind == TIMM and counterparts.timm_model(model) is None:
            return f"timm has no counterpart of {model}"
        is_alone = self.kind in (*_ON_KERAS, MATRIX_PRODUCT) and self.backend == "tensorflow"
        if settings.strategy == "mirrored" and not is_alone:
            return "mirrored is measured on TensorFlow, with the zoo's and Keras' models"
        return None

    def _unlike(self, settings: Settings) -> str | None:
        """Says which options would make the zoo's net another than this one's; None for none."""
        if self.kind in (*models.STAGES, MATRIX_PRODUCT):
            return None
        usual = models.default_options(settings.model)
        unlike = [
            f"{name}={value}"
            for name, value in settings.options.items()
            if value != getattr(usual, name)
            and not counterparts.has_option(self.kind, settings.model, name, value)
        ]
        return f"its net can't follow {', '.join(unlike)}" if unlike else None

    def _not_installed(self) -> str | None:
        needed = [self.backend] + [self.kind] * (self.kind in (TORCHVISION, TIMM))
        missing = [module for module in needed if importlib.util.find_spec(module) is None]
        if not missing:
            return None
        return f"not installed: pip install {' '.join(_INSTALLS[name] for name in missing)}"


def entries(
    settings: Settings, stage: str, backend: str, contenders: tuple[str, ...] = ()
) -> list[Entry]:
    """Who takes part.

    Args:
        settings: what is measured.
        stage: the zoo's version that is compared with the others.
        backend: Keras' backend.
        contenders: the others, as the command line has them; none for all that suit the model.

    Returns:
        The contenders; that of the stage first, the matrix product last.

    Raises:
        ValueError: there is no such stage, contender or backend.
    """
    models.check_stage(stage)
    first = Entry.parse(stage, backend)
    if contenders:
        others = [Entry.parse(text, backend) for text in contenders]
    else:
        offered = [Entry.parse(kind, backend) for kind in (KERAS_APPLICATIONS, TF1_SESSION)]
        if backend != "tensorflow":
            offered = offered[:1]
        others = [entry for entry in offered if entry._unsuited(settings) is None]
        theirs = [Entry.parse(kind, backend) for kind in (TORCHVISION, TIMM)]
        # The first that has the net; where it is not installed, its row says so.
        others += [entry for entry in theirs if entry._unsuited(settings) is None][:1]
    found = {entry.name: entry for entry in (first, *others, Entry.parse(MATRIX_PRODUCT, backend))}
    return list(found.values())


def check_not_deterministic() -> None:
    """Raises ValueError where op determinism is on, under which other kernels run."""
    if os.environ.get("TF_DETERMINISTIC_OPS", "").lower() in ("1", "true"):
        raise ValueError(
            "TF_DETERMINISTIC_OPS is set: op determinism runs other, slower kernels, and their "
            "times say nothing. Unset it."
        )
