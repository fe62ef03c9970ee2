"""What the benchmarks are to show: every target, and the command that measures it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .measures import TAKEN_ONCE, has_interval

# In a target's place for a contender: of each of them the same is asked.
ANY = "*"
# What targets are about that say nothing else: two cores, no GPU, the model as it is by default.
_CIRCUMSTANCES = {"threads": 2, "gpu": "", "options": ""}


@dataclasses.dataclass(frozen=True)
class Bound:
    """What a value is to be.

    Args:
        limit: the value.
        at_least: whether it is to be that or more; else that or less.
    """

    limit: float
    at_least: bool = False

    def judge(self, low: float, high: float) -> str:
        """Says "ok" or "missed" where all of a value's interval is, else "unclear".

        Args:
            low: lower end of the confidence interval of what was measured.
            high: upper end.
        """
        if low >= self.limit if self.at_least else high <= self.limit:
            return "ok"
        is_missed = high < self.limit if self.at_least else low > self.limit
        return "missed" if is_missed else "unclear"

    def outcome(self, measure: str, rounds: int, median: float, low: float, high: float) -> str:
        """Says of a measured value "ok" or "missed", or "unclear" where that is not known.

        Args:
            measure: what was measured.
            rounds: how often.
            median: the value.
            low: lower end of its interval.
            high: upper end.
        """
        if measure in TAKEN_ONCE:
            return self.judge(median, median)
        return self.judge(low, high) if has_interval(measure, rounds) else "unclear"

    def worst_first(self, value: float) -> float:
        """A key that sorts values, the one furthest from what it is to be first."""
        return value if self.at_least else -value

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


@dataclasses.dataclass(frozen=True)
class Target:
    """A number that a benchmark is to give.

    Args:
        title: what is asked, for the table of results.
        command: the command line that measures it, after `shimzoo benchmark`.
        benchmark, contender, measure, against: of the row that has it. Where the contender is
            `ANY`, of the worst of several rows.
        bound: what it is to be; None where it is only reported.
        conditions: what the row's other columns have to be, by name, beside two threads, no GPU and
            no options where it says nothing of them.
    """

    title: str
    command: str
    benchmark: str
    contender: str
    measure: str
    against: str = ""
    bound: Bound | None = None
    conditions: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def is_of(self, line: Mapping[str, Any]) -> bool:
        """Whether a line of results, as `rows.lines` makes it, is what this asks for."""
        wanted = {
            "benchmark": self.benchmark,
            "measure": self.measure,
            "against": self.against,
            **({} if self.contender == ANY else {"contender": self.contender}),
            **_CIRCUMSTANCES,
            **self.conditions,
        }
        return all(str(line.get(name, "")) == str(value) for name, value in wanted.items())


def _at_most(limit: float) -> Bound:
    return Bound(limit)


_RESNET_64 = {"model": "resnet_v1_50", "image_size": 64, "batch_size": 2}
_SHIM = "shim-overhead --rounds 50"
_CONVERSION = "conversion --rounds 7"


def _shim(what: str, measure: str, against: str, limit: float) -> Target:
    return Target(
        f"shimmed {what} / {against}, ResNet-50 64x64 b2",
        _SHIM,
        "shim-overhead",
        "shimmed",
        measure,
        against,
        _at_most(limit),
        _RESNET_64,
    )


def _growth(what: str, measure: str, limit: float) -> Target:
    # 0.5 MiB is what the allocator keeps now and then; the smallest Python object left behind by
    # each call would be 0.15 MiB.
    return Target(
        f"{what} left by 10,000 eager calls of a small shimmed layer",
        _SHIM,
        "shim-overhead",
        "shimmed",
        measure,
        "",
        _at_most(limit),
    )


def _throughput(
    title: str,
    model: str,
    image_size: int,
    measure: str,
    against: str,
    bound: Bound | None,
    contender: str = "native",
    jit: bool = False,
    others: tuple[str, ...] = (),
) -> Target:
    set_options = _OPTIONS.get(model, ())
    conditions = {
        "model": model,
        "image_size": image_size,
        "batch_size": 8,
        "precision": "float32",
        "jit_compile": jit,
        "strategy": "one_device",
        "options": " ".join(set_options),
    }
    words = ["throughput", "--model", model, *(f"--option {text}" for text in set_options), *others]
    command = " ".join(words)
    return Target(title, command, "throughput", contender, measure, against, bound, conditions)


def _on_gpu(phase: str, against: str) -> Target:
    sizes = {"model": "resnet_v1_50", "batch_size": 256, "precision": "mixed_bfloat16"}
    words = (f"--{name.replace('_', '-')} {value}" for name, value in sizes.items())
    others = f"--jit --phase {phase} --backend jax --contender {against}"
    what = "training step" if phase == "training" else phase
    return Target(
        f"NVIDIA H100: native {what} on JAX / {against}, ResNet-50 224x224 b256 in bfloat16",
        f"throughput {' '.join(words)} {others}",
        "throughput",
        "native",
        phase,
        against,
        None,
        {
            **sizes,
            "image_size": 224,
            "jit_compile": True,
            "backend": "jax",
            "gpu": "NVIDIA H100 80GB HBM3",
            "threads": 16,
        },
    )


# keras.applications' net has no auxiliary head.
_OPTIONS = {"inception_v3": ("create_aux_logits=False",)}
_CLASSIC = "ResNet-50 224x224 b8"
_NETS = (
    ("Inception v3", "inception_v3", 299, 0.8),
    ("MobileNet v1", "mobilenet_v1_1.0_224", 224, 0.8),
    ("MobileNet v2", "mobilenet_v2_1.0_224", 224, 0.8),
)
TARGETS: tuple[Target, ...] = (
    _shim("eager inference", "eager_inference", "official_shim", 0.5),
    _shim("eager training call", "eager_training", "official_shim", 0.5),
    _shim("eager inference", "eager_inference", "keras_applications", 0.8),
    _shim("traced inference", "step_inference", "plain", 1.02),
    _shim("traced training step", "step_training", "plain", 1.02),
    _growth("resident MiB", "memory_growth", 0.5),
    _growth("entries of collections", "collections_growth", 0.0),
    _growth("ops of the global graph", "global_ops_growth", 0.0),
    *(
        _throughput(
            f"native training step / keras.applications, {title}",
            model,
            size,
            "training",
            "keras_applications",
            _at_most(limit),
        )
        for title, model, size, limit in (("ResNet-50", "resnet_v1_50", 224, 0.7), *_NETS)
    ),
    _throughput(
        f"native training step / TF1 session (beyond it ≤ 0.95), {_CLASSIC}",
        "resnet_v1_50",
        224,
        "training",
        "tf1_session",
        _at_most(1.0),
    ),
    *(
        _throughput(
            f"native inference / keras.applications, {title}",
            model,
            size,
            "inference",
            "keras_applications",
            _at_most(0.8),
        )
        for title, model, size, _ in (("ResNet-50", "resnet_v1_50", 224, None), *_NETS)
    ),
    _throughput(
        f"native tracing + first training step / keras.applications, {_CLASSIC}",
        "resnet_v1_50",
        224,
        "training_first",
        "keras_applications",
        _at_most(0.8),
    ),
    _throughput(
        f"shimmed training step / native, {_CLASSIC}",
        "resnet_v1_50",
        224,
        "training",
        "native",
        _at_most(1.05),
        contender="shimmed",
        others=("--stage shimmed", "--contender native"),
    ),
    *(
        _throughput(
            f"native {phase} on JAX / on TensorFlow with XLA, {_CLASSIC}",
            "resnet_v1_50",
            224,
            phase,
            "native:tensorflow",
            None,
            jit=True,
            others=("--jit", "--backend jax", "--contender native:tensorflow"),
        )
        for phase in ("training", "inference")
    ),
    *(
        _on_gpu(phase, against)
        for phase, against in (
            ("training", "torchvision"),
            ("training", "timm"),
            ("training", "keras_applications"),
            ("inference", "torchvision"),
            ("inference", "keras_applications"),
        )
    ),
    _throughput(
        f"native inference's share of the 4096³ matrix product's FLOP/s, {_CLASSIC}",
        "resnet_v1_50",
        224,
        "inference_share",
        "matrix_product",
        Bound(0.95, at_least=True),
    ),
    Target(
        "JPEG → Inception training images, per core / textbook tf.data pipeline",
        "input",
        "input",
        "shimzoo",
        "train",
        "textbook",
        Bound(1.5, at_least=True),
        {"preprocessing": "inception", "image_size": 224, "dataset": "photographs", "threads": 1},
    ),
    Target(
        "conversion / copying and hashing the file, ResNet v1-152, slowest pair of formats",
        _CONVERSION,
        "conversion",
        ANY,
        "conversion",
        "copy_and_hash",
        _at_most(3.0),
        {"model": "resnet_v1_152"},
    ),
    Target(
        "most memory of a conversion / size of the file, ResNet v1-152, largest of the pairs",
        _CONVERSION,
        "conversion",
        ANY,
        "memory",
        "file",
        _at_most(2.2),
        {"model": "resnet_v1_152"},
    ),
    Target(
        "`import shimzoo` / bare Python start",
        "start-up",
        "start-up",
        "import",
        "start",
        "python",
        _at_most(1.3),
    ),
    Target(
        "`shimzoo --help`, ms",
        "start-up",
        "start-up",
        "help",
        "start",
        "",
        _at_most(500.0),
    ),
)


def bound_of(line: Mapping[str, Any]) -> Bound | None:
    """What the value of a line of results is to be; None where nothing is asked of it."""
    return next((target.bound for target in TARGETS if target.is_of(line)), None)
