"""The datasets: labelled images in a training and a test part, each read when it is needed.

Nothing heavy is imported before a dataset is loaded, so that names can be checked at once.
"""

from .dataset import ArraySplit, Dataset, Split, Subset, check_labels_offset
from .loading import DATASETS, check_dataset_name, load_dataset

__all__ = [
    "DATASETS",
    "ArraySplit",
    "Dataset",
    "Split",
    "Subset",
    "check_dataset_name",
    "check_labels_offset",
    "load_dataset",
]
