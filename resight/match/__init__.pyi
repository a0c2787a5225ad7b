__all__ = ["Calibration", "Finder", "Match", "Template", "match", "match_all", "read_calibration"]

from .calibration_file import read_calibration
from .finding import Finder, match, match_all
from .result import Match
from .score import Calibration
from .template import Template
