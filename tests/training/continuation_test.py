"""What a run that goes on has in common with what it was, and what it says of the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shimzoo.training.continuation import tell_other_replicas


def part(step, replicas, strategy="mirrored"):
    return {"step": step, "replicas": replicas, "strategy": strategy}


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ([part(0, 4)], part(7, 4), None),
        ([part(0, 4)], part(7, 2), "2 replicas (mirrored) now and 4 replicas (mirrored) before: "),
        (
            [part(0, 4)],
            part(7, 1, "one_device"),
            "1 replica (one_device) now and 4 replicas (mirrored) before: ",
        ),
        (
            [part(0, 4), part(7, 2), part(9, 4)],
            part(20, 1),
            "1 replica (mirrored) now and 4 replicas (mirrored) and 2 replicas (mirrored) before: ",
        ),
    ],
)
def test_other_replicas_are_named(before, now, told):
    line = tell_other_replicas(before, now)
    assert line is None if told is None else line.startswith(told)


PART = st.tuples(st.sampled_from([1, 2, 4]), st.integers(0, 5), st.integers(0, 5))


@given(st.lists(PART, min_size=1))
def test_what_counts_are_the_replicas_of_the_steps_that_were_not_given_up(parts):
    # Of each step that the weights come from, the replicas that took it.
    taken, before = [], []
    for replicas, given_up, steps in parts:
        del taken[max(0, len(taken) - given_up) :]
        now = part(len(taken), replicas)
        line = tell_other_replicas(before, now) if before else None
        others = set(taken) - {replicas}
        assert (line is None) == (not others)
        for number in (1, 2, 4):
            is_named = bool(others) and number in {*taken, replicas}
            assert (f"{number} replica" in (line or "")) is is_named
        before.append(now)
        taken += [replicas] * steps
