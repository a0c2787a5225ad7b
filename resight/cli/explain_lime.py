"""`resight explain --method lime`: image by image, each with hundreds of passes, and how steady it came out."""

from __future__ import annotations

import hashlib
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

Facts = list[dict[str, float | int | str | None]]


def lime_each(
    subject: Subject, paths: Sequence[Path], method: str, wanted: Any, layer: str | None,
    segments: Sequence[Path] | None = None,
) -> Iterator[tuple[Explained[Path] | ImageError, Facts]]:  # fmt: skip
    """Each image explained by LIME, with what tells whether its maps can be believed.

    segments: for each image the file with its own, see `read_segments`; default: as the method's options cut it
    """
    from resight import choices
    from resight.explain.classes import ask_classes
    from resight.explain.lime import OPTIONS

    if layer is not None:
        raise InputError("lime looks at no layer, only at the image and the score: leave --layer out")
    _, options = choices.parse("method", method, {"lime": OPTIONS})
    ask_classes(wanted, subject.classes, f"class of {subject.name}")  # a misspelt one is an error before the first
    own: Sequence[Path | None] = segments or [None] * len(paths)
    return (_one(subject, path, wanted, dict(options), file) for path, file in zip(paths, own, strict=True))


def own_segments(subject: Subject, place: Path, paths: Sequence[Path]) -> tuple[list[Path], str]:
    """The file with each image's segments, all of them tried, and a digest of their content.

    Raises InputError, before anything is written, for a file that is missing or does not fit its image.
    """
    from resight.explain.segment_files import check_segments, find_segments

    if subject.frames:
        raise InputError(f"--segments is for images, and {subject.name} takes sequences")
    files = find_segments(place, paths)
    digest = hashlib.sha256()
    with progress("checking segments of", len(files)) as show:
        for done, (path, file) in enumerate(zip(paths, files, strict=True), 1):
            labels = check_segments(subject, path, file)
            digest.update(f"{file.name} {labels.shape} {labels.dtype}".encode("utf-8", "surrogateescape"))
            digest.update(labels.tobytes())
            show(done, 0)
    return files, digest.hexdigest()


def _one(
    subject: Subject, path: Path, wanted: Any, options: dict[str, Any], segments: Path | None
) -> tuple[Explained[Path] | ImageError, Facts]:
    import torch

    from resight.explain.explaining import Explained
    from resight.explain.lime import lime
    from resight.explain.segment_files import read_segments
    from resight.explain.work import probabilities as class_probabilities
    from resight.images import read_image

    try:
        image = read_image(path)
    except ImageError as error:
        return error, []
    if segments is not None:
        options["segments"] = read_segments(segments)
    with ExitStack() as stack:
        found = lime(image, subject, wanted, **options, progress=_Shown(stack, path))
    probabilities = class_probabilities(torch.from_numpy(found.logits).float()).numpy()
    drawn = {} if segments is None else {"segments": str(segments)}
    facts: Facts = [{**found.about(order), **drawn} for order in range(len(found.heats))]
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


def steadiness(facts: dict[str, Any]) -> str:
    """The line that goes with a map: how it was made, and how far it would come out the same again."""
    stability, r2 = facts["stability"], facts["r2"]
    found = "not known" if stability is None else f"{stability:.2f}"
    fit = "" if r2 is None else f", r2 {r2:.2f}"
    return f"lime: {facts['superpixels']} superpixels, {facts['samples']} samples, split-half stability {found}{fit}"
