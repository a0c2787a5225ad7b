"""The scenes of `resight match`: images and videos, given as they are, in folders, globs and CSV lists."""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from resight.errors import InputError
from resight.show.text import visible


def find_scenes(given: Sequence[str]) -> list[Path | int]:
    """Paths of the images and videos that were asked for, in their order. Raises InputError if there are none."""
    from resight.images.contents import LeftOut, left_out_notes, missed_notes

    left_out: LeftOut = []
    found: list[Path | int] = [path for one in given for path in _at(one, left_out)]
    if not found:
        why = "".join(f"; {note}" for note in left_out_notes(left_out))
        raise InputError(f"no images or videos in {', '.join(given[:5])}{why}")
    for note in missed_notes(left_out):
        print(f"note: {visible(note)}", file=sys.stderr)
    return found


def is_video(place: Path | int) -> bool:
    """Whether a scene is a video, by its suffix, or a camera."""
    from resight.images.video import VIDEO_SUFFIXES

    return isinstance(place, int) or place.suffix.lower() in VIDEO_SUFFIXES


def _at(given: str, left_out: list[tuple[str, Path]]) -> list[Path]:
    from resight.images import list_images
    from resight.images.contents import Contents, absolute, by_name
    from resight.images.places import is_folder, is_there

    place = Path(os.path.expanduser(given))  # Path.expanduser raises for an unknown user
    if is_folder(place):
        held = Contents.read(absolute(place), left_out)
        return by_name([*held.images, *held.videos])
    if is_video(place) and is_there(place):
        return [place]
    if is_video(place) and glob.has_magic(given):
        videos = sorted(glob.glob(os.fspath(place), recursive=True), key=os.fsencode)  # noqa: PTH207
        if not videos:
            raise InputError(f"{given}: no video matches this glob")
        return [Path(path) for path in videos]
    ignored: Counter[str] = Counter()
    found = [listing.path for listing in list_images([place], labels="none", ignored=ignored)]
    left_out += [(kind, place) for kind in ignored.elements()]
    return found
