__all__ = [
    "FEATURE_SETS",
    "Curve",
    "DimensionFit",
    "Fractal",
    "Options",
    "box_counting",
    "describe_curve",
    "differential_box_counting",
    "fit_dimension",
    "fractal",
    "local_dimension",
    "quantise",
]

from .boxes import box_counting, differential_box_counting
from .curves import Curve, describe_curve
from .dimension import DimensionFit, fit_dimension
from .gliding import fractal
from .local import local_dimension
from .names import FEATURE_SETS
from .options import Options
from .pixels import quantise
from .result import Fractal
