"""Learning rates over the images of a run, against their formulas."""

import dataclasses
import math

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shimzoo.training import DEMO, schedules

TOTAL = 100_000
PLAIN = dataclasses.replace(DEMO.config, batch_size=32, warmup_examples=0, learning_rate=0.5)

steps = st.integers(0, 2 * TOTAL // 32)
warmups = st.integers(0, TOTAL // 2)


def rate(config, step):
    return float(schedules.Schedule(config, TOTAL)(step))


def settings(**changes):
    return dataclasses.replace(PLAIN, **changes)


@given(step=steps)
def test_fixed_never_changes(step):
    assert rate(settings(schedule="fixed"), step) == 0.5


@given(step=steps, decay_examples=st.integers(1, TOTAL))
def test_exponential_is_slims_in_images(step, decay_examples):
    config = settings(schedule="exponential", decay_examples=decay_examples, staircase=False)
    expected = 0.5 * 0.94 ** (step * 32 / decay_examples)
    assert rate(config, step) == pytest.approx(expected, rel=2e-3)


@given(step=steps, epochs=st.integers(1, 200), decay_epochs=st.floats(0.01, 300))
@pytest.mark.parametrize("schedule", ["exponential", "polynomial", "cosine"])
def test_a_decay_in_epochs_is_one_in_their_images(schedule, step, epochs, decay_epochs):
    images = max(1, round(decay_epochs * TOTAL / epochs))
    how = {"schedule": schedule, "epochs": epochs}
    in_images = settings(**how, decay_examples=images)
    in_epochs = settings(**how, decay_epochs=images * epochs / TOTAL)
    # At a boundary itself rounding decides on which side it is.
    hypothesis.assume(step * 32 % images)
    assert rate(in_epochs, step) == pytest.approx(rate(in_images, step), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("images", "decays"), [(0, 0), (992, 0), (1024, 1), (2016, 1), (2048, 2)])
def test_a_staircase_keeps_its_rate_until_the_next_decay(images, decays):
    config = settings(schedule="exponential", decay_examples=1024)
    assert rate(config, images // 32) == pytest.approx(0.5 * 0.94**decays)


@given(step=steps, power=st.floats(0.5, 3.0), end=st.floats(0.0, 0.4))
def test_polynomial_ends_where_it_says_and_stays_there(step, power, end):
    config = settings(
        schedule="polynomial", decay_examples=50_000, decay_power=power, end_learning_rate=end
    )
    left = max(1 - step * 32 / 50_000, 0.0)
    assert rate(config, step) == pytest.approx(end + (0.5 - end) * left**power, abs=1e-5)


@given(step=steps, warmup=warmups)
def test_cosine_takes_the_whole_run_after_its_warmup(step, warmup):
    images = step * 32
    share = min(max(images - warmup, 0) / (TOTAL - warmup), 1.0)
    expected = 0.25 * (1 + math.cos(math.pi * share))
    if images < warmup:
        expected = 0.5 * images / warmup
    config = settings(schedule="cosine", warmup_examples=warmup)
    assert rate(config, step) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("images", "factor"),
    [(0, 1), (3200, 1), (3232, 0.1), (6400, 0.1), (6432, 0.01), (99_200, 0.01)],
)
def test_piecewise_goes_on_to_the_next_factor_after_a_boundary(images, factor):
    config = settings(schedule="piecewise", boundaries=(3200, 6400), factors=(0.1, 0.01))
    assert rate(config, images // 32) == pytest.approx(0.5 * factor)


@given(
    batch_size=st.sampled_from([1, 8, 64, 512]), images=st.integers(0, 200).map(lambda n: n * 512)
)
@pytest.mark.parametrize("schedule", ["exponential", "polynomial", "cosine", "piecewise"])
def test_the_batch_size_changes_no_rate(schedule, batch_size, images):
    changes = {"schedule": schedule, "warmup_examples": 1000, "decay_examples": 30_000}
    if schedule == "piecewise":
        changes |= {"boundaries": (30_000,), "factors": (0.1,)}
    one, other = (
        rate(settings(batch_size=size, **changes), images // size) for size in (512, batch_size)
    )
    assert one == pytest.approx(other, abs=1e-5)


def test_a_schedule_is_made_anew_from_what_it_tells():
    config = settings(schedule="piecewise", boundaries=(3200,), factors=(0.1,))
    schedule = schedules.Schedule(config, TOTAL)
    again = schedules.Schedule.from_config(schedule.get_config())
    assert float(again(101)) == float(schedule(101)) == pytest.approx(0.05)
