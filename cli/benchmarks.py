"""`shimzoo benchmark`."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from . import model_options
from .app import Debug, app, number, whole_number

if TYPE_CHECKING:
    from ..tools.benchmark.measuring import Measuring

Rounds = Annotated[
    int,
    typer.Option(
        metavar="N",
        parser=whole_number,
        help="How often each time is measured; fewer than 5 times tell no verdict.",
    ),
]
Out = Annotated[pathlib.Path | None, typer.Option(metavar="FILE", help="CSV file for the results.")]

Plot = Annotated[bool, typer.Option("--plot", help="Draw --out as well: .png and .html beside it.")]
Threads = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=whole_number,
        help="CPU cores that each contender may use. [default: all]",
    ),
]

benchmarks = typer.Typer(help="Measure what the shim and the models cost.")
app.add_typer(benchmarks, name="benchmark")


@benchmarks.command("shim-overhead")
def shim_overhead(
    model: Annotated[str, typer.Option(metavar="NAME", help="The model.")] = "resnet_v1_50",
    batch_size: Annotated[
        int, typer.Option(metavar="N", parser=whole_number, help="Images in a batch.")
    ] = 2,
    image_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=whole_number,
            help="Height and width of the images, in pixels. [default: 64, or the model's where it "
            "takes no such small ones]",
        ),
    ] = None,
    threads: Threads = None,
    rounds: Rounds = 20,
    out: Out = None,
    plot: Plot = False,
    debug: Debug = False,
) -> None:
    """Measure what the shim costs: a model with and without it, and in Keras.

    Compares the shimmed model with the other stages, the official shim, keras.applications, a TF1
    session and the bare ops: each in a process of its own, in turns. Takes some minutes. Ctrl-C
    ends the measuring and reports what there is by then.
    """
    from ..tools.benchmark import machine, shim_overhead, throughput_settings

    settings = throughput_settings.Settings(
        model=model,
        batch_size=batch_size,
        image_size=shim_overhead.default_image_size(model) if image_size is None else image_size,
        threads=machine.available_cores() if threads is None else threads,
    )
    _carry_out(shim_overhead.ShimOverhead(settings), rounds, out, plot)


@benchmarks.command("throughput")
def throughput(
    model: Annotated[str, typer.Option(metavar="NAME", help="The model.")] = "resnet_v1_50",
    stage: Annotated[
        str, typer.Option(metavar="STAGE", help="Its version, compared with the others.")
    ] = "native",
    contender: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="What it is compared with: a stage, keras_applications, tf1_session, torchvision "
            "or timm; another backend than --backend's as in native:jax. Can be repeated. "
            "[default: what has the net]",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(metavar="N", parser=whole_number, help="Images in a step.")
    ] = 8,
    image_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=whole_number,
            help="Height and width of the images, in pixels. [default: the model's]",
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option(metavar="TYPE", help="float32, mixed_float16 or mixed_bfloat16.")
    ] = "float32",
    jit: Annotated[
        bool | None,
        typer.Option(
            "--jit/--no-jit",
            help="Whether XLA, or torch.compile, compiles all contenders' steps. [default: "
            "those on JAX alone]",
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Keras' backend: tensorflow, jax or torch. [default: KERAS_BACKEND, else "
            "tensorflow]",
        ),
    ] = None,
    strategy: Annotated[
        str, typer.Option(metavar="NAME", help="one_device or mirrored.")
    ] = "one_device",
    replicas: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=whole_number,
            help="Devices that mirrored uses. [default: all GPUs, or one CPU]",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="An option of the model, such as create_aux_logits=False. Can be repeated.",
        ),
    ] = None,
    phase: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="training or inference. Can be repeated. [default: both]"
        ),
    ] = None,
    real_input: Annotated[
        bool,
        typer.Option("--real-input", help="Train on JPEG files too, read and distorted meanwhile."),
    ] = False,
    threads: Threads = None,
    rounds: Rounds = 20,
    out: Out = None,
    plot: Plot = False,
    debug: Debug = False,
) -> None:
    """Measure a model's training and inference, beside other libraries' versions of the net.

    Each contender runs in a process of its own, in turns with the others. Ctrl-C ends the measuring
    and reports what there is by then.
    """
    from .. import models
    from ..tools.benchmark import machine, throughput, throughput_settings

    backend = backend or os.environ.get("KERAS_BACKEND", "tensorflow")
    settings = throughput_settings.Settings(
        model=model,
        batch_size=batch_size,
        image_size=models.get_variant(model).input_size if image_size is None else image_size,
        precision=precision,
        jit_compile=jit,
        strategy=strategy,
        replicas=replicas,
        options=model_options.parse_options(option),
        phases=tuple(phase or throughput_settings.PHASES),
        threads=machine.available_cores() if threads is None else threads,
        real_input=real_input,
    )
    entries = throughput_settings.entries(settings, stage, backend, tuple(contender or ()))
    _carry_out(throughput.Throughput(settings, entries), rounds, out, plot)


def _carry_out(benchmark: Measuring, rounds: int, out: pathlib.Path | None, plot: bool) -> None:
    """Carries out a benchmark, draws the file of its results, and exits as it ended."""
    from ..tools.benchmark import measuring
    from ..tools.benchmark import plot as plots

    if plot:
        plots.check(out)
    ending = measuring.carry_out(benchmark, rounds, out)
    if plot and ending.is_written:
        for path in plots.draw(out, benchmark.titles):
            typer.echo(f"'{path}'")
    if ending.exit_code:
        raise typer.Exit(ending.exit_code)


@benchmarks.command("conversion")
def conversion(
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Whose checkpoints are converted.")
    ] = "resnet_v1_152",
    rounds: Annotated[
        int,
        typer.Option(metavar="N", parser=whole_number, help="How often each pair is measured."),
    ] = 5,
    out: Out = None,
    plot: Plot = False,
    debug: Debug = False,
) -> None:
    """Measure what converting checkpoints costs: time and memory, for all pairs of formats.

    Compares each with copying and hashing the file. Takes some minutes a round. Ctrl-C ends the
    measuring and reports what there is by then.
    """
    from ..tools.benchmark import conversion

    _carry_out(conversion.Conversion(model), rounds, out, plot)


@benchmarks.command("input")
def input_(
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A dataset, as for train. [default: JPEG files made of two photographs]",
        ),
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where the dataset is, as for train.")
    ] = None,
    preprocessing: Annotated[
        str, typer.Option(metavar="NAME", help="How images are prepared, as for train.")
    ] = "inception",
    image_size: Annotated[
        int,
        typer.Option(
            metavar="N", parser=whole_number, help="Height and width of the crops, in pixels."
        ),
    ] = 224,
    batch_size: Annotated[
        int, typer.Option(metavar="N", parser=whole_number, help="Images in a batch.")
    ] = 32,
    threads: Annotated[
        int,
        typer.Option(
            metavar="N", parser=whole_number, help="CPU cores that each contender may use."
        ),
    ] = 1,
    step_ms: Annotated[
        float | None,
        typer.Option(
            metavar="MS", parser=number, help="Say whether a training step of a batch would starve."
        ),
    ] = None,
    step_of: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="FILE", help="The same of the step in a file of throughput's --out."),
    ] = None,
    rounds: Rounds = 20,
    out: Out = None,
    plot: Plot = False,
    debug: Debug = False,
) -> None:
    """Measure how fast images are decoded, cropped and distorted, on each core.

    Compares training's input with the textbook's pipeline, which decodes whole images.
    """
    from ..tools.benchmark import input_settings, input_speed

    settings = input_settings.InputSettings(
        dataset=dataset or input_settings.PHOTOGRAPHS,
        data_dir=data_dir,
        preprocessing=preprocessing,
        image_size=image_size,
        batch_size=batch_size,
        threads=threads,
    )
    if step_ms is not None and step_of is not None:
        raise typer.BadParameter("--step-ms and --step-of exclude each other")
    step = None
    if step_ms is not None:
        step = input_settings.Step(step_ms, batch_size)
    elif step_of is not None:
        step = input_settings.Step.measured(step_of, image_size)
    _carry_out(input_speed.InputSpeed(settings, step), rounds, out, plot)


@benchmarks.command("start-up")
def start_up(
    rounds: Rounds = 20, out: Out = None, plot: Plot = False, debug: Debug = False
) -> None:
    """Measure how long importing shimzoo and showing its help take, beside Python alone."""
    from ..tools.benchmark import start_up

    _carry_out(start_up.StartUp(), rounds, out, plot)
