"""How a run comes by its checkpoints, and goes on from them."""

from __future__ import annotations

from .checkpointing import RunCheckpoint
from .continuation import tell_other_replicas
from .failures import restoring_named
from .ongoing import OngoingRun
from .run_record import describe_placement, describe_process


def checkpoint_of(run: OngoingRun) -> RunCheckpoint:
    """Makes access to a run's checkpoints; nothing is read or written yet."""

    def complete_position() -> None:
        # Of all processes, which save together.
        run.position.bad = run.placement.union(run.input.bad_until(run.position.step))

    return RunCheckpoint(
        run.model,
        run.position,
        run.written.checkpoints,
        run.config.keep,
        run.directory.checkpoints,
        complete_position,
    )


def go_on(run: OngoingRun, checkpoint: RunCheckpoint) -> dict[str, str | None]:
    """Puts a run back to where it was, and records what it goes on with.

    Args:
        run: The run, at its start.
        checkpoint: Access to its checkpoints.

    Returns:
        What the user is told, by name: from where it goes on, and whether that is not exactly.

    Raises:
        ValueError: Its checkpoints are damaged, or gone.
        MemoryError: There is not enough memory for them.
        TrainingFailed: They can't be read now.
    """
    with restoring_named(run.directory, run.placement.cluster):
        origin = _restore(run, checkpoint)
    run.input.take_up_bad(run.position.step, run.position.bad)
    if not run.placement.is_chief:
        return {"resumed": origin}
    part = {"step": run.position.step, **describe_placement(run.placement)}
    changed = tell_other_replicas(run.directory.read_parts(), part)
    run.directory.record_part(run.config, {**part, **describe_process()})
    return {"resumed": origin, "changed": changed}


def _restore(run: OngoingRun, checkpoint: RunCheckpoint) -> str:
    """Returns where the run goes on, for the user."""
    position, lines = run.position, run.directory.read_lines()
    tested = {int(line["step"]) for line in lines if "epoch" in line}
    restored = checkpoint.restore(tested)
    if restored is None and tested:
        raise ValueError(
            f"The run in '{run.directory.path}' has metrics of whole epochs and no checkpoint in "
            f"'{run.directory.checkpoints}': put it back there, or start anew with --overwrite."
        )
    run.written.keep_metrics_until(position.step, lines)
    if restored is None:
        return "at the start, as the run has no checkpoint yet"
    position.awaits_test = not position.is_mid_epoch and position.step not in tested
    return f"after {position.step} of {position.total_steps} steps, from {restored}"
