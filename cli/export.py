"""`shimzoo export`."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from ..training import export_formats, measured_data, publishing, startup, trained_models
from .app import Debug, app, print_rows, tell, whole_number, working
from .model_options import Ema, ModelOption, parse_ema, parse_options
from .progress import progress
from .trained_options import (
    Checkpoint,
    DataDir,
    ImageSize,
    Labels,
    LabelsOffset,
    MaxBadFraction,
    MaxBatches,
    ModelName,
    Preprocessing,
    Stage,
    check_at_least_one,
)

if TYPE_CHECKING:
    from ..training.exporting import Export, TestImages
    from ..training.trained_models import TrainedModel


@app.command()
def export(
    target: Annotated[
        pathlib.Path,
        typer.Argument(
            metavar="TARGET",
            help="What to write: a name that ends in .tflite or .onnx, or else the directory of a "
            "SavedModel.",
        ),
    ],
    checkpoint: Checkpoint,
    model: ModelName = None,
    stage: Stage = None,
    precision: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="float32; for .tflite also float16 (of the weights) or int8 (of all but inputs "
            "and outputs), which needs a dataset.",
        ),
    ] = "float32",
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N", parser=whole_number, help="Images in a batch. [default: any number]"
        ),
    ] = None,
    image_size: ImageSize = None,
    preprocessing: Preprocessing = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Measure what the export costs in accuracy on this dataset's test part. "
            "[default: the run's]",
        ),
    ] = None,
    skip_dataset: Annotated[
        bool,
        typer.Option("--skip-dataset", help="Compare on two photographs only, not on a dataset."),
    ] = False,
    data_dir: DataDir = None,
    labels_offset: LabelsOffset = None,
    max_batches: MaxBatches = None,
    max_bad_fraction: MaxBadFraction = None,
    labels: Labels = None,
    ema: Ema = "auto",
    option: ModelOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an older TARGET.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Export a model as SavedModel, TFLite or ONNX, reopen it and compare it with the model."""
    check_at_least_one("--batch-size", batch_size)
    check_at_least_one("--max-batches", max_batches)
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
    export_formats.check(target, precision)
    publishing.check_target(target, overwrite, export_formats.is_export)
    # Of TensorFlow's converter's log only errors: it warns of defaults of its own.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    startup.import_tensorflow()
    from ..training import exporting

    measured_on = None
    if not skip_dataset and (trained.run is not None or dataset is not None):
        config = measured_data.data_settings(
            trained,
            dataset=dataset,
            data_dir=data_dir,
            labels_offset=labels_offset,
            max_bad_fraction=max_bad_fraction,
        )
        data = measured_data.load_data(trained, config, tell)
        measured_on = exporting.TestImages(data, config, max_batches)
    exporting.check_calibration(precision, batch_size, measured_on)
    with working("loading the model"):
        loaded, weights = trained_models.load(trained)
    with progress(f"exporting to {target}", len(measured_on.part) if measured_on else 0) as advance:
        done = exporting.export(
            loaded,
            target,
            precision=precision,
            batch_size=batch_size,
            preprocessing=trained.preprocessing,
            measured_on=measured_on,
            on_batch=advance,
        )
    _print_export(trained, weights, done, measured_on)


def _print_export(
    trained: TrainedModel, weights: str, done: Export, measured_on: TestImages | None
) -> None:
    compared = done.images
    images = (
        f"{compared.images:,} test images of {measured_on.config.dataset}"
        if measured_on
        else "two photographs"
    )
    rows = {
        "model": f"{trained.model}, {trained.stage}",
        "weights": weights,
        "export": f"{done.path} ({done.format}, {done.precision})",
        "size": f"{done.size_bytes / 1e6:.2f} MB, of weights of {done.weights_bytes / 1e6:.2f} MB",
        "compared": f"on {images}: logits differ by up to {compared.relative_difference:.1e} of "
        f"the largest, {compared.same_top1:.2%} have the same top-1",
    }
    if done.encoded is not None:
        rows["encoded"] = f"logits differ by up to {done.encoded.relative_difference:.1e}"
    if compared.model is not None:
        was, now = compared.model.top1, compared.exported.top1
        rows["accuracy"] = f"{was:.4f} before, {now:.4f} exported: {100 * (now - was):+.2f} points"
    print_rows(rows)
