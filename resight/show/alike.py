"""Why two images are alike, drawn: both beside each other, warm where they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.show.heat import peak
from resight.show.matches import matches_picture
from resight.show.picture import Box, Picture
from resight.show.report import Section
from resight.show.thumbnail import placeholder, thumbnail, tried

if TYPE_CHECKING:
    from PIL.Image import Image

    from resight.explain.heat import Heat
    from resight.explain.pairs import Pair
    from resight.images import ImageLike
    from resight.search import Ranking

# Orange and blue are told apart by all kinds of colour vision (after Okabe and Ito), here light enough for dark places.
WARM, COLD = np.array([255, 128, 0]), np.array([30, 130, 230])
STRONGEST = 0.75  # how much of the colour the strongest place has; the image shows through
PANEL = 480  # pixels of a side at most
WHOLE = 1 << 30  # a side that no image reaches


def heat_picture(
    image: ImageLike, heat: Heat, *, side: int = PANEL, full: float = 0.0, box: Box | None = None
) -> Image:
    """The image in grey with its heat: orange where places raise the score, blue where they lower it.

    side: pixels that neither side exceeds;  full: what has the full colour (`show.heat.peak`), default: the map's own
    box:  drawn, x1, y1, x2, y2 in pixels of the image

    An image that cannot be read becomes a placeholder with the reason.
    """
    small, problem = tried(image, side)
    if small is None:
        return placeholder(problem, side)
    across, down = small.width / heat.size[1], small.height / heat.size[0]
    scaled = _scaled(heat.box, across, down)
    values = replace(heat, size=(small.height, small.width), box=scaled, parts=()).spread() * heat.map.size
    painted = _tinted(np.asarray(small), values, full or peak([heat], signed=True))
    return thumbnail(painted, WHOLE, box=None if box is None else _scaled(box, across, down))


def _scaled(box: Any, across: float, down: float) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(side) for side in box)
    return x1 * across, y1 * down, x2 * across, y2 * down


def _tinted(image: NDArray[np.uint8], values: NDArray[np.float32], full: float) -> NDArray[np.uint8]:
    grey = (image @ np.array([0.299, 0.587, 0.114]))[..., None]
    share = np.clip(values / full if full > 0 else np.zeros_like(values), -1, 1)[..., None]
    strength = np.abs(share) * STRONGEST
    mixed = np.rint(grey * (1 - strength) + np.where(share < 0, COLD, WARM) * strength)
    return np.asarray(mixed, np.uint8)


def pair_picture(pair: Pair, *, side: int = PANEL, full: float = 0.0) -> Image:
    """Both images of a pair with their heats, the first on the left; arguments as of `heat_picture`."""
    full = full or peak(pair.heats, signed=True)
    panels = [
        heat_picture(image, heat, side=side, full=full, box=_own(box))
        for image, heat, box in zip(pair.images, pair.heats, pair.boxes, strict=True)
    ]
    return matches_picture(panels[0], panels[1], [], [], side=side)


def _own(box: Sequence[float] | None) -> Box | None:
    return None if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3]))


def alike_section(ranking: Ranking, pairs: Sequence[Pair | None]) -> Section | None:
    """Query and result beside each other with their heats, best first, and lines where points agree.

    pairs: of the first results, as `explain_results` gives them; without a picture, but said, where one is None. None
           if there are no results.

    Each pair has colours of its own scale: on one for all, what little makes weak results like the query could not be
    seen. How strong the full colour is, beside the strongest of all, stands behind the score.
    """
    strengths = _strengths(pairs)
    drawn: list[Picture] = []
    for row, pair in enumerate(pairs):
        if pair is not None:
            note = f"{row + 1}  {Path(ranking.paths[row]).name}"
            caption = f"{pair.score:.3f}{_constants(pair)}{strengths[row]}"
            drawn.append(Picture(pair_picture(pair), caption=caption, note=note, href=ranking.paths[row]))
            drawn += _lines(ranking, row, pair)
    if not pairs:
        return None
    return Section("Where they are alike", _words(ranking, pairs), pictures=tuple(drawn), ranked=False, wide=True)


def alike_pictures(ranking: Ranking, pairs: Sequence[Pair | None]) -> list[Picture]:
    """For a contact sheet, three in a row: the query with its heat, the result with its heat, the result itself.

    Where points agree, the third are both images with lines between these points. Each pair has colours of its own
    scale, see `alike_section`.
    """
    strengths = _strengths(pairs)
    shown: list[Picture] = []
    for row, path in enumerate(ranking.paths[: len(pairs)]):
        name, pair = Path(path).name, pairs[row]
        plain = Picture(path, caption=f"{row + 1}: {ranking.scores[row]:.3f}", note=name, box=ranking.found_in(row))
        if pair is None:
            shown += [Picture(None, caption="query"), Picture(None, note=name), plain]
            continue
        full = peak(pair.heats, signed=True)
        heats = [
            heat_picture(image, heat, side=PANEL, full=full, box=_own(box))
            for image, heat, box in zip(pair.images, pair.heats, pair.boxes, strict=True)
        ]
        lines = _lines(ranking, row, pair)
        shown += [
            Picture(
                heats[0], caption="query", note=": ".join(filter(None, (f"to {row + 1}", _constant(pair.constants[0]))))
            ),
            # The name of the result is under its third tile as well.
            Picture(heats[1], caption=f"{pair.score:.3f}{strengths[row]}", note=_constant(pair.constants[1]) or name),
            *(lines or [plain]),
        ]
    return shown


def _strengths(pairs: Sequence[Pair | None]) -> list[str]:
    """Behind each score what its strongest place comes to, in percent of the strongest of all; "" if one is alone."""
    peaks = [0.0 if pair is None else peak(pair.heats, signed=True) for pair in pairs]
    strongest = max(peaks, default=0.0)
    if strongest <= 0 or sum(pair is not None for pair in pairs) < 2:
        return [""] * len(peaks)
    return [f", colours {100 * one / strongest:.0f} %" for one in peaks]


def _lines(ranking: Ranking, row: int, pair: Pair) -> list[Picture]:
    if pair.matches is None:
        return []
    path = ranking.paths[row]
    try:
        image = matches_picture(pair.images[0], path, pair.matches.query, pair.matches.result, box_a=ranking.box)
    except InputError:  # the file was replaced by a smaller image since it was matched
        return []
    caption = f"{len(pair.matches):,} points agree"
    return [Picture(image, caption=caption, note=f"{row + 1}  {Path(path).name}", href=path)]


def _constants(pair: Pair) -> str:
    """Behind the score, and not in the note, which is cut in the middle when it is long."""
    if pair.constants == (0.0, 0.0):
        return ""
    return f" (in no place: left {pair.constants[0]:+.3f}, right {pair.constants[1]:+.3f})"


def _constant(value: float) -> str:
    return f"{value:+.3f} in no place" if value else ""


def _words(ranking: Ranking, pairs: Sequence[Pair | None]) -> str:
    """What the maps are, and where they are not of the score that the results are ranked by."""
    found = [(row, pair) for row, pair in enumerate(pairs) if pair is not None]
    lost = [str(row + 1) for row, pair in enumerate(pairs) if pair is None]
    text = _what(any(pair.constants != (0.0, 0.0) for _, pair in found), len(found)) if found else ""
    if any(abs(pair.heats[0].score - pair.heats[1].score) > 0.01 for _, pair in found):
        text += " The query was expanded: the right map is of the similarity to that, the left one of the two images'."
    if any(abs(pair.score - float(ranking.scores[row])) > 0.01 for row, pair in found):
        text += " It is not what these results are ordered by: steps after the search have other scores."
    if len(pairs) < len(ranking):
        text += f" These are the first {len(pairs)} of {len(ranking)} results."
    if lost:
        whose = f"file of result {lost[0]}" if len(lost) == 1 else f"files of results {', '.join(lost)}"
        text += f" The {whose} cannot be read (moved, removed or damaged), so there is no picture here."
    return text.strip()


def _what(whitened: bool, count: int) -> str:
    sums = "all together are the similarity"
    if whitened:
        sums = (
            "all together, and the part behind the score that lies in no place, are the similarity; that part comes "
            "from the mean that whitening takes away"
        )
    scale = (
        " Each result has colours of its own scale; the percentage says how strong its strongest place is beside the "
        "strongest of all."
    )
    return (
        "The query is on the left. Orange places raise the similarity, blue ones lower it, and on either image "
        f"{sums}.{scale if count > 1 else ''}"
    )
