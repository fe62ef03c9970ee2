"""`shimzoo predict`."""

from __future__ import annotations

import json
import os
import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..training import image_files, startup, trained_models
from .app import Debug, app, tell, whole_number, working
from .model_options import Ema, ModelOption, parse_ema, parse_options
from .progress import progress
from .trained_options import (
    Checkpoint,
    ImageSize,
    Labels,
    ModelName,
    Preprocessing,
    Stage,
    check_at_least_one,
)

if TYPE_CHECKING:
    from ..training.prediction import Prediction


@app.command()
def predict(
    images: Annotated[
        list[pathlib.Path],
        typer.Argument(
            metavar="IMAGE...", help="JPEG, PNG, GIF, BMP or WebP files, or folders of them."
        ),
    ],
    checkpoint: Checkpoint,
    model: ModelName = None,
    stage: Stage = None,
    image_size: ImageSize = None,
    preprocessing: Preprocessing = None,
    labels: Labels = None,
    top: Annotated[
        int, typer.Option(metavar="N", parser=whole_number, help="How many classes to tell.")
    ] = 5,
    ema: Ema = "auto",
    option: ModelOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Tell what is on images: the most probable classes.

    An image that can't be read is named on stderr, the others are told of all the same, and the
    exit code is 1.
    """
    check_at_least_one("--top", top)
    files, others = image_files.find_images(images)
    trained = trained_models.find(
        checkpoint,
        model=model,
        stage=stage,
        image_size=image_size,
        preprocessing=preprocessing,
        labels=labels,
        ema=parse_ema(ema),
        options=parse_options(option),
    )
    if (left_out := image_files.describe_others(others)) is not None:
        tell(f"left out {left_out}")
    # Errors only: it warns of each image that it can't decode, which is said better below.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    startup.import_tensorflow()
    from ..training import evaluation, prediction

    with working("loading the model"):
        loaded, _ = trained_models.load(trained)
    numbers = tuple(f"class {number}" for number in range(trained.num_classes))
    with progress("predicting", len(files)) as advance:
        predictions = list(
            prediction.predict(
                evaluation.predictor(loaded),
                files,
                size=trained.image_size,
                preprocessing=trained.preprocessing,
                class_names=trained.class_names or numbers,
                top=top,
                on_batch=advance,
            )
        )
    _print_predictions(predictions, as_json)
    if any(found.error for found in predictions):
        raise typer.Exit(1)


def _print_predictions(predictions: list[Prediction], as_json: bool) -> None:
    for found in predictions:
        if found.error:
            typer.echo(f"shimzoo: error: '{found.image}' {found.error}", err=True)
    if as_json:
        typer.echo(json.dumps([_as_json(found) for found in predictions], indent=2))
        return
    told = [found for found in predictions if not found.error]
    width = max((len(name) for found in told for _, name, _ in found.classes), default=0)
    for found in told:
        typer.echo(str(found.image))
        for _, name, probability in found.classes:
            typer.echo(f"  {name:<{width}}  {probability:7.2%}")


def _as_json(found: Prediction) -> dict[str, Any]:
    if found.error:
        return {"image": str(found.image), "error": found.error}
    classes = [
        {"class": number, "name": name, "probability": probability}
        for number, name, probability in found.classes
    ]
    return {"image": str(found.image), "classes": classes}
