"""What a finished run leaves."""

from __future__ import annotations

import dataclasses
import statistics
import time

from .curve import draw_curve
from .ongoing import OngoingRun
from .result import TrainResult
from .run_record import count_parameters


def finish(run: OngoingRun, start: float) -> TrainResult | None:
    """Writes weights, curve and result of a run, once all its epochs are done.

    To be called by all processes of a run, as they save together.

    Args:
        run: The run.
        start: When `train` was called, in seconds of `time.perf_counter`.

    Returns:
        What the run gave; None in all processes but the chief.
    """
    config, written = run.config, run.written
    run.model.save_tested_weights(written.final_weights)
    metrics = written.read_metrics()
    draw_curve(metrics, f"{config.model}, {config.stage}, on {config.dataset}", written.curve_png)
    rates = [line["images_per_second"] for line in metrics if line["images_per_second"]]
    result = TrainResult(
        model=config.model,
        stage=config.stage,
        dataset=config.dataset,
        parameters=count_parameters(run.model),
        epochs=config.epochs,
        test_accuracy=metrics[-1]["test_accuracy"],
        test_loss=metrics[-1]["test_loss"],
        images_per_second=statistics.median(rates) if rates else None,
        wall_time_s=time.perf_counter() - start,
        directory=written.path,
    )
    written.write_result(result)
    run.placement.wait_for_all()
    if not run.placement.is_chief:
        return None
    return dataclasses.replace(result, directory=run.directory.path)
