__all__ = ["Finder", "Match", "Template", "match", "match_all"]

from .finding import Finder, match, match_all
from .result import Match
from .template import Template
