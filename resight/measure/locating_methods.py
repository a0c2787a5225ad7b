"""The methods that are measured: ours by their finder, and the public baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, unknown
from resight.match.baselines import BASELINES, has_akaze
from resight.match.result import Match
from resight.match.template import Template

if TYPE_CHECKING:
    from resight.match.finding import Finder

Image = NDArray[np.uint8]
OWN = ("auto", "sift", "correlate", "mask")


@dataclass(frozen=True)
class Method:
    """Something that finds templates.

    prepare:     a template -> a function from a scene to a match: called once for each case and timed apart
    prepare_all: the same for all instances in a scene; None if it finds one at most
    """

    name: str
    prepare: Callable[[Template], Callable[[Image], Match]]
    prepare_all: Callable[[Template], Callable[[Image], tuple[Match, ...]]] | None = None


def read_methods(names: Sequence[str], model: Path | None = None) -> tuple[Method, ...]:
    """Methods by name: auto, sift, correlate and mask are `Finder`'s, the others those of BASELINES.

    model: folder or file of the mask network, for mask

    Raises InputError for an unknown name, one given twice, mask without a model, or a baseline that is not here.
    """
    known = (*OWN, *BASELINES)
    for name in names:
        if name not in known:
            raise unknown("method", name, known)
    if not names or len(set(names)) != len(names):
        raise InputError(f"expected methods, each once, got {', '.join(names) or 'none'}")
    if "mask" in names and model is None:
        raise InputError("the method mask needs a trained network: name it with --model")
    if "akaze" in names and not has_akaze():
        raise InputError("this OpenCV has no AKAZE (version 5 keeps it in its contrib package): leave akaze out")
    return tuple(_own(name, model) if name in OWN else Method(name, BASELINES[name]) for name in names)


def _own(name: str, model: Path | None) -> Method:
    return Method(
        name,
        lambda template: _finder(template, name, model).find,
        lambda template: _finder(template, name, model).find_all,
    )


def _finder(template: Template, name: str, model: Path | None) -> Finder:
    """A finder; what it prepares of its template when it comes to need it is part of the search, as in a single one."""
    from resight.match.finding import Finder

    return Finder(template, method=name, model=model if name == "mask" else None)
