"""The datasets: labelled images in a training and a test part, each read when it is needed.

Nothing heavy is imported before a dataset is loaded, so that names can be checked at once.
"""

from .class_names import read_class_names
from .dataset import Dataset, Split, TooManyBadExamples
from .labels_offset import check_labels_offset
from .loading import DATASETS, check_dataset_name, load_dataset
from .splits import ArraySplit, Subset

__all__ = [
    "DATASETS",
    "ArraySplit",
    "Dataset",
    "Split",
    "Subset",
    "TooManyBadExamples",
    "check_dataset_name",
    "check_labels_offset",
    "load_dataset",
    "read_class_names",
]
