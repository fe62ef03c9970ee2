"""Processes find out which of their settings are not the same, and what any of them has."""

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from shimzoo.training.agreement import differing, union

# Values that are equal and not the same, too.
VALUES = st.sampled_from([0, False, 0.0, -0.0, 1, 1.0, 1.0000000000000002, "1", None, (), (1,)])


def found_by_each(*settings, find=differing):
    """What each of several processes finds, which stand here as threads."""
    sent, found = [None] * len(settings), [None] * len(settings)
    everyone = threading.Barrier(len(settings), timeout=60)

    def run(index):
        def gather(numbers):
            sent[index] = numbers
            everyone.wait()
            of_all = np.array(sent, np.float64)
            everyone.wait()
            return of_all

        try:
            found[index] = find(settings[index], gather)
        except ValueError as error:
            found[index] = str(error)

    threads = [threading.Thread(target=run, args=[i]) for i in range(len(settings))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=2, max_size=4))
def test_all_find_the_settings_that_are_not_the_same_everywhere(rows):
    names = ("batch_size", "checkpoint", "epochs")
    settings = [dict(zip(names, row, strict=True)) for row in rows]
    columns = zip(*rows, strict=True)
    expected = [
        name
        for name, values in zip(names, columns, strict=True)
        if len({repr(value) for value in values}) > 1
    ]
    assert found_by_each(*settings) == [expected] * len(rows)


def test_the_order_of_settings_does_not_matter():
    assert found_by_each({"a": 1, "b": 2}, {"b": 2, "a": 1}) == [[], []]


def test_other_versions_are_told():
    one, other = found_by_each({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3})
    assert one == other
    assert one.startswith("The 2 processes run different versions of shimzoo")


@given(st.lists(st.sets(st.integers(0, 2**53 - 1), max_size=9), min_size=2, max_size=4))
def test_all_find_the_numbers_that_any_has(each):
    assert found_by_each(*each, find=union) == [sorted(set().union(*each))] * len(each)
