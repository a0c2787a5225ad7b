"""A scene to search in: what its finders prepare, made once each."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from resight.features.local import LocalFeatures
from resight.images import read_image
from resight.images.read import ImageLike
from resight.match.fine import scene_features
from resight.match.guided import Ground, make_ground
from resight.match.verify import grey


class Scene:
    """A scene and what is prepared of it; image: (H, W, 3) uint8 RGB."""

    def __init__(self, source: ImageLike) -> None:
        self.image = read_image(source)
        self.size = (int(self.image.shape[0]), int(self.image.shape[1]))
        self._grounds: dict[int, Ground] = {}

    @cached_property
    def grey(self) -> NDArray[np.uint8]:
        """(H, W) uint8."""
        return grey(self.image)

    def features(self, level: int = 1) -> LocalFeatures:
        """Its RootSIFT features at a level of detail, faint ones included."""
        return self.ground(level).features

    def ground(self, level: int = 1) -> Ground:
        """The features with their search tree."""
        if level not in self._grounds:
            self._grounds[level] = make_ground(scene_features(self.image, level))
        return self._grounds[level]
