"""`shimzoo evaluate`."""

from __future__ import annotations

import pathlib
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..training import evaluation_files, measured_data, publishing, startup, trained_models
from .app import Debug, app, print_rows, tell, whole_number, working
from .model_options import Ema, ModelOption, parse_ema, parse_options
from .progress import progress
from .trained_options import (
    Checkpoint,
    DataDir,
    DataName,
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
    from ..training.datasets import Dataset
    from ..training.evaluation import Evaluation
    from ..training.train_config import TrainConfig
    from ..training.trained_models import TrainedModel

# More rows fill a screen with what the CSV file has.
_CLASSES_SHOWN = 20


@app.command()
def evaluate(
    checkpoint: Checkpoint,
    model: ModelName = None,
    stage: Stage = None,
    dataset: DataName = None,
    data_dir: DataDir = None,
    labels_offset: LabelsOffset = None,
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Which part of the dataset: test or train.")
    ] = "test",
    image_size: ImageSize = None,
    preprocessing: Preprocessing = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="Images in a batch.")
    ] = None,
    max_batches: MaxBatches = None,
    max_bad_fraction: MaxBadFraction = None,
    labels: Labels = None,
    ema: Ema = "auto",
    option: ModelOption = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="DIR",
            help="Where results.json, per_class.csv and confusion_matrix.csv and .png go. "
            "[default: evaluations/<model>-<stage>-<dataset>-<time>]",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an older evaluation in --out.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Measure a model on a dataset: top-1, top-5, figures of each class, confusion matrix."""
    if split not in ("test", "train"):
        raise typer.BadParameter(f"--split {split!r} is none of test, train")
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
    config = measured_data.data_settings(
        trained,
        dataset=dataset,
        data_dir=data_dir,
        labels_offset=labels_offset,
        batch_size=batch_size,
        max_bad_fraction=max_bad_fraction,
    )
    if out is None:
        # A dataset's name can be a path.
        dataset_name = re.sub(r"[^\w.]+", "-", config.dataset).strip("-")
        name = f"{trained.model}-{trained.stage}-{dataset_name}"
        out = publishing.new_path(pathlib.Path("evaluations"), name)
    publishing.check_target(out, overwrite, evaluation_files.is_evaluation)
    startup.import_tensorflow()
    data = measured_data.load_data(trained, config, tell, split)
    evaluation, record = _evaluate(trained, config, data, split, max_batches)
    class_names = trained.class_names or data.class_names
    with publishing.published(out) as directory:
        evaluation_files.write(directory, evaluation, class_names, record)
    _print_evaluation(evaluation, class_names, record, out)


def _evaluate(
    trained: TrainedModel,
    config: TrainConfig,
    data: Dataset,
    split: str,
    max_batches: int | None,
) -> tuple[Evaluation, dict[str, Any]]:
    from ..training import bad_examples, evaluation, input_pipeline, provenance

    with working("loading the model"):
        model, weights = trained_models.load(trained)
    part = evaluation.first_batches(getattr(data, split), config.batch_size, max_batches)
    bad = bad_examples.BadExamples(part, config.max_bad_fraction, split)
    batches = input_pipeline.evaluation_batches(part, config, bad)
    with progress(f"evaluating on {config.dataset}", len(part)) as advance:
        result = evaluation.evaluate(
            evaluation.predictor(model),
            evaluation.numpy_batches(batches, bad),
            trained.num_classes,
            advance,
        )
    if line := bad.report(bad_examples.EVALUATION):
        tell(line)
    record = {
        "model": trained.model,
        "stage": trained.stage,
        "weights": weights,
        "dataset": config.dataset,
        "split": split,
        "image_size": trained.image_size,
        "preprocessing": trained.preprocessing,
        "batch_size": config.batch_size,
        "max_batches": max_batches,
        "versions": provenance.versions(),
        "command": provenance.command(),
    }
    return result, record


def _print_evaluation(
    evaluation: Evaluation,
    class_names: tuple[str, ...],
    record: dict[str, Any],
    out: pathlib.Path,
) -> None:
    bad = f", {evaluation.bad_images:,} more could not be read" if evaluation.bad_images else ""
    top5 = evaluation.top5
    rows = {
        "model": f"{record['model']}, {record['stage']}",
        "weights": record["weights"],
        "dataset": f"{record['dataset']}, {record['split']}, {evaluation.images:,} images{bad}",
        "top-1": f"{evaluation.top1:.4f}",
        "top-5": "-" if top5 is None else f"{top5:.4f}",
        "cross-entropy": f"{evaluation.loss:.4f}",
    }
    print_rows(rows)
    figures = list(enumerate(evaluation.per_class()))
    if len(figures) > _CLASSES_SHOWN:
        figures.sort(key=lambda entry: 1.0 if entry[1]["f1"] is None else entry[1]["f1"])
        typer.echo(f"\nthe {_CLASSES_SHOWN} classes of lowest F1; per_class.csv has all")
    else:
        typer.echo()
    width = max(5, *(len(class_names[number]) for number, _ in figures[:_CLASSES_SHOWN]))
    typer.echo(f"{'class':<{width}}{'images':>9}{'precision':>11}{'recall':>9}{'F1':>9}")
    for number, values in figures[:_CLASSES_SHOWN]:
        shares = (values["precision"], values["recall"], values["f1"])
        shown = ["-" if share is None else f"{share:.4f}" for share in shares]
        typer.echo(
            f"{class_names[number]:<{width}}{values['images']:>9,}"
            f"{shown[0]:>11}{shown[1]:>9}{shown[2]:>9}"
        )
    typer.echo(f"\nfiles    {out}")
