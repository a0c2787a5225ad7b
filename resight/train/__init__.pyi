__all__ = [
    "LOCATE_PRESETS",
    "PRESETS",
    "Epoch",
    "ExportReport",
    "FoldedRuns",
    "History",
    "LocateOptions",
    "LocateRun",
    "Run",
    "SvmReport",
    "TestReport",
    "TrainOptions",
    "export_onnx",
    "finish_run",
    "make_locate_options",
    "make_options",
    "read_history",
    "svm_run",
    "test_run",
    "train_classifier",
    "train_locator",
]

from .classifier import train_classifier
from .export import ExportReport, export_onnx
from .finishing import finish_run
from .folds import FoldedRuns
from .history import Epoch, History, read_history
from .locate_options import LOCATE_PRESETS, LocateOptions, make_locate_options
from .locate_runs import LocateRun
from .locate_training import train_locator
from .options import PRESETS, TrainOptions, make_options
from .runs import Run
from .svm import SvmReport, svm_run
from .testing import TestReport, test_run
