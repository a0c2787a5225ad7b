__all__ = [
    "PRESETS",
    "Epoch",
    "FoldedRuns",
    "History",
    "Run",
    "TrainOptions",
    "make_options",
    "read_history",
    "train_classifier",
]

from .classifier import train_classifier
from .folds import FoldedRuns
from .history import Epoch, History, read_history
from .options import PRESETS, TrainOptions, make_options
from .runs import Run
