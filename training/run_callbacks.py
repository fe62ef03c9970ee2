"""What Keras calls in a run, in its order."""

from __future__ import annotations

import keras

from . import callbacks, measurements
from .bad_examples import ReportBadExamples
from .checkpointing import RunCheckpoint
from .console import tell
from .ema import TestAverages
from .ongoing import OngoingRun
from .progress import ProgressBar
from .tensorboard import Profile


def run_callbacks(
    run: OngoingRun,
    checkpoint: RunCheckpoint,
    throughput: measurements.Throughput,
    bar: ProgressBar,
    profile: Profile,
) -> list[keras.callbacks.Callback]:
    """Makes what is called after each step and epoch of a run.

    Keras calls them in the order of the list, of which this depends:

    - the position is counted first, as the others read it;
    - bad images and a bad loss stop the run before it is saved;
    - the throughput is measured before it is logged and shown;
    - statistics are shared before a checkpoint is saved and tested, which both take their mean;
    - a checkpoint is saved before the averages take the weights' place for a test;
    - a bad test loss stops the run before the weights are saved as the best;
    - the epoch's line comes last, as it says that the epoch needs no other test.

    Args:
        run: The run, at its start or put back to where it was.
        checkpoint: Access to its checkpoints.
        throughput: What measures its steps.
        bar: What shows how it gets on.
        profile: What records some of its steps.

    Returns:
        The callbacks.
    """
    config, position, written = run.config, run.position, run.written
    bad_loss = callbacks.StopOnBadLoss(position, config.learning_rate, checkpoint, run.directory)
    averages = [] if run.model.averages is None else [TestAverages(run.model.averages)]
    return [
        callbacks.CountSteps(position),
        ReportBadExamples(
            run.input.bad, run.input.bad_in_test, position, run.placement.union, tell
        ),
        callbacks.ShareStatistics(),
        bad_loss,
        throughput,
        measurements.LogSteps(written, position, throughput, config.batch_size, config.log_every),
        bar,
        profile,
        callbacks.SaveCheckpoints(
            checkpoint,
            position,
            run.placement,
            bad_loss,
            throughput,
            run.directory,
            config.save_every,
        ),
        *averages,
        callbacks.KeepBest(run.model, written),
        keras.callbacks.TensorBoard(str(written.tensorboard), write_graph=False),
        measurements.LogMetrics(written, position, throughput, config.batch_size),
    ]
