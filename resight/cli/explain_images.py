"""`resight explain` of images or sequences, one after the other: lines, pictures, and how the same command goes on."""

from __future__ import annotations

import hashlib
import json as json_module
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.cli.progress import progress
from resight.errors import ImageError
from resight.show.text import visible

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from resight.explain.explaining import Explained
    from resight.explain.subject import Subject
    from resight.show.heat import HeatStyle
    from resight.show.heat_folder import HeatFolder
    from resight.show.heat_sheet import HeatSheet

TOP = 5


def explain_images(
    subject: Subject, paths: list[Path], method: str, wanted: Any, layer: str | None, style: HeatStyle, out: Path,
    json: bool, source: tuple[str, str, str | None], segments: Path | None = None,
) -> int:  # fmt: skip
    """Explain images one after the other; returns how many could not be read.

    source:   model, weights and fit as given, for what decides whether a folder that was begun goes on
    segments: of lime, a file or a folder as of `find_segments`
    """
    from resight.cli.explain_lime import own_segments
    from resight.explain.methods import find_method
    from resight.show.heat_folder import HeatFolder
    from resight.train.inputs import why_not

    method, _ = find_method(method)
    about = {"model": subject.name, "method": method, "asked": wanted}
    settings = {
        "model": source[0], "weights": _weights(*source[:2]), "fit": source[2], "method": method, "class": wanted,
        "layer": layer, "images": hashlib.sha256(b"\0".join(map(os.fsencode, paths))).hexdigest(),
    }  # fmt: skip
    files: list[Path] | None = None
    if segments is not None:
        files, settings["segments"] = own_segments(subject, segments, paths)
        about["segments"] = str(segments)
    # Lines are progress enough.
    with HeatFolder(out, style, about, settings) as folder, _progress(paths, json) as show:
        rest = paths[folder.done :]
        if folder.done:
            before = f"{_counted(folder.done, _kind(subject))} of {len(paths):,}"
            print(f"{visible(str(out))}: goes on after {before}", file=sys.stderr, flush=True)
        stream = _stream(subject, rest, method, wanted, layer, files and files[folder.done :])
        for done, (path, (found, facts)) in enumerate(zip(rest, stream, strict=True), folder.done + 1):
            if isinstance(found, ImageError):
                reason = why_not(found, path)
                folder.skip(path, reason)
                print(f"  -    {visible(str(path))}: {visible(reason)}", file=sys.stderr, flush=True)
            else:
                folder.add(path, found.heats, found.image, _best(found), facts, _frames(subject, path, found))
                if not json:
                    _print(path, found, facts, alone=len(paths) == 1)
            show(done, folder.skipped)
        sheet = folder.write_sheet(lambda path: _pixels(subject, path))
    _tell(folder, sheet, len(paths) - folder.skipped, _kind(subject), json)
    return folder.skipped


def _weights(model: str, weights: str) -> str:
    """What tells one state of a network from another: of a run the digest of its record, which has that of its weights.

    A run that was trained again under the same name does not go on with maps of the one before.
    """
    from resight.train.run_files import RECORD

    record = Path(model) / RECORD
    return hashlib.sha256(record.read_bytes()).hexdigest() if record.is_file() else weights


def _frames(subject: Subject, path: Path, found: Explained[Any]) -> list[dict[str, Any]]:
    """The files of the frames that were taken of a folder, or their places in a video, from 1; none for images."""
    from resight.images.clips import clip_length, frame_files, spread

    if not subject.frames:
        return []
    try:
        if path.is_dir():
            files = frame_files(path)
            return [{"file": files[place].name} for place in spread(len(files), len(found.image))]
        return [{"place": place + 1} for place in spread(clip_length(path), len(found.image))]
    except ImageError:  # it went away after it was read; its frames keep their numbers
        return []


def _pixels(subject: Subject, path: str) -> NDArray[np.uint8]:
    """An image, or the frames of a sequence as they were explained."""
    from resight.explain.explaining import prepare
    from resight.images import read_image

    return prepare(subject, path)[1] if subject.frames else read_image(path)


def _kind(subject: Subject) -> str:
    return "sequence" if subject.frames else "image"


def _stream(
    subject: Subject, paths: list[Path], method: str, wanted: Any, layer: str | None, segments: list[Path] | None
) -> Iterator[tuple[Explained[Path] | ImageError, list[dict[str, Any]]]]:
    """Each image explained, or its error, and what else is to be said of its maps."""
    from resight.cli.explain_lime import lime_each
    from resight.explain.explaining import explain_each

    if method.partition(":")[0] == "lime" and not subject.frames:
        return lime_each(subject, paths, method, wanted, layer, segments)
    return ((found, []) for found in explain_each(paths, subject, method, wanted, layer=layer))


def _progress(paths: list[Path], json: bool) -> Any:
    return progress("explaining", len(paths)) if json else nullcontext(lambda done, failed: None)


def _best(found: Explained[Any]) -> list[dict[str, Any]]:
    """The most probable classes."""
    order = sorted(range(len(found.classes)), key=lambda number: (-found.probabilities[number], number))[:TOP]
    return [
        {"class": found.classes[number], "number": number, "probability": float(found.probabilities[number])}
        for number in order
    ]


def _print(path: Path, found: Explained[Any], facts: list[dict[str, Any]], alone: bool) -> None:
    """The most probable classes of a single image, or the explained ones of one among several."""
    from resight.cli.explain_lime import steadiness
    from resight.show.heat_folder import class_name

    best = _best(found) if alone else []
    lines = [(one["number"], one["probability"], f"{one['number']}_{one['class']}") for one in best]
    lines += [(heat.target, heat.probability, class_name(heat)) for heat in found.heats]
    steady = {heat.target: steadiness(one) for heat, one in zip(found.heats, facts)}
    shown = dict.fromkeys(number for number, _, _ in lines)
    words = {number: (probability, name) for number, probability, name in lines}
    for rank, number in enumerate(shown):
        probability, name = words[number]
        print(f"{probability:.3f} -> {visible(name)}{'' if rank else f'   {visible(str(path))}'}", flush=True)
        if number in steady:
            print(f"         {steady[number]}", flush=True)


def _tell(folder: HeatFolder, sheet: HeatSheet | None, read: int, kind: str, json: bool) -> None:
    if json:
        print(json_module.dumps({**folder.manifest(), "folder": str(folder.folder)}, indent=1))
        return
    note = f"; {folder.skipped:,} could not be read" if folder.skipped else ""
    print(f"wrote {visible(str(folder.folder))}: {_counted(folder.pictures, 'picture')} of "
          f"{_counted(read, kind)}, maps (.npy){', sheet.png' if sheet else ''} and manifest.json{note}")  # fmt: skip
    if sheet is not None:
        some = [f"the first {sheet.images:,} of {_counted(read, kind)}"] if sheet.images < read else []
        some += [f"the first {sheet.classes} of {sheet.most:,} classes of each"] if sheet.classes < sheet.most else []
        if some:
            print(f"sheet.png shows {', '.join(some)}")


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
