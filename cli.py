"""`shimzoo ...`: a thin front of typer over the rooms.

No command imports TensorFlow, keras or numpy before it needs them, so that `--help`, `list`,
`show` and the report of a wrong setting come at once.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import os
import pathlib
import shlex
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.main

from . import models
from .training import datasets, recipes

if TYPE_CHECKING:
    from .training import TrainingInterrupted, TrainResult

app = typer.Typer(
    add_completion=False,
    # Typer's coloured help takes three times as long.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

_DEFAULTS = recipes.DEMO.config


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line.

    Args:
        arguments: What follows the program's name; None for this process' own.

    Returns:
        The exit code: 0; 2 for a wrong command line or setting; 1 for a failure on the way;
        128 + the signal's number after a signal. `--debug` does not change it.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        command = typer.main.get_command(app)
        return command.main(arguments, prog_name="shimzoo", standalone_mode=False) or 0
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        return _report(error)


@app.callback(
    invoke_without_command=True,
    epilog="In a checkout, `./zoo test [ARGS]` runs the test suite; ARGS are pytest's.",
)
def root(context: typer.Context, debug: Debug = False) -> None:
    """TF-Slim and compat.v1 models, alive on today's TensorFlow with Keras 3."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("list")
def list_models(
    pattern: Annotated[
        str, typer.Argument(help="Shell-style wildcard, as in 'mobilenet_v1_0.25*'.")
    ] = "*",
    debug: Debug = False,
) -> None:
    """List the models' names."""
    names = models.list_models(pattern)
    if not names:
        near = models.nearest_models(pattern)
        hint = f"the nearest are {', '.join(near)}" if near else "`shimzoo list` shows all"
        raise ValueError(f"No model matches {pattern!r}: {hint}.")
    for name in names:
        typer.echo(name)


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name as `shimzoo list` prints it.")
    ],
    debug: Debug = False,
) -> None:
    """Show a model's record, and its figures: as published, and as counted from the model."""
    variant = models.get_variant(name)
    record = dataclasses.asdict(variant)
    published = record.pop("published")
    _print_record(record)
    counted = _counted(name)
    typer.echo(f"{'figures':<28}{'published':>12}{'counted':>12}")
    for figure, label in _FIGURES.items():
        numbers = (_shown(values.get(figure)) for values in (published, counted))
        typer.echo(f"  {label:<26}" + "".join(f"{number:>12}" for number in numbers))
    _print_record(
        {
            f"{figure} differ": published[f"{key}_explained"]["why"]
            for key, figure in _EXPLAINED.items()
            if published[f"{key}_explained"]
        }
    )
    _print_record({key: published[key] for key in ("note", "source") if published[key]})


_FIGURES = {
    "top1_percent": "top-1, percent",
    "top5_percent": "top-5, percent",
    "parameters_millions": "parameters, millions",
    "multiply_adds_millions": "multiply-adds, millions",
}
_EXPLAINED = {"parameters": "parameters", "multiply_adds": "multiply-adds"}


def _counted(name: str) -> dict[str, float]:
    from .training import startup

    startup.import_tensorflow()
    from .models import counting

    counts = counting.count(name)
    return {
        "parameters_millions": counts.parameters / 1e6,
        "multiply_adds_millions": counts.multiply_adds / 1e6,
    }


def _shown(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number:.2f}" if number < 100 else f"{number:.0f}"


@app.command()
def diff(
    family: Annotated[
        str, typer.Argument(metavar="FAMILY", help=f"One of {', '.join(models.FAMILIES)}.")
    ],
    first: Annotated[
        str, typer.Argument(metavar="FIRST", help=f"One of {', '.join(models.STAGES)}.")
    ],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="Another of these.")],
    debug: Debug = False,
) -> None:
    """Show two versions of a family's models side by side: the migration."""
    from .tools import source_diff

    source_diff.show(family, first, second)


def _whole_number(text: str) -> int:
    return _parsed(text, int, "a whole number")


def _number(text: str) -> float:
    return _parsed(text, float, "a number")


def _parsed(text: str, parse: Callable[[str], Any], what: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not {what}") from None


def _setting(help_text: str, default: object, parser: Callable | None = None) -> Any:
    """An option of `train`: its default is the recipe's or, with --resume, the run's."""
    metavar = {_whole_number: "N", _number: "X", None: "NAME"}[parser]
    return typer.Option(help=f"{help_text} [default: {default}]", metavar=metavar, parser=parser)


@app.command()
def train(
    model: Annotated[
        str | None,
        _setting("What to train, as `shimzoo list` prints it.", _DEFAULTS.model),
    ] = None,
    stage: Annotated[
        str | None,
        _setting(f"Which version of it: {', '.join(models.STAGES)}.", _DEFAULTS.stage),
    ] = None,
    dataset: Annotated[
        str | None,
        _setting(f"What to train on: {', '.join(datasets.DATASETS)}.", _DEFAULTS.dataset),
    ] = None,
    image_size: Annotated[
        int | None,
        _setting("Height and width of the images, in pixels.", _DEFAULTS.image_size, _whole_number),
    ] = None,
    batch_size: Annotated[
        int | None,
        _setting("Images in a training step.", _DEFAULTS.batch_size, _whole_number),
    ] = None,
    epochs: Annotated[
        int | None,
        _setting("Passes over the training images.", _DEFAULTS.epochs, _whole_number),
    ] = None,
    learning_rate: Annotated[
        float | None,
        _setting("Peak of the learning rate.", _DEFAULTS.learning_rate, _number),
    ] = None,
    seed: Annotated[
        int | None,
        _setting("Decides fresh weights, order and shifts.", _DEFAULTS.seed, _whole_number),
    ] = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="DIR", help="Where its files go. [default: runs/<model>-<stage>-<time>]"
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out, with its settings.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run in --out.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Train a model on a dataset, and test it on images held out.

    Without options: a quarter-width MobileNet on handwritten digits, in 45 to 90 s on 2 cores.
    Ctrl-C stops a run so that --resume continues it.
    """
    given = {
        "model": model,
        "stage": stage,
        "dataset": dataset,
        "image_size": image_size,
        "batch_size": batch_size,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    _train(
        {name: value for name, value in given.items() if value is not None}, out, resume, overwrite
    )


def _train(
    settings: dict[str, Any], out: pathlib.Path | None, resume: bool, overwrite: bool
) -> None:
    from .training import TrainingInterrupted, run_directory, startup

    try:
        base = _DEFAULTS
        if resume and out is not None:
            base = run_directory.RunDirectory(out).read_config()
        config = dataclasses.replace(base, **settings)
        # Looked at before TensorFlow's import, which takes seconds, and again in `train`.
        run_directory.choose(config, out, resume, overwrite)
        startup.import_tensorflow()

        from .training import train

        result = train(config, out=out, resume=resume, overwrite=overwrite)
    except KeyboardInterrupt:  # Later ones are taken up by the run.
        typer.echo("stopped before training began", err=True)
        raise typer.Exit(128 + signal.SIGINT) from None
    except TrainingInterrupted as interruption:
        _print_interruption(interruption)
        raise typer.Exit(128 + interruption.signal_number) from None
    _print_result(result)


def _print_interruption(interruption: TrainingInterrupted) -> None:
    directory = shlex.quote(str(interruption.directory))
    typer.echo(
        f"stopped after {interruption.step} of {interruption.total_steps} steps, checkpoint saved; "
        f"continue with: {_program()} train --resume --out {directory}"
    )


def _program() -> str:
    """How this program was called, for commands to be copied from its output."""
    if "SHIMZOO_COMMAND" in os.environ:  # Set by a launcher.
        return os.environ["SHIMZOO_COMMAND"]
    called = pathlib.Path(sys.argv[0])
    if called.name != "shimzoo":
        return f"{shlex.quote(sys.executable)} -m shimzoo.cli"
    on_path = shutil.which("shimzoo")
    is_this = on_path is not None and called.exists() and called.samefile(on_path)
    return "shimzoo" if is_this else shlex.quote(str(called))


def _print_result(result: TrainResult) -> None:
    from .training import run_directory

    files = run_directory.RunDirectory(result.directory)
    rows: dict[str, object] = {
        "stage": result.stage,
        "test accuracy": f"{result.test_accuracy:.4f}",
    }
    if result.images_per_second is not None:
        rows["images/s"] = f"{result.images_per_second:,.0f} in training, median of the epochs"
    rows |= {
        "wall time": f"{result.wall_time_s:.0f} s, after TensorFlow's start",
        "settings": files.config_json,
        "metrics": files.metrics_jsonl,
        "curve": files.curve_png,
        "tensorboard": files.tensorboard,
        "checkpoints": files.checkpoints,
        "final weights": files.final_weights,
    }
    typer.echo()
    for name, value in rows.items():
        typer.echo(f"{name:<15}{value}")


Checkpoint = Annotated[
    pathlib.Path,
    typer.Argument(
        metavar="PATH",
        help="TF1 or TF2 checkpoint (prefix, one of its files, or the directory), .tgz archive, "
        "SavedModel directory, frozen graph (.pb), .weights.h5, .keras or .safetensors file.",
    ),
]


@app.command()
def inspect(
    path: Checkpoint,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Show what a checkpoint is: format, the models it fits, its variables, averages and step."""
    from .training import startup

    startup.import_tensorflow()
    from . import checkpoints

    with _working("comparing it with the models"):
        found = checkpoints.inspect(path)
    typer.echo(found.to_json() if as_json else str(found))


@app.command()
def convert(
    source: Checkpoint,
    target: Annotated[
        pathlib.Path,
        typer.Argument(
            metavar="TARGET",
            help="What to write: a name that ends in .weights.h5, .keras or .safetensors, or else "
            "the prefix of a checkpoint's files.",
        ),
    ],
    model: Annotated[
        str, typer.Option(metavar="NAME", help="The model, as `shimzoo list` prints it.")
    ],
    to_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="tf1, tf2, h5, keras or safetensors. [default: that of TARGET's ending, or tf1]",
        ),
    ] = None,
    from_stage: Annotated[
        str,
        typer.Option(metavar="NAME", help="Which version of the model --verify runs SOURCE in."),
    ] = "shimmed",
    to_stage: Annotated[
        str, typer.Option(metavar="NAME", help="Which version of the model to write.")
    ] = "native",
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW",
            help="What in SOURCE is called how in the model: scopes end in '/', anything else is "
            "a regular expression. Can be repeated.",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGEX",
            help="Variables or scopes that are not taken from SOURCE, but made anew. Can be "
            "repeated.",
        ),
    ] = None,
    exclude_head: Annotated[
        bool, typer.Option("--exclude-head", help="Likewise for the model's head.")
    ] = False,
    ema: Annotated[
        str,
        typer.Option(
            metavar="CHOICE",
            help="Moving averages in place of the variables: auto (where all have one), yes, no.",
        ),
    ] = "auto",
    include_optimizer: Annotated[
        bool,
        typer.Option("--include-optimizer", help="Take along optimizer slots and the step."),
    ] = False,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="An option of the model, such as num_classes=10. Can be repeated.",
        ),
    ] = None,
    report: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="FILE", help="Write what came from where as JSON."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Run SOURCE and TARGET on an image and compare.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is at TARGET's place.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Convert a checkpoint of a model: any format into any other, for any version of the model."""
    choices: dict[str, Any] = {"auto": "auto", "yes": True, "no": False}
    if ema not in choices:
        raise typer.BadParameter(f"--ema {ema!r} is none of {', '.join(choices)}")
    variant = models.get_variant(model)
    for stage in (from_stage, to_stage):
        models.check_stage(stage)
    settings = {name: _literal(value) for name, value in _pairs("--option", option).items()}
    renamed = _pairs("--rename", rename)
    from .training import startup

    startup.import_tensorflow()
    from . import checkpoints

    with _working(f"converting to {target}"):
        done = checkpoints.convert(
            source,
            target,
            model=variant.name,
            format=to_format,
            from_stage=from_stage,
            to_stage=to_stage,
            rename=renamed or None,
            exclude=exclude or [],
            exclude_head=exclude_head,
            ema=choices[ema],
            include_optimizer=include_optimizer,
            verify=verify,
            overwrite=overwrite,
            **settings,
        )
    if report is not None:
        done.source.save(report)
    typer.echo(str(done))


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{option} {text!r} is not of the form NAME=VALUE")
        pairs[name] = value
    return pairs


def _literal(text: str) -> Any:
    """A number, True, False or None as Python writes them; anything else is a text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


# How long a command may work before it says so.
_PATIENCE_S = 1.0


@contextlib.contextmanager
def _working(what: str) -> Iterator[None]:
    """Shows on stderr that something goes on, once it takes longer than a second."""
    import rich.console
    import rich.progress

    console = rich.console.Console(stderr=True)
    columns = [
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.TimeElapsedColumn(),
    ]
    progress = rich.progress.Progress(*columns, console=console, transient=True)
    progress.add_task(what)
    line = f"shimzoo: {what} ..."
    start = threading.Timer(
        _PATIENCE_S, progress.start if console.is_terminal else lambda: typer.echo(line, err=True)
    )
    start.start()
    try:
        yield
    finally:
        start.cancel()
        start.join()
        if progress.live.is_started:  # Else the end of it would be a blank line.
            progress.stop()


benchmarks = typer.Typer(help="Measure what the shim and the models cost.")
app.add_typer(benchmarks, name="benchmark")


@benchmarks.command("shim-overhead")
def shim_overhead(
    rounds: Annotated[
        int,
        typer.Option(metavar="N", parser=_whole_number, help="How often each time is measured."),
    ] = 20,
    out: Annotated[
        pathlib.Path | None, typer.Option(metavar="FILE", help="CSV file for the results.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Measure what the shim costs: ResNet v1-50 with and without it, and in Keras.

    Compares the shim with the official one, with keras.applications and with the same ops written
    without a shim: each in a process of its own, in turns. Takes some minutes.
    """
    from .tools.benchmark import shim_overhead

    shim_overhead.run(rounds, out)


@benchmarks.command("conversion")
def conversion(
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Whose checkpoints are converted.")
    ] = "resnet_v1_152",
    rounds: Annotated[
        int,
        typer.Option(metavar="N", parser=_whole_number, help="How often each pair is measured."),
    ] = 5,
    out: Annotated[
        pathlib.Path | None, typer.Option(metavar="FILE", help="CSV file for the results.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Measure what converting checkpoints costs: time and memory, for all pairs of formats.

    Compares each with copying and hashing the file. Takes some minutes a round.
    """
    from .tools.benchmark import conversion

    conversion.run(model, rounds, out)


def _print_record(record: dict[str, Any], indent: str = "") -> None:
    width = max([26, *(len(indent) + len(name) + 2 for name in record)])
    for name, value in record.items():
        label = f"{indent}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            typer.echo(label)
            _print_record(value, indent + "  ")
        else:
            typer.echo(f"{label:<{width}}{value}")


def _report(error: Exception) -> int:
    """Says in one line what was wrong."""
    from .training import TrainingFailed

    bad_input = isinstance(error, typer.TyperException | ValueError | OSError | ModuleNotFoundError)
    if isinstance(error, typer.TyperException):
        message = error.format_message()
    elif isinstance(error, OSError) and error.strerror and error.filename:
        message = f"'{error.filename}': {error.strerror}"
    else:
        message = str(error)
    if not bad_input and not isinstance(error, FloatingPointError | TrainingFailed):
        message = f"{type(error).__name__}: {message} (--debug shows the traceback)"
    typer.echo(f"shimzoo: error: {' '.join(message.split())}", err=True)
    return 2 if bad_input else 1


if __name__ == "__main__":
    sys.exit(main())
