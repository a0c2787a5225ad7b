__all__ = [
    "METHODS",
    "Boxes",
    "Explained",
    "Heat",
    "Pair",
    "Report",
    "Subject",
    "explain",
    "explain_each",
    "explain_pair",
    "explain_report",
    "explain_results",
    "module_subject",
    "read_boxes",
]

from .box_files import read_boxes
from .explaining import Explained, explain, explain_each
from .heat import Heat
from .methods import METHODS
from .pairs import Pair, explain_pair
from .pointing import Boxes
from .report import Report, explain_report
from .results import explain_results
from .subject import Subject, module_subject
