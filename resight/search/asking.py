"""What is asked of a collection, as a vector; and the answer, as a ranking."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.features.encoder import Encoder
from resight.images import ImageLike
from resight.search.ranking import Ranking
from resight.search.store import Store

Query = ImageLike | int


def describe_query(
    store: Store, encoder: Callable[[], Encoder], query: Query, box: Sequence[float] | None, box_on: str
) -> NDArray[np.float32]:
    """The raw descriptor (D,) of a query: a stored image's own vector is not made again.

    Raises InputError for an unknown id or one whose image could not be read, ImageError for an unreadable image.
    """
    if isinstance(query, bool):
        raise InputError(f"a query is a path, an array, a Pillow image or an id, got {query}")
    if isinstance(query, (int, np.integer)):
        item = store.get([int(query)], vectors=True)[0]
        if item.vector is None:
            raise InputError(f"image {query} ({item.path}) could not be read, so it cannot be searched for")
        if box is None:
            return item.vector
        query = item.path
    return encoder().encode(query, box=box, box_on=box_on)


def as_ranking(
    store: Store, query: Query, box: Sequence[float] | None, ids: NDArray[np.int64], scores: NDArray[np.float32]
) -> Ranking:
    """The ranking of these images for a query; places without an image (id -1) are left out."""
    image: ImageLike
    if isinstance(query, (int, np.integer)):
        image = name = store.get([int(query)])[0].path
    else:
        image = query
        name = os.fspath(query) if isinstance(query, (str, os.PathLike)) else "image"
    keep = ids >= 0
    items = store.get(ids[keep].tolist())
    region = (float(box[0]), float(box[1]), float(box[2]), float(box[3])) if box is not None else None
    return Ranking(
        ids=ids[keep], paths=tuple(i.path for i in items), scores=scores[keep].astype(np.float32),
        labels=tuple(i.label for i in items), query=name, box=region, image=image,
    )  # fmt: skip
