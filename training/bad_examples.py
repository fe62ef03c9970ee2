"""Which examples of a run could not be read, and when that is too many."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from .datasets import (
    Split,
    TooManyBadExamples,
    begin_at_one,
    check_labels_offset,
    describe_foreign_label,
    label_in_files,
)
from .image_errors import decoding_error, line_of

if TYPE_CHECKING:
    from .checkpointing import Position

# The epoch of what is read to evaluate a model.
EVALUATION = 0
_NAMED = 5
# Examples that are looked at once there are too many, so that more than one can be mended at once.
# Photographs of 427x640 pixels take 0.5 s on two cores.
_LOOKED_AT = 200
_ADVICE_ON_LABELS_FROM_1 = (
    " The labels seem to begin at 1: classes are numbered from 0, so labels.txt needs a first line "
    "for class 0, `background`; with labels_offset=1 the model has no such class."
)


class BadExamples:
    """Takes down what an input pipeline could not read.

    It is written to from `tf.data`'s threads of the same process, ahead of the step by what is
    prefetched; so each entry says its epoch.

    Args:
        split: What is read.
        max_fraction: The largest share of the split that may be bad, 0 to 1.
        part: What messages call the split.
    """

    def __init__(self, split: Split, max_fraction: float, part: str = "training") -> None:
        self._split = split
        self._max_fraction = max_fraction
        self._part = part
        self._indices: dict[int, set[int]] = collections.defaultdict(set)
        self._unnamed: dict[int, int] = collections.Counter()
        self._with_checked_labels: set[int] = set()

    def note(self, epoch: np.ndarray, indices: np.ndarray) -> None:
        """Takes down examples of one epoch.

        Args:
            epoch: int `[N]`, the epoch of each.
            indices: int `[N]`, their numbers in the split.
        """
        for number, index in zip(epoch, indices, strict=True):
            self._indices[int(number)].add(int(index))

    def count_unnamed(self, epoch: int, number: int) -> None:
        """Counts more examples of an epoch, which other processes read and do not name.

        Each may have been counted before, if a process reads faster than others.
        """
        self._unnamed[epoch] += number

    def unnamed(self, epoch: int) -> int:
        """How many of an epoch's examples `count_unnamed` has counted so far."""
        return self._unnamed[epoch]

    def count(self, epoch: int) -> int:
        """How many of an epoch's examples could not be read so far."""
        return len(self._indices.get(epoch, ())) + self._unnamed[epoch]

    def numbers(self, epoch: int) -> set[int]:
        """Which of an epoch's examples could not be read so far."""
        # A copy, as other threads write to it.
        return self._indices.get(epoch, set()).copy()

    def check(self, epoch: int, of_all: Collection[int] = ()) -> None:
        """Raises once an epoch has more than is allowed, or one that is no fault of the data.

        Args:
            epoch: Counted from 0, as `note` got it.
            of_all: Those that any process has taken down, where each reads a share.

        Raises:
            TooManyBadExamples: There are more than is allowed.
            ValueError: The offset of the labels leaves out the class of one; or there are more than
                is allowed as labels seem to begin at 1.
        """
        self.check_labels(epoch)
        allowed, own = self._allowed(), self.count(epoch)
        if max(own, len(of_all)) <= allowed:
            return
        told = [self._named(epoch)] if own else []
        if len(of_all) > own:
            told.append(
                f"All processes together could not use {len(of_all)} of the {len(self._split)} "
                f"{self._part} images."
            )
        told.append(
            f"That is more than the {allowed} that max_bad_fraction={self._max_fraction} allows"
        )
        # No images are to be mended, and with other classes it is another run.
        # All processes of the run have the same examples, and so all of them say the same.
        if advice := self.advice(sorted(self.numbers(epoch).union(of_all))[:_NAMED]):
            raise ValueError(f"{' '.join(told)}.{advice}")
        others = self._others_than(epoch) if own else ""
        raise TooManyBadExamples(f"{' '.join(told)}: mend them, or allow more.{others}")

    def check_labels(self, epoch: int) -> None:
        """Raises ValueError if the offset of the labels leaves out the class of an epoch's one."""
        if not self._split.left_out:
            return
        for index in sorted(self.numbers(epoch) - self._with_checked_labels):
            # What can't be read is bad whatever its label.
            with contextlib.suppress(tf.errors.OpError):
                label = int(self._split.read(tf.constant(index))["label"])
                check_labels_offset(self._split, index, label)
            self._with_checked_labels.add(index)

    def _allowed(self) -> int:
        total = len(self._split)
        allowed = round(self._max_fraction * total)
        # As a quotient: 0.29 * 100 is below 29, and 29 / 100 is 0.29.
        return allowed - 1 if allowed and allowed / total > self._max_fraction else allowed

    def report(self, epoch: int) -> str | None:
        """Names an epoch's examples that could not be used.

        Args:
            epoch: Counted from 0, as `note` got it.

        Returns:
            A line with their number, and, as far as this process has read them, the names and
            reasons of the first, and `advice`; None if there are none.
        """
        named = self._named(epoch)
        return None if named is None else f"{named}{self._advice_on(epoch)}"

    def _named(self, epoch: int) -> str | None:
        if unnamed := self._unnamed[epoch]:
            return (
                f"{unnamed} of {len(self._split)} {self._part} images could not be used by the "
                "workers that read them, which do not say why: see that each has all files."
            )
        indices = sorted(self.numbers(epoch))
        if not indices:
            return None
        named = "; ".join(f"{self._split.name_of(i)} ({self.reason(i)})" for i in indices[:_NAMED])
        more = f"; and {len(indices) - _NAMED} more" if len(indices) > _NAMED else ""
        return (
            f"{len(indices)} of {len(self._split)} {self._part} images could "
            f"not be used: {named}{more}."
        )

    def _others_than(self, epoch: int) -> str:
        """Names a few that the epoch has not come to, in a sentence with a space in front."""
        if self._unnamed[epoch]:
            return ""  # They are read elsewhere: what this process has of them says nothing.
        known, looked_at = self.numbers(epoch), 0
        found: list[str] = []
        for index in range(min(_LOOKED_AT, len(self._split))):
            if len(found) == _NAMED:
                break
            looked_at += 1
            if index not in known and (fault := self._fault(index)) is not None:
                found.append(f"{self._split.name_of(index)} ({fault})")
        if not found:
            return ""
        return f" A look at the first {looked_at} images finds also {'; '.join(found)}."

    def _advice_on(self, epoch: int) -> str:
        return self.advice(sorted(self.numbers(epoch))[:_NAMED])

    def advice(self, indices: Sequence[int]) -> str:
        """What the labels of examples that can't be used let one do about them.

        Args:
            indices: Their numbers in the split.

        Returns:
            A sentence with a space in front, or nothing.
        """
        foreign = []
        for index in indices:
            with contextlib.suppress(tf.errors.OpError):
                label = int(self._split.read(tf.constant(index))["label"])
                if not 0 <= label < self._split.num_classes:
                    foreign.append(label)
        # One among others that are damaged may well be damaged too.
        are_most = 2 * len(foreign) > len(indices)
        if not are_most or not begin_at_one(self._split, foreign) or self._has_first_class():
            return ""
        return _ADVICE_ON_LABELS_FROM_1

    def _has_first_class(self) -> bool:
        """Whether an example of the first class is found at once: then labels begin at 0."""
        for index in range(min(_LOOKED_AT, len(self._split))):
            with contextlib.suppress(tf.errors.OpError):
                label = int(self._split.read(tf.constant(index))["label"])
                if label_in_files(self._split, label) == 0:
                    return True
        return False

    def reason(self, index: int) -> str:
        """Why an example can't be used, found by reading it again."""
        # What the pipeline met is not known, as it passes over whatever it can't make.
        return self._fault(index) or (
            "too small for the crop, too large for the memory, or unreadable by now and then"
        )

    def _fault(self, index: int) -> str | None:
        """What is wrong with an example whatever its preprocessing."""
        try:
            example = self._split.read(tf.constant(index))
        except tf.errors.OpError as error:
            return line_of(error)
        if (wrong := decoding_error(example["image"])) is not None:
            return wrong
        label = int(example["label"])
        if not 0 <= label < self._split.num_classes:
            return describe_foreign_label(self._split, label)
        return None


class ReportBadExamples(keras.callbacks.Callback):
    """Reports the examples of each epoch that could not be used, and stops a run with too many.

    The test part's, which are the same each time, are reported once.

    Args:
        training: What `training_batches` takes them down in.
        test: What `evaluation_batches` takes them down in.
        position: How far the run has come; it is told how many other processes could not use.
        union: Gives the numbers that any of the run's processes has.
        report: Takes a line to show.

    Raises:
        TooManyBadExamples: At the end of the step that had one too many.
        ValueError: At the end of a step with an image of a class that is left out, or with one too
            many of those whose labels seem to begin at 1.
    """

    def __init__(
        self,
        training: BadExamples,
        test: BadExamples,
        position: Position,
        union: Callable[[Collection[int]], Collection[int]],
        report: Callable[[str], object],
    ) -> None:
        super().__init__()
        self._training = training
        self._test = test
        self._position = position
        self._union = union
        self._report = report
        self._epoch = 0
        self._test_line: str | None = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Takes down which epoch it is, and what of it is known from before a stop."""
        self._epoch = epoch
        if self._position.is_mid_epoch or self._position.awaits_test:
            self._training.count_unnamed(epoch, self._position.bad_unnamed)
        else:
            self._position.bad = []  # They were of the epoch before.

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Stops a run with too many, here or, at the last checkpoint, in all processes."""
        self._position.bad_unnamed = self._training.unnamed(self._epoch)
        self._training.check(self._epoch, self._position.bad)

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Stops a run with too many in all processes, before the epoch is saved."""
        self._position.bad_unnamed = self._training.unnamed(self._epoch)
        self._training.check(self._epoch, self._union(self._training.numbers(self._epoch)))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Reports the epoch's, and looks at the test part's."""
        self._test.check(EVALUATION, self._union(self._test.numbers(EVALUATION)))
        if line := self._training.report(epoch):
            self._report(f"epoch {epoch + 1}: {line}")
        test_line = self._test.report(EVALUATION)
        if test_line and test_line != self._test_line:
            self._report(test_line)
            self._test_line = test_line
