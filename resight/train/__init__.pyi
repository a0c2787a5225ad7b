__all__ = [
    "PRESETS",
    "Epoch",
    "ExportReport",
    "FoldedRuns",
    "History",
    "Run",
    "SvmReport",
    "TestReport",
    "TrainOptions",
    "export_onnx",
    "finish_run",
    "make_options",
    "read_history",
    "svm_run",
    "test_run",
    "train_classifier",
]

from .classifier import train_classifier
from .export import ExportReport, export_onnx
from .finishing import finish_run
from .folds import FoldedRuns
from .history import Epoch, History, read_history
from .options import PRESETS, TrainOptions, make_options
from .runs import Run
from .svm import SvmReport, svm_run
from .testing import TestReport, test_run
