"""Fractal features as columns of a table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, unknown
from resight.features.extractors import Feature
from resight.features.fractal import FEATURE_SETS, fractal
from resight.features.fractal.names import feature_names
from resight.features.fractal.options import make_options
from resight.features.wanted import Wanted
from resight.images import fit

OPTIONS = ("set", "preset", "scales", "rule", "centers", "channels", "distance", "connectivity", "percolation", "size",
           "prefix")  # fmt: skip
WITHOUT_PERCOLATION = ("mink-44",)
SMALLEST = 8


class FractalExtractor:
    """The gliding box on the image as it is, or reduced to `size` (its longer side; never enlarged).

    set         a feature set; default: gcc-116 with preset=gcc, else default
    percolation no: leaves its curves out of the default set, which makes it ten to twenty times as fast
    others      as in `resight.fractal`

    Raises InputError for an unknown option or a value that does not fit.
    """

    on_cpu = True
    slow = True

    def __init__(self, one: Wanted) -> None:
        options = dict(one.options)
        for name in options:
            if name not in OPTIONS:
                raise unknown("option of fractal", name, OPTIONS)
        if one.subject:
            raise InputError(f"fractal takes options only, such as fractal:preset=gcc, got {one.subject!r}")
        self.prefix, size = options.pop("prefix", ""), options.pop("size", "0")
        self.size = _whole(size, "size")
        if 0 < self.size < SMALLEST:
            raise InputError(
                f"size of fractal must be at least {SMALLEST} pixels, or 0 for the image as it is, got {size}"
            )
        self.set = options.pop("set", "gcc-116" if options.get("preset") == "gcc" else "default")
        if self.set not in FEATURE_SETS:
            raise unknown("feature set", self.set, FEATURE_SETS)
        self.percolation = _yes(options.pop("percolation", "yes")) and self.set not in WITHOUT_PERCOLATION
        self.options: dict[str, Any] = dict(options)
        if "connectivity" in options:
            self.options["connectivity"] = _whole(options["connectivity"], "connectivity")
        channels = options.pop("channels", None)
        checked = make_options(**{k: v for k, v in self.options.items() if k != "channels"})
        names = feature_names(self.set, checked.scales)
        if not self.percolation and self.set == "default":
            names = tuple(name for name in names if name.startswith(("dimension", "lacunarity")))
        self._names = names
        self.features = tuple(Feature(self.prefix + name) for name in names)
        self.settings = {
            "features": "fractal", "set": self.set, "percolation": self.percolation, "size": self.size or "native",
            "scales": list(checked.scales), "rule": checked.rule, "centers": checked.centers,
            "distance": checked.distance, "connectivity": checked.connectivity, "channels": channels or "all",
            "preset": checked.preset, "columns": [feature.name for feature in self.features],
        }  # fmt: skip
        self.prepare(np.zeros((8, 8, 3), np.uint8))  # refuses what is left to refuse; compiles where nothing waits

    def prepare(self, image: NDArray[np.uint8]) -> list[float]:
        """The values for one image: computed here, where the workers are."""
        if self.size:
            image = fit(image, self.size, "longest")
        found = fractal(image, percolation=self.percolation, threads=1, **self.options).features(self.set)
        return [found[name] for name in self._names]

    def finish(self, prepared: list[list[float]]) -> list[list[Any]]:
        """The values as they are."""
        return list(prepared)


def _whole(text: str, name: str) -> int:
    if not text.isdecimal():
        raise InputError(f"{name} of fractal must be a whole number of at least 0, got {text!r}")
    return int(text)


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise InputError(f"percolation of fractal must be yes or no, got {text!r}")
    return text == "yes"
