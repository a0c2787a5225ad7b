"""Dense SIFT as columns of a table: mean and standard deviation of its 128 channels over an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, unknown
from resight.features.dense_sift import sift_statistics
from resight.features.dense_sift.frames import least_side
from resight.features.dense_sift.options import make_options
from resight.features.dense_sift.statistics import statistic_names
from resight.features.extractors import Feature
from resight.features.wanted import Wanted
from resight.images import fit

OPTIONS = ("step", "cell", "window", "size", "prefix")


class SiftExtractor:
    """Statistics of dense SIFT on the image as it is, or reduced to `size` (its longer side; never enlarged).

    step, cell  pixels from frame to frame and from cell to cell; default 4 and 4
    window      flat (default) or gaussian
    prefix      text before each column's name

    An image without room for one frame has NaN. Raises InputError for an unknown option or a value that does not fit.
    """

    on_cpu = True
    slow = False

    def __init__(self, one: Wanted) -> None:
        options = dict(one.options)
        for name in options:
            if name not in OPTIONS:
                raise unknown(f"option of {one.kind}", name, OPTIONS)
        if one.subject:
            raise InputError(f"{one.kind} takes options only, such as {one.kind}:step=8, got {one.subject!r}")
        self.prefix, self.size = options.get("prefix", ""), _whole(options.get("size", "0"), "size", one.kind)
        self.options: dict[str, Any] = {
            "step": _whole(options.get("step", "4"), "step", one.kind),
            "cell": _whole(options.get("cell", "4"), "cell", one.kind),
            "window": options.get("window", "flat"),
        }
        checked = make_options(**self.options)
        self._least = least_side(checked)
        names = statistic_names(checked.channels)
        self.features = tuple(Feature(self.prefix + name) for name in names)
        self.settings = {
            "features": one.kind, **self.options, "size": self.size or "native",
            "columns": [feature.name for feature in self.features],
        }  # fmt: skip
        self.prepare(np.zeros((self._least, self._least, 3), np.uint8))  # compiles where nothing waits

    def prepare(self, image: NDArray[np.uint8]) -> list[float]:
        """The values for one image: computed here, where the workers are."""
        if self.size:
            image = fit(image, self.size, "longest")
        if min(image.shape[:2]) < self._least:
            return [float("nan")] * len(self.features)
        return list(sift_statistics(image, threads=1, **self.options).features().values())

    def finish(self, prepared: list[list[float]]) -> list[list[Any]]:
        """The values as they are."""
        return list(prepared)


def _whole(text: str, name: str, kind: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise InputError(f"{name} of {kind} must be a whole number, got {text!r}")
    return int(text)
