"""Why the results of a search are like its query, in the space and by the parts of images that ranked them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from resight.errors import ImageError, InputError
from resight.explain.pairs import Pair, join, name_of
from resight.explain.seen import Seen, Wanted, see, see_each
from resight.search.after import parse_step
from resight.search.collection import Collection

if TYPE_CHECKING:
    from resight.search.after import Step
    from resight.search.ranking import Ranking

EXPANDED = 1e-3  # the cosine distance at which a query's vector is no longer the query's own


def explain_results(
    photos: Collection, ranking: Ranking, most: int = 20, progress: Callable[[int, int], None] | None = None
) -> tuple[Pair | None, ...]:
    """For each of the first `most` results why it is like the query; None where a result's file cannot be read.

    photos:   the collection that was searched
    progress: called with (results done, failed)

    Descriptor, whitening, the query's box, and the box and classes by which cam-regions and cam-online described a
    result are those of the ranking. After aqe, alpha-qe and dqe the map over a result is of its similarity to the
    expanded query, while the one over the query is of the two images'. What ranks otherwise (dba, k-reciprocal,
    diffusion, the points of ransac) has no such sum: then the maps are of the two images' similarity, which is the
    pair's score and not the ranking's.
    Raises InputError if the ranking has no image of its query or `most` is below 1, ImageError if that cannot be read.
    """
    if most < 1:
        raise InputError(f"expected a number of results from 1, got {most}")
    if ranking.image is None:
        raise InputError("an explanation needs the query's image: take a ranking that Collection.search has made")
    asked = Wanted(ranking.image, ranking.box, ranking.box_on, _classes(photos, ranking))
    query = see(photos.encoder, asked, photos.whitening)
    direction = _direction(ranking, query)
    first = ranking.take(range(min(most, len(ranking))))
    return tuple(_pairs(photos, first, asked, query, direction, progress))


def _pairs(
    photos: Collection, ranking: Ranking, asked: Wanted, query: Seen, direction: Tensor | None,
    progress: Callable[[int, int], None] | None,
) -> Iterator[Pair | None]:  # fmt: skip
    wanted = [_result(ranking, row, asked.classes) for row in range(len(ranking))]
    failed = 0
    for row, seen in enumerate(see_each(photos.encoder, wanted, photos.whitening)):
        if isinstance(seen, ImageError):
            failed += 1
            yield None
        else:
            matches = None if ranking.matches is None else ranking.matches[row]
            pair = join(asked, query, wanted[row], seen, matches)
            if direction is not None:
                heat, constant = seen.heat(direction, name_of(asked.image))
                heats, constants = (pair.heats[0], heat), (pair.constants[0], constant)
                pair = Pair(heat.score, heats, constants, matches, pair.images, pair.boxes)
            yield pair
        if progress is not None:
            progress(row + 1, failed)


def _result(ranking: Ranking, row: int, classes: Tensor | None) -> Wanted:
    path = os.path.expanduser(ranking.paths[row])
    step = _parted(ranking)
    if step is None or ranking.regions is None or bool(np.isnan(ranking.regions[row]).any()):
        return Wanted(path)
    box = ranking.found_in(row) if step.name == "cam-regions" else None
    return Wanted(path, box, "map", classes)


def _parted(ranking: Ranking) -> Step | None:
    """The last step that described parts of results, or results by the query's classes."""
    steps = [parse_step(done.step) for done in ranking.steps if not done.note.startswith("left out")]
    return next((step for step in reversed(steps) if step.name in ("cam-online", "cam-regions")), None)


def _classes(photos: Collection, ranking: Ranking) -> Tensor | None:
    """The classes by which such a step described the query and its results: the query's own best."""
    step = _parted(ranking)
    if step is None or ranking.image is None or photos.encoder.descriptor.name != "cam":
        return None
    view = photos.encoder.view(ranking.image, box=ranking.box, box_on=ranking.box_on)
    return view.look.best_classes(int(step.settings["count" if step.name == "cam-online" else "classes"]))[0]


def _direction(ranking: Ranking, query: Seen) -> Tensor | None:
    """The vector that the results were compared with, if it is not the query's own."""
    if ranking.vector is None:
        return None
    vector = torch.tensor(ranking.vector, dtype=torch.float64)
    if len(vector) != len(query.vector):
        raise InputError(f"the ranking is of another space: its query has {len(vector)} numbers, "
                         f"in this collection {len(query.vector)}")  # fmt: skip
    return vector if float(1 - vector @ query.vector / vector.norm().clamp(min=1e-12)) > EXPANDED else None
