"""Steps that look at the images again: class vectors by the query's classes, regions, geometric verification."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from resight.features.heat_boxes import cells_to_pixels, heat_boxes
from resight.search.after import Clock
from resight.search.by_vector import reordered
from resight.search.ranking import Matches, Ranking

if TYPE_CHECKING:
    from resight.features.local import LocalFeatures
    from resight.features.view import View
    from resight.search.database import Progress
    from resight.search.views import Views

AT_A_TIME = 4  # images per pass of the network, between two looks at the clock
INLIER_PIXELS = 3.0
FEATURE_BYTES = 512 << 20  # of results' local features that a step keeps
ENTRY_BYTES = 1024  # what an image without any takes, generously


class Online:
    """cam-online: every image is described by the query's classes instead of its own (OnA of Jimenez 2017).

    top: how many results are described again; 0: all of the collection, whose maps are then made beforehand
    """

    def __init__(self, views: Views, *, top: int, count: int) -> None:
        self.views, self.top, self.count = views, top, count
        self.depth = top or 10**9
        self._prepared = False
        _check_cam(views, "cam-online")

    def prepare(self, progress: Progress | None = None) -> None:
        """Make and keep the maps of the whole collection, unless only the first results are looked at."""
        if not self.top and not self._prepared:
            self.views.keep_all(progress)
            self._prepared = True

    def __call__(self, ranking: Ranking, clock: Clock) -> tuple[Ranking, str]:
        """Sort by the cosine of class-weighted descriptors over the query's classes."""
        query = self.views.query(ranking)
        classes = query.look.best_classes(self.count)[0]
        vector = self.views.describe(query.look, classes)
        wanted = ranking.ids[: self.top or len(ranking)]
        rows: list[NDArray[np.float32]] = []
        for view in _looked_at(self.views, wanted, clock):
            rows.append(np.full_like(vector, np.nan) if view is None else self.views.describe(view.look, classes))
        if not rows:
            return ranking, _left(0, len(wanted))
        regions = np.full((len(ranking), len(vector)), np.nan, np.float32)
        regions[: len(rows)] = rows
        scores = _or_last(regions[: len(rows)] @ vector)
        found = replace(ranking, vector=vector, regions=regions)
        note = _left(len(rows), len(wanted), int(np.isnan(regions[: len(rows), 0]).sum()))
        return reordered(found, scores, len(rows)), note


class Regions:
    """cam-regions: the part of each result that looks most like the query, found by its class activation maps.

    For each of the first `top` results: the CAMs of the query's first `classes` classes; the mean of the first `heat`
    of them is thresholded at 1, 10, 20, 30 and 40 % of its maximum; the best cosine among the boxes of the largest
    components counts, the whole image standing in where there is no box of 5 x 5 cells. Jimenez 2017, sec. 3.4. For
    descriptors other than cam the boxes are found in the same way and described by the collection's own descriptor.
    """

    def __init__(self, views: Views, *, top: int, classes: int, heat: int) -> None:
        self.views, self.depth, self.classes, self.heat = views, top, classes, heat
        _check_cam(views, "cam-regions", any_descriptor=True)

    def prepare(self, progress: Progress | None = None) -> None:
        """Nothing to do beforehand."""

    def __call__(self, ranking: Ranking, clock: Clock) -> tuple[Ranking, str]:
        """Sort the first results by their best region."""
        query = self.views.query(ranking)
        classes = query.look.best_classes(self.classes)[0]
        vector = self.views.describe(query.look, classes)
        wanted = ranking.ids[: self.depth]
        regions = np.full((len(ranking), len(vector)), np.nan, np.float32)
        boxes = np.full((len(ranking), 4), np.nan)
        scores: list[float] = []
        for row, view in enumerate(_looked_at(self.views, wanted, clock)):
            if view is None:
                scores.append(np.nan)
                continue
            best, regions[row], boxes[row] = self._best(view, classes, vector)
            scores.append(best)
        if not scores:
            return ranking, _left(0, len(wanted))
        found = replace(ranking, vector=vector, boxes=boxes, regions=regions)
        note = _left(len(scores), len(wanted), int(np.isnan(scores).sum()))
        return reordered(found, _or_last(np.array(scores, np.float32)), len(scores)), note

    def _best(
        self, view: View, classes: torch.Tensor, vector: NDArray[np.float32]
    ) -> tuple[float, NDArray[np.float32], NDArray[np.float64]]:
        """The best box of an image: its cosine, its descriptor, its place in pixels of the original."""
        with torch.inference_mode():
            heat = view.look.class_maps(classes[: self.heat])[0].mean(0).float().cpu().numpy()
        height, width = view.cells
        cells = heat_boxes(heat)
        if not len(cells):
            cells = np.array([[0, 0, width, height]])
        described = np.stack([self.views.describe(view.look.crop(box), classes) for box in cells.tolist()])
        cosines = described @ vector
        best = int(cosines.argmax())
        pixels = view.frame.to_original(cells_to_pixels(cells[best : best + 1], view.cells, view.fitted)[0])
        height, width = view.shape
        return float(cosines[best]), described[best], np.clip(pixels, 0, [width, height, width, height])


class Verify:
    """ransac: results whose RootSIFT features agree with the query's on one homography or affine map come first.

    The score of a verified result is its number of inliers plus its former score; with fewer than `least` inliers it
    keeps its former score, and its place behind all verified ones. The query's features are found in its box, reduced
    by itself. Features of results, some 1 MB each, are kept for the queries after this one: those used last, up to
    FEATURE_BYTES (512 MiB, about 500 images).
    """

    def __init__(self, views: Views, *, top: int, model: str, least: int, longest: int, most: int) -> None:
        self.views, self.depth, self.model, self.least = views, top, model, least
        self.longest, self.most = longest, most
        self._features: OrderedDict[int, LocalFeatures | None] = OrderedDict()  # the one used last is last
        self._held = 0  # bytes of them

    def prepare(self, progress: Progress | None = None) -> None:
        """Load the detector."""
        import cv2  # noqa: F401

    def __call__(self, ranking: Ranking, clock: Clock) -> tuple[Ranking, str]:
        """Sort the first results by inliers; their points are in `Ranking.matches`."""
        from resight.features.local import rootsift

        pixels = self.views.query_pixels(ranking)
        query = rootsift(pixels, longest=self.longest, most=self.most, box=ranking.box)
        wanted = ranking.ids[: self.depth].tolist()
        scores: list[float] = []
        matches: list[Matches | None] = []
        slowest = 0.0
        for row, image in enumerate(wanted):
            start = clock.spent
            if not clock.allows(slowest):
                break
            matched = self._matched(query, image)
            matches.append(matched)
            scores.append(float(ranking.scores[row]) + (len(matched) if matched else 0))
            slowest = max(slowest, clock.spent - start)
        if not scores:
            return ranking, _left(0, len(wanted))
        every = (*matches, *[None] * (len(ranking) - len(matches)))
        found = replace(ranking, matches=every)
        verified = np.array([len(m) if m else 0 for m in matches], np.float32)
        order = np.argsort(-verified, kind="stable")
        rows = np.concatenate([order, np.arange(len(matches), len(ranking))])
        scored = np.concatenate([np.array(scores, np.float32), ranking.scores[len(scores) :]])
        lost = sum(self._features.get(image, query) is None for image in wanted[: len(scores)])
        return replace(found, scores=scored).take(rows), _left(len(scores), len(wanted), lost)

    def _matched(self, query: LocalFeatures, image: int) -> Matches | None:
        from resight.features.geometry import LEAST, verify_geometry
        from resight.features.local import match_features

        result = self._features_of(image)
        if result is None:
            return None
        pairs = match_features(query, result)
        if len(pairs) < max(self.least, LEAST[self.model]):
            return None
        ours, theirs = query.points[pairs[:, 0]], result.points[pairs[:, 1]]
        geometry = verify_geometry(ours, theirs, model=self.model, threshold=INLIER_PIXELS)
        if geometry.count < self.least:
            return None
        keep = geometry.inliers
        return Matches(np.asarray(ours[keep], np.float64), np.asarray(theirs[keep], np.float64))

    def _features_of(self, image: int) -> LocalFeatures | None:
        from resight.features.local import rootsift

        if image in self._features:
            self._features.move_to_end(image)
            return self._features[image]
        pixels = self.views.pixels(image)
        found = None if pixels is None else rootsift(pixels, longest=self.longest, most=self.most)
        self._features[image] = found
        self._held += _bytes(found)
        while self._held > FEATURE_BYTES:
            self._held -= _bytes(self._features.popitem(last=False)[1])
        return found


def _bytes(features: LocalFeatures | None) -> int:
    arrays = () if features is None else (features.points, features.scales, features.angles, features.descriptors)
    return ENTRY_BYTES + sum(array.nbytes for array in arrays)


def _looked_at(views: Views, ids: NDArray[np.int64], clock: Clock) -> Iterator[View | None]:
    """What the network sees in these images, in order, as many as the clock allows."""
    slowest = 0.0
    for place in range(0, len(ids), AT_A_TIME):
        start = clock.spent
        if not clock.allows(slowest):
            return
        yield from views.looks(ids[place : place + AT_A_TIME].tolist())
        slowest = max(slowest, clock.spent - start)


def _or_last(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores with NaN (a file that can no longer be read) made lower than all others."""
    return np.where(np.isnan(scores), np.float32(-1), scores).astype(np.float32)


def _left(done: int, wanted: int, lost: int = 0) -> str:
    """What was left undone: for lack of time, and because image files are gone or damaged."""
    if wanted and not done:
        return "left out: the budget was spent"
    notes = [] if done == wanted else [f"budget: {done:,} of {wanted:,} looked at"]
    notes += [f"{lost:,} image files could not be read"] if lost else []
    return "; ".join(notes)


def _check_cam(views: Views, step: str, *, any_descriptor: bool = False) -> None:
    from resight.errors import InputError

    encoder = views.encoder
    if not any_descriptor and encoder.descriptor.name != "cam":
        raise InputError(f"{step} is for collections with the descriptor cam, this one has {encoder.descriptor}; "
                         "cam-regions works with any")  # fmt: skip
    if encoder.config.scales != (1.0,):
        raise InputError(f"{step} looks at images at one scale only, this collection has {encoder.config.scales}")
    if encoder.backbone.head_weight is None:
        raise InputError(f"{step} needs a network with global average pooling and one linear layer after it (resnet50, "
                         f"densenet161, efficientnet_lite0, ...), {encoder.config.backbone} has none")  # fmt: skip
