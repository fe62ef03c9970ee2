"""The datasets: labelled images in a training and a test part, each read when it is needed.

Nothing heavy is imported before a dataset is loaded, so that names can be checked at once.
"""

from .class_names import read_class_names
from .dataset import Dataset, Split, TooManyBadExamples
from .labels_offset import (
    begin_at_one,
    check_labels_offset,
    describe_foreign_label,
    label_in_files,
)
from .loading import DATASETS, check_dataset_name, load_dataset
from .splits import ArraySplit, Subset

__all__ = [
    "DATASETS",
    "ArraySplit",
    "Dataset",
    "Split",
    "Subset",
    "TooManyBadExamples",
    "begin_at_one",
    "check_dataset_name",
    "check_labels_offset",
    "describe_foreign_label",
    "label_in_files",
    "load_dataset",
    "read_class_names",
]
