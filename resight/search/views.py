"""What steps that look at images again need: the query as the network sees it, and maps and pixels of results."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resight.errors import ImageError, InputError
from resight.features.encoder import Encoder
from resight.features.pipeline import encode_stream
from resight.features.view import View
from resight.features.whitening import Whitening
from resight.images import ImageLike, crop_box, decode_image, read_bytes, read_image
from resight.search.kept_maps import KeptMaps, as_kept
from resight.search.ranking import Ranking
from resight.search.store import Item, Store, Where

if TYPE_CHECKING:
    import torch

    from resight.features.look import Look
    from resight.search.database import Progress

KEEP_AT_A_TIME = 64


class Views:
    """Looks at the images of a store, kept in a file once they were made.

    Of a file that was changed since it was indexed the look counts for this time and is not kept: maps are found again
    by the sha256 of indexing. An image that came as a vector has none, and its look is kept whatever the file is.

    encoder  made when it is first needed;  kept  the file of maps, opened when it is first needed
    """

    def __init__(
        self,
        store: Store,
        *,
        encoder: Callable[[], Encoder],
        whitening: Whitening | None,
        kept: Callable[[], KeptMaps],
    ) -> None:
        self.store, self.whitening = store, whitening
        self._encoder, self._kept = encoder, kept

    @property
    def encoder(self) -> Encoder:
        """The collection's encoder."""
        return self._encoder()

    def query(self, ranking: Ranking) -> View:
        """The query as the network sees it: its box only, if it has one. Raises InputError without an image."""
        return self.encoder.view(_image(ranking), box=ranking.box, box_on=ranking.box_on)

    def query_pixels(self, ranking: Ranking) -> NDArray[np.uint8]:
        """(H, W, 3) the whole query. Raises InputError without an image or with a box outside it."""
        pixels = read_image(_image(ranking))
        if ranking.box is not None:
            crop_box(pixels, ranking.box)  # for its checks
        return pixels

    def pixels(self, image: int) -> NDArray[np.uint8] | None:
        """(H, W, 3), or None if the file can no longer be read."""
        try:
            return read_image(self.store.get([image])[0].path)
        except ImageError:
            return None

    def looks(self, ids: Sequence[int]) -> list[View | None]:
        """What the network sees in some images, kept looks first; None for a file that can no longer be read."""
        items = self.store.get(list(ids))
        found = self._kept().get([(item.id, item.sha256) for item in items])
        missing = [item for item in items if item.id not in found]
        sizes: dict[int, tuple[int, int]] = {}
        fitted: list[tuple[Item, NDArray[np.uint8]]] = []
        changed: set[int] = set()
        for item in missing:
            try:
                pixels = _indexed(item, changed)
            except ImageError:
                continue
            sizes[item.id] = (pixels.shape[0], pixels.shape[1])
            fitted.append((item, self.encoder.fit(pixels)))
        made = [as_kept(look) for look in self.encoder.look_fitted([pixels for _, pixels in fitted])]
        same = [(item.id, item.sha256, look) for (item, _), look in zip(fitted, made) if item.id not in changed]
        self._kept().put(same)
        found.update({item.id: look for (item, _), look in zip(fitted, made)})
        return [self._view(item, found.get(item.id), sizes.get(item.id)) for item in items]

    def _view(self, item: Item, look: Look | None, size: tuple[int, int] | None) -> View | None:
        if look is None:
            return None
        size = size or (item.height, item.width)
        if min(size) < 1:  # added as a vector, so nobody has seen the image
            try:
                shape = read_image(item.path).shape
            except ImageError:
                return None
            size = (shape[0], shape[1])
        look = replace(look, head=self.encoder.backbone.head_weight)
        return View(look, self.encoder.frame(size), self.encoder.fitted_size(size), size)

    def keep_all(self, progress: Progress | None = None) -> None:
        """Make and keep the maps of every unchanged image that has none: interrupted and called again, it goes on."""
        kept = self._kept()
        items = list(self.store.scan(Where(status="ok"))) if kept.keeps else []
        known = kept.known([(item.id, item.sha256) for item in items])
        missing = [item for item in items if item.id not in known]
        if not missing:
            return
        ready: list[tuple[int, str, Look]] = []
        changed: set[int] = set()
        stream = encode_stream(
            self.encoder, missing, lambda item: _indexed(item, changed), run=self.encoder.look_fitted
        )
        for done, result in enumerate(stream, 1):
            if result.error is None and result.item.id not in changed:
                ready.append((result.item.id, result.item.sha256, result.vector))
            if len(ready) >= KEEP_AT_A_TIME:
                kept.put(ready)
                ready = []
                if progress:
                    progress(done, len(missing))
                if not kept.keeps:
                    break
        stream.close()  # type: ignore[attr-defined]
        kept.put(ready)

    def describe(self, look: Look, classes: torch.Tensor | None = None) -> NDArray[np.float32]:
        """(d,) its descriptor in the search space."""
        vector = self.encoder.describe(look, classes)
        if self.whitening is not None:
            vector = self.whitening.apply(vector)
        own: NDArray[np.float32] = vector[0]
        return own


def _indexed(item: Item, changed: set[int]) -> NDArray[np.uint8]:
    """(H, W, 3) from an item's file; its id is put into `changed` if these are not the bytes that were indexed."""
    data = read_bytes(os.path.expanduser(item.path))  # a path that came with a vector may begin with ~
    if item.sha256 and hashlib.sha256(data).hexdigest() != item.sha256:
        changed.add(item.id)
    return decode_image(data, item.path)


def _image(ranking: Ranking) -> ImageLike:
    if ranking.image is None:
        raise InputError("this step needs the query's image: take a ranking that Collection.search has made")
    return ranking.image
