"""Heat maps as pictures: grey, in colours, blended with the image, or as light on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, WorkError, unknown

if TYPE_CHECKING:
    from resight.explain.heat import Heat
    from resight.images import ImageLike

MODES = ("gray", "color", "overlay", "multiply")
SCALES = ("class", "image")
COLORS = ("turbo", "jet", "inferno", "viridis", "magma", "gray")
SIGNED_COLORS = ("coolwarm", "bwr", "PuOr_r")
BLEND = 0.5  # share of the colours in an overlay


@dataclass(frozen=True)
class HeatStyle:
    """How heat maps are drawn.

    modes    of gray, color, overlay, multiply
    scale    what is drawn brightest: the largest value of one class, over its branches and frames ("class"), or over
             all classes of an image ("image")
    signed   show what speaks against the class too, in a colour map with two ends
    colors   the colour map; "" for turbo, or coolwarm if signed
    longest  pixels of a picture's longer side at most, 0 for as many as the image has

    Raises InputError for a value that is none of these.
    """

    modes: tuple[str, ...] = ("overlay",)
    scale: str = "class"
    signed: bool = False
    colors: str = ""
    longest: int = 1024

    def __post_init__(self) -> None:
        object.__setattr__(self, "modes", check_modes(self.modes))
        if self.scale not in SCALES:
            raise unknown("scale", self.scale, SCALES)
        object.__setattr__(self, "colors", check_colors(self.colors, self.signed))
        if self.longest < 0:
            raise InputError(f"expected longest as pixels, or 0 for the image's own size, got {self.longest}")


def check_modes(modes: Sequence[str]) -> tuple[str, ...]:
    """The modes, each once. Raises InputError for an unknown one, or none."""
    if isinstance(modes, str):
        modes = (modes,)
    for mode in modes:
        if mode not in MODES:
            raise unknown("mode", mode, MODES)
    if not modes:
        raise InputError(f"no mode to draw in: give one or more of {', '.join(MODES)}")
    return tuple(dict.fromkeys(modes))


def check_colors(colors: str, signed: bool) -> str:
    """The name of a colour map, the default for "". Raises InputError for one that does not fit the kind of map."""
    known = SIGNED_COLORS if signed else COLORS
    if colors and colors not in known:
        raise unknown("colors of a signed map" if signed else "colors", colors, known)
    return colors or known[0]


def draw_heat(
    heat: Heat, image: ImageLike, mode: str = "overlay", *, largest: float | None = None, signed: bool = False,
    colors: str = "",
) -> NDArray[np.uint8]:  # fmt: skip
    """A heat map as a picture of the image's size.

    image:   what was explained, of any size
    mode:    gray, color, overlay (half colours, half image) or multiply (the image as bright as the map)
    largest: the value (see `peak`) that is drawn brightest; default: the map's own largest
    signed:  show what is below 0 too; otherwise it is as dark as 0
    ->       (H, W, 3) uint8; of gray (H, W)

    Bilinear between the centres of the map's cells. What lies outside the part that the network saw is black, and
    half as bright in an overlay. Raises InputError for an unknown mode or colour map.
    """
    from resight.images import read_image

    check_modes((mode,))
    pixels = read_image(image)
    high, wide = pixels.shape[:2]
    across, down = wide / heat.size[1], high / heat.size[0]
    x1, y1, x2, y2 = heat.box
    box = (x1 * across, y1 * down, x2 * across, y2 * down)
    top = peak([heat], signed) if largest is None else largest
    # What speaks against is left out first: a place beside one that does keeps its brightness.
    values = heat.map if signed else np.maximum(heat.map, 0)
    placed = replace(heat, map=values, size=(high, wide), box=box, parts=()).spread()
    levels = np.clip(placed * (values.size / top if top > 0 else 0.0), -1, 1)
    return paint(levels, pixels, mode, inside=inside(box, (high, wide)), signed=signed, colors=colors)


def peak(heats: Iterable[Heat], signed: bool = False) -> float:
    """The largest value above 0 of several maps, or the largest apart from its sign; 0 if there is none.

    Values are those of cells times the number of cells: what the whole map would come to if all of it were like this
    place. So the maps of two branches compare although their grids differ. Raises WorkError for maps with nan.
    """
    found = 0.0
    for heat in heats:
        values = np.abs(heat.map) if signed else heat.map
        best = float(values.max()) * heat.map.size
        if not np.isfinite(best):
            raise WorkError(f"the heat map of {heat.label!r} is not finite: the network's values are too large or nan")
        found = max(found, best)
    return found


def inside(box: tuple[float, float, float, float], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W): which pixels have their centre in the box x1, y1, x2, y2.

    >>> inside((1, 0, 3, 1), (1, 4)).tolist()
    [[False, True, True, False]]
    """
    rows, columns = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    down, across = (rows >= box[1]) & (rows <= box[3]), (columns >= box[0]) & (columns <= box[2])
    return down[:, None] & across


def paint(
    levels: NDArray[Any], image: NDArray[np.uint8], mode: str, *, inside: NDArray[np.bool_] | None = None,
    signed: bool = False, colors: str = "",
) -> NDArray[np.uint8]:  # fmt: skip
    """Levels as a picture in one of the four modes.

    levels: (H, W)     0..1, or -1..1 if signed; of these gray makes black .. white, with 0 in the middle
    image:  (H, W, 3)  uint8
    inside: (H, W)     where the map says anything; elsewhere is black
    ->      (H, W, 3) uint8; of gray (H, W)

    >>> paint(np.array([[0.0, 1.0]]), np.full((1, 2, 3), 200, np.uint8), "multiply")[0, :, 0].tolist()
    [0, 200]
    """
    if levels.shape != image.shape[:2]:
        raise InputError(f"expected levels for each pixel of {image.shape[:2]}, got shape {levels.shape}")
    (mode,) = check_modes((mode,))
    if mode == "multiply":
        light = np.abs(levels) if inside is None else np.abs(levels) * inside
        return _bytes(light[:, :, None] * image)
    shade = _bytes(255 * ((levels + 1) / 2 if signed else levels))
    if mode == "gray":
        return shade if inside is None else shade * inside
    coloured = _table(check_colors(colors, signed))[shade]
    if inside is not None:
        coloured = coloured * inside[:, :, None]
    return coloured if mode == "color" else _bytes(BLEND * coloured + (1 - BLEND) * image)


@cache
def _table(colors: str) -> NDArray[np.uint8]:
    """(256, 3) of a colour map."""
    import matplotlib

    return _bytes(255 * np.asarray(matplotlib.colormaps[colors](np.arange(256) / 255))[:, :3])


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = np.rint(values).clip(0, 255).astype(np.uint8)
    return found
