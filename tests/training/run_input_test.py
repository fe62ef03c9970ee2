"""What a run's input tells of the images that could not be used until a step."""

import dataclasses
import types

import hypothesis
import numpy as np
from hypothesis import strategies as st
from shimzoo.training import DEMO
from shimzoo.training.datasets import ArraySplit, Dataset
from shimzoo.training.run_input import RunInput

IMAGES, BATCH, EPOCHS = 27, 4, 2
STEPS = IMAGES // BATCH
CONFIG = dataclasses.replace(DEMO.config, batch_size=BATCH, epochs=EPOCHS, max_shift=0.0)


def made(workers, index):
    """A worker's input, whose images have their numbers as labels."""
    split = ArraySplit(np.zeros([IMAGES, 8, 8, 1], np.uint8), np.arange(IMAGES), IMAGES)
    placement = types.SimpleNamespace(reads_input_itself=True, share=(workers, index))
    names = tuple(map(str, range(IMAGES)))
    return RunInput(Dataset("few", split, split, names), CONFIG, placement)


@hypothesis.settings(max_examples=12, deadline=None)
@hypothesis.given(st.integers(1, STEPS * EPOCHS), st.sampled_from([(1, 0), (2, 0), (2, 1), (4, 3)]))
def test_a_worker_has_what_its_own_steps_have_read(step, share):
    run_input = made(*share)
    for epoch in range(EPOCHS):  # As if all were bad and read ahead.
        run_input.bad.note(np.full(IMAGES, epoch), np.arange(IMAGES))
    batches = [labels.numpy() for _, labels, _ in run_input.training(0, *share).take(step)]
    epoch = (step - 1) // STEPS
    expected = sorted(np.concatenate(batches[epoch * STEPS :]).tolist())
    assert run_input.bad_until(step) == expected
    resumed = made(*share)
    resumed.take_up_bad(step, range(IMAGES))  # Of all workers.
    assert resumed.bad_until(step) == expected == sorted(resumed.bad.numbers(epoch))


def test_a_run_that_has_not_begun_has_none():
    run_input = made(1, 0)
    run_input.bad.note(np.zeros(IMAGES, int), np.arange(IMAGES))
    assert run_input.bad_until(0) == []
