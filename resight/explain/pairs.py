"""Why two images are alike: what their places add to the similarity of their descriptors, and points that agree."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from resight.errors import InputError
from resight.explain.heat import Heat
from resight.explain.seen import Seen, Wanted, see
from resight.features.encoder import Encoder
from resight.features.whitening import Whitening
from resight.images import ImageLike, read_image
from resight.models.trained import is_trained
from resight.search.collection import Collection
from resight.search.ranking import Matches

if TYPE_CHECKING:
    from PIL.Image import Image

Box = Sequence[float]
INLIERS, INLIER_PIXELS = 8, 3.0  # as the step ransac after a search


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images and why they are alike.

    score      the similarity of their descriptors, a cosine
    heats      over the first image and over the second: what each place adds to the score
    constants  what the means of projection and whitening add on either side, 0 without them:
               `heats[i].total + constants[i]` is `heats[i].score`
    matches    points that agree in both, by RootSIFT and a homography; None if too few do, or none were asked for
    images     as given;  boxes  the parts of them that were compared, or None for all of it

    Each heat's own `score` is that of the pair, but for a result of a search whose query was expanded: there the second
    is the result's similarity to the expanded query, and the first that of the two images.
    """

    score: float
    heats: tuple[Heat, Heat]
    constants: tuple[float, float]
    matches: Matches | None = None
    images: tuple[ImageLike, ImageLike] = field(default=("", ""), repr=False)
    boxes: tuple[Box | None, Box | None] = field(default=(None, None), repr=False)

    def __repr__(self) -> str:
        points = "" if self.matches is None else f", {len(self.matches):,} points agree"
        return f"<Pair of {' and '.join(map(name_of, self.images))}, similarity {self.score:.3f}{points}>"

    def sheet(self, path: str | Path | None = None, *, side: int = 640) -> Image:
        """Both images beside each other with their heats; written to `path` (.png, .jpg) if given."""
        from resight.show import save_picture
        from resight.show.alike import pair_picture

        image = pair_picture(self, side=side)
        if path is not None:
            save_picture(image, path)
        return image


def explain_pair(
    a: ImageLike, b: ImageLike, encoder: str | os.PathLike[str] | Collection | Encoder = "gem", *,
    boxes: tuple[Box | None, Box | None] = (None, None), box_on: str = "pixels", match: bool = True,
) -> Pair:  # fmt: skip
    """Why two images are alike.

    a, b:    path, (H, W, 3) uint8 array or Pillow image
    encoder: an Encoder; a Collection or its folder, whose whitening then counts too; the folder of a run of `resight
             train embed`; or a descriptor by name ("rmac:levels=4") of the packaged network
    boxes:   x1, y1, x2, y2 in pixels of a and of b: compare these parts only;  box_on: as in `Encoder.encode`
    match:   also find the points that agree, which takes about as long again

    The maps sum to the score exactly, for every descriptor, at several scales and through projection and whitening
    (whose means give the constant): see `explain.similarity`. Raises ImageError if an image cannot be read, InputError
    for an unknown descriptor, a folder without a collection or finished run, or a box outside its image.
    """
    used, whitening = _encoder_of(encoder)
    wanted = [Wanted(image, box, box_on) for image, box in zip((a, b), boxes, strict=True)]
    first, second = (see(used, one, whitening) for one in wanted)
    pair = join(wanted[0], first, wanted[1], second)
    if not match:
        return pair
    points = matching_points(read_image(a), read_image(b), boxes)
    return Pair(pair.score, pair.heats, pair.constants, points, pair.images, pair.boxes)


def join(a: Wanted, first: Seen, b: Wanted, second: Seen, matches: Matches | None = None) -> Pair:
    """The pair of two images that were seen."""
    mine, constant = first.heat(second.vector, name_of(b.image))
    theirs, other = second.heat(first.vector, name_of(a.image))
    return Pair(theirs.score, (mine, theirs), (constant, other), matches, (a.image, b.image), (a.box, b.box))


def name_of(image: ImageLike) -> str:
    """How an image is called in words: its file's name."""
    return Path(image).name if isinstance(image, (str, os.PathLike)) else "image"


def matching_points(a: ImageLike, b: ImageLike, boxes: tuple[Box | None, Box | None] = (None, None)) -> Matches | None:
    """The points of two images, or of boxes in them, that one homography explains; None if fewer than 8 agree."""
    import numpy as np

    from resight.features.geometry import verify_geometry
    from resight.features.local import match_features, rootsift

    ours, theirs = (rootsift(read_image(image), box=box) for image, box in zip((a, b), boxes, strict=True))
    rows = match_features(ours, theirs)
    if len(rows) < INLIERS:
        return None
    mine, other = ours.points[rows[:, 0]], theirs.points[rows[:, 1]]
    found = verify_geometry(mine, other, threshold=INLIER_PIXELS)
    if found.count < INLIERS:
        return None
    return Matches(np.asarray(mine[found.inliers], np.float64), np.asarray(other[found.inliers], np.float64))


def _encoder_of(given: str | os.PathLike[str] | Collection | Encoder) -> tuple[Encoder, Whitening | None]:
    if isinstance(given, Encoder):
        return given, None
    if isinstance(given, Collection):
        return given.encoder, given.whitening
    if not isinstance(given, (str, os.PathLike)):
        raise InputError(f"expected an Encoder, a Collection, a folder or a descriptor, got {type(given).__name__}")
    text = os.fspath(given)
    if is_trained(os.path.expanduser(text)):
        return Encoder.open(text), None
    if Collection.exists(text) or os.sep in text or text.endswith(".resight"):
        with Collection.open(text) as photos:
            return photos.encoder, photos.whitening
    return Encoder(descriptor=text), None
