"""`resight explain --method lime`: image by image, each with hundreds of passes, and how steady it came out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.cli.progress import progress
from resight.errors import ImageError, InputError
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.explain.explaining import Explained
    from resight.explain.subject import Subject

Facts = list[dict[str, float | int | None]]


def lime_each(
    subject: Subject, paths: Sequence[Path], method: str, wanted: Any, layer: str | None
) -> Iterator[tuple[Explained[Path] | ImageError, Facts]]:
    """Each image explained by LIME, with what tells whether its maps can be believed."""
    from resight import choices
    from resight.explain.classes import ask_classes
    from resight.explain.lime import OPTIONS

    if layer is not None:
        raise InputError("lime looks at no layer, only at the image and the score: leave --layer out")
    _, options = choices.parse("method", method, {"lime": OPTIONS})
    ask_classes(wanted, subject.classes, f"class of {subject.name}")  # a misspelt one is an error before the first
    return (_one(subject, path, wanted, dict(options)) for path in paths)


def _one(
    subject: Subject, path: Path, wanted: Any, options: dict[str, Any]
) -> tuple[Explained[Path] | ImageError, Facts]:
    import torch

    from resight.explain.explaining import Explained
    from resight.explain.lime import lime
    from resight.explain.work import probabilities as class_probabilities
    from resight.images import read_image

    try:
        image = read_image(path)
    except ImageError as error:
        return error, []
    with ExitStack() as stack:
        found = lime(image, subject, wanted, **options, progress=_Shown(stack, path))
    probabilities = class_probabilities(torch.from_numpy(found.logits).float()).numpy()
    facts = [found.about(order) for order in range(len(found.heats))]
    return Explained(path, found.heats, probabilities, subject.classes, image), facts


class _Shown:
    """Progress of one image; how many samples there are is known when the first are done."""

    def __init__(self, stack: ExitStack, path: Path) -> None:
        self._stack, self._path = stack, path
        self._show: Any = None

    def __call__(self, done: int, total: int) -> None:
        if self._show is None:
            self._show = self._stack.enter_context(progress(f"lime of {visible(self._path.name)},", total, "samples"))
        self._show(done, 0)


def steadiness(facts: dict[str, float | int | None]) -> str:
    """The line that goes with a map: how it was made, and how far it would come out the same again."""
    stability, r2 = facts["stability"], facts["r2"]
    found = "not known" if stability is None else f"{stability:.2f}"
    fit = "" if r2 is None else f", r2 {r2:.2f}"
    return f"lime: {facts['superpixels']} superpixels, {facts['samples']} samples, split-half stability {found}{fit}"
