"""What can be asked of dense SIFT: two definitions, their presets and numbers. Names in plain dicts, checked once."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, unknown

Floats: TypeAlias = NDArray[np.float32]

WINDOWS = ("flat", "gaussian")
LAYOUTS = ("vlfeat", "opencv")
BORDERS = ("cut", "keep")
GREYS = ("luma", "red", "green", "blue")
DTYPES = ("float32", "uint8")
# cell and orientations where none are given, and where the pooling filter's row of ones begins.
PRESETS: dict[str, dict[str, int]] = {
    "siftflow": {"cell": 2, "orientations": 8, "ones": 1},
    "deepsky": {"cell": 8, "orientations": 4, "ones": 2},
}
MAGNIFICATION = 6.0  # of PHOW: an image at which a cell has this many standard deviations of blur
LARGEST_CELL, LARGEST_STEP, MOST_ORIENTATIONS, MOST_SCALES = 256, 65536, 36, 16


@dataclass(frozen=True)
class Options:
    """Dense SIFT as asked for, checked.

    cells   one for each scale, in the order of the channels
    preset  "" is Lowe's descriptor as in VLFeat; others are C. Liu's
    grey    "" leaves the channels to the definition: luma for Lowe's, the strongest of each pixel for Liu's
    """

    step: int
    cells: tuple[int, ...]
    window: str
    window_size: float
    layout: str
    preset: str
    orientations: int
    smooth: bool
    border: str
    grey: str
    dtype: str

    @property
    def channels(self) -> int:
        """Numbers of a frame: 16 cells of `orientations`, at each scale."""
        return 16 * self.orientations * len(self.cells)


@dataclass(frozen=True, eq=False)
class Rules:
    """The numbers of one scale: how to vote, pool and normalise.

    lanes    (2, L)       orientations as the kernels want them, L the next multiple of 8
    taps     (1 or 4, T)  the filter, from `before` pixels before the cell's own; T a multiple of 4, of 8 for
                          four filters
    weights  (4,)         of the cells along an axis
    clip     0: none, and then one normalisation only;  eps is added to the norm
    gain     what a value is multiplied by when it is kept
    """

    lowe: bool
    lanes: Floats
    taps: Floats
    before: int
    weights: Floats
    clip: float
    eps: float
    gain: float


def make_options(
    *, step: Any = 1, cell: Any = None, window: Any = "flat", layout: Any = "vlfeat", preset: Any = None,
    orientations: Any = None, scales: Any = None, smooth: Any = False, border: Any = None, grey: Any = None,
    dtype: Any = "float32", window_size: Any = 2.0,
) -> Options:  # fmt: skip
    """Options from what a caller writes; see `dense_sift`. Raises InputError for a name or a number that cannot be."""
    given = "" if preset is None else _choice("preset", preset, PRESETS)
    own = PRESETS.get(given, {"cell": 4, "orientations": 8})
    if scales is not None and cell is not None:
        raise InputError(f"cell and scales say the same thing: give one of them, got {cell!r} and {scales!r}")
    if scales is not None and (isinstance(scales, (str, bytes)) or not isinstance(scales, Iterable)):
        raise InputError(f"scales must be cell sizes such as (4, 6, 8, 10), got {scales!r}")
    cells = [own["cell"] if cell is None else cell] if scales is None else list(scales)
    if not 1 <= len(cells) <= MOST_SCALES:
        raise InputError(f"scales must be 1 to {MOST_SCALES} cell sizes, got {len(cells)}")
    if given and window != "flat":
        raise InputError(f"preset {given!r} has no window: leave window as 'flat', got {window!r}")
    for name, value in (("smooth", smooth),):
        if not isinstance(value, (bool, np.bool_)):
            raise InputError(f"{name} must be True or False, got {value!r}")
    if given and smooth:
        raise InputError(f"preset {given!r} has no pre-smoothing: leave smooth as False")
    return Options(
        step=_whole("step", step, 1, LARGEST_STEP),
        cells=tuple(_whole("cell" if scales is None else "scales", one, 1, LARGEST_CELL) for one in cells),
        window=_choice("window", window, WINDOWS),
        window_size=_positive("window_size", window_size),
        layout=_choice("layout", layout, LAYOUTS),
        preset=given,
        orientations=_whole("orientations", own["orientations"] if orientations is None else orientations, 4,
                            MOST_ORIENTATIONS),
        smooth=bool(smooth),
        border=("keep" if given else "cut") if border is None else _choice("border", border, BORDERS),
        grey="" if grey is None else _choice("grey", grey, GREYS),
        dtype=_dtype(dtype),
    )  # fmt: skip


def make_rules(options: Options, cell: int) -> Rules:
    """The numbers of one scale, `cell` pixels a cell."""
    bins, small = options.orientations, options.dtype == "uint8"
    lanes = np.zeros((2, -(-bins // 8) * 8), np.float32)
    order = np.arange(bins) if options.layout == "vlfeat" else -np.arange(bins) % bins
    if options.preset:
        # Cosines that should be 0 are: an orientation at a right angle to the gradient gets nothing.
        turns = 2 * np.pi / bins * order
        lanes[:, :bins] = np.round([np.cos(turns), np.sin(turns)], 12)
        taps = np.zeros((1, cell + 2))
        taps[0, [0, cell + 1]] = 0.25
        ones = PRESETS[options.preset]["ones"]
        taps[0, ones : ones + cell] = 1
        return Rules(False, lanes, _padded(taps), cell, np.ones(4, np.float32), 0, 0.01, 255.0 if small else 1.0)
    lanes[0] = 1e9  # a pad lies beside no gradient
    lanes[0, :bins] = order
    reach = np.arange(1 - cell, cell)
    triangle = (1 - abs(reach) / cell) / cell  # of area 1, as VLFeat's is
    centres = cell * (np.arange(4) - 1.5)
    window = np.exp(-0.5 * ((reach + centres[:, None]) / (cell * options.window_size)) ** 2)
    if options.window == "gaussian":
        taps, weights = triangle * cell * window, np.ones(4)
    else:
        taps, weights = triangle[None], cell * window.mean(1)
    even = ((weights + weights[::-1]) / 2).astype(np.float32)  # the same from both ends to the last bit
    return Rules(True, lanes, _padded(taps), cell - 1, even, 0.2, 1.19209290e-07, 512.0 if small else 1.0)


def _padded(taps: NDArray[np.float64]) -> Floats:
    """Zeros behind them: the loops take four taps at a time, or eight."""
    return np.pad(taps, ((0, 0), (0, -taps.shape[1] % (4 if len(taps) == 1 else 8)))).astype(np.float32)


def _choice(kind: str, name: Any, choices: Iterable[str]) -> str:
    if not isinstance(name, str) or name not in choices:
        raise unknown(kind, name, choices)
    return name


def _whole(name: str, value: Any, least: int, most: int) -> int:
    try:
        found = operator.index(value)
    except TypeError as error:
        raise InputError(f"{name} must be a whole number from {least} to {most}, got {value!r}") from error
    if isinstance(value, (bool, np.bool_)) or not least <= found <= most:
        raise InputError(f"{name} must be a whole number from {least} to {most}, got {value!r}")
    return found


def _positive(name: str, value: Any) -> float:
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float)) or not 0.01 <= value <= 1e6:
        raise InputError(f"{name} must be a number from 0.01 to 1e6, got {value!r}")
    return float(value)


def _dtype(value: Any) -> str:
    name = value if isinstance(value, str) else getattr(value, "__name__", None) or getattr(value, "name", str(value))
    return _choice("dtype", name, DTYPES)
