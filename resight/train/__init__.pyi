__all__ = [
    "EMBED_PRESETS",
    "LOCATE_PRESETS",
    "PRESETS",
    "EmbedOptions",
    "EmbedReport",
    "EmbedRun",
    "EncoderReport",
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
    "deal",
    "export_encoder",
    "export_onnx",
    "finish_run",
    "make_embed_options",
    "make_locate_options",
    "make_options",
    "read_history",
    "svm_run",
    "test_embedder",
    "test_run",
    "train_classifier",
    "train_embedder",
    "train_locator",
]

from .class_splits import deal
from .classifier import train_classifier
from .embed_options import EMBED_PRESETS, EmbedOptions, make_embed_options
from .embed_report import EmbedReport
from .embed_runs import EmbedRun
from .embed_testing import test_embedder
from .embed_training import train_embedder
from .encoder_export import EncoderReport, export_encoder
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
