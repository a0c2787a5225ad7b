"""Reads frames spread evenly over a sequence: a folder of images, or a video."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from resight.errors import ImageError, InputError
from resight.images.gate import MAX_PIXELS
from resight.images.listing import SUFFIXES
from resight.images.places import is_folder, is_there
from resight.images.read import read_image
from resight.images.video import MAX_FRAMES, VIDEO_SUFFIXES, count_frames, pick_frames

MAX_CLIP_PIXELS = 4 * MAX_PIXELS  # of all frames that are kept: 1.2 GB

Made = TypeVar("Made")
PathLike = str | os.PathLike[str]


def read_clip(path: PathLike, frames: int = 16) -> list[NDArray[np.uint8]]:
    """Frames spread evenly over a sequence; all of them if there are fewer.

    path:   a folder, whose own images are the frames, in natural order of their names (frame2 before frame10); or a
            video
    frames: how many
    ->      (H, W, 3) uint8 RGB each, upright; of a folder they may differ in size

    A video is decoded from its start to the last wanted frame. See `spread` for which these are.
    Raises ImageError, naming the frame, if one cannot be read, and if there is none or they take too much memory;
    InputError if frames is not a whole number from 1, or PyAV is missing.
    """
    return map_clip(path, frames, _Keep(path))


def map_clip(path: PathLike, frames: int, change: Callable[[NDArray[np.uint8]], Made]) -> list[Made]:
    """What `change` makes of each of the frames that `read_clip` would give.

    It is called with a frame as soon as that is read, so that only its results are held: frames of a long video that
    are fitted at once take little memory. Raises as read_clip, and whatever `change` raises.
    """
    if not isinstance(frames, (int, np.integer)) or isinstance(frames, bool) or frames < 1:
        raise InputError(f"expected frames as a whole number from 1, got {frames!r}")
    where = _place(path)
    if is_folder(where):
        files = frame_files(where)
        return [change(read_image(files[place])) for place in spread(len(files), int(frames))]
    return pick_frames(where, lambda count: spread(count, int(frames)), change)


def clip_length(path: PathLike) -> int:
    """How many frames a sequence has: images in the folder itself, or frames of the video, which is not decoded.

    Raises ImageError if it has none or is neither, InputError if PyAV is missing.
    """
    where = _place(path)
    return len(frame_files(where)) if is_folder(where) else count_frames(where)


def frame_files(folder: PathLike) -> list[Path]:
    """The images that a folder holds itself, in natural order of their names: frame2 before frame10.

    Raises ImageError if the folder cannot be read or holds none, or more than MAX_FRAMES.
    """
    where = Path(folder)
    try:
        with os.scandir(where) as entries:
            # A broken link is a frame that cannot be read, which reading tells; no folder is a frame.
            names = [entry.name for entry in entries if _is_image(entry.name) and not is_folder(entry.path)]
    except OSError as error:
        raise ImageError(str(where), f"the folder cannot be read: {error.strerror or error}") from error
    if not names:
        raise ImageError(str(where), "the folder holds no images")
    if len(names) > MAX_FRAMES:
        raise ImageError(str(where), f"the folder holds {len(names):,} images and the limit is {MAX_FRAMES:,} frames")
    return [where / name for name in sorted(names, key=_natural)]


def spread(count: int, frames: int) -> list[int]:
    """Places of `frames` items spread evenly over `count`; all of them if there are fewer.

    Item i is round((i + 0.5) count / frames - 0.5), halves up: the middle of the i-th of equal stretches.

    >>> spread(10, 3), spread(2, 3)
    ([1, 5, 8], [0, 1])
    """
    if frames >= count:
        return list(range(count))
    return [(2 * i + 1) * count // (2 * frames) for i in range(frames)]


class _Keep:
    """Keeps frames as they are, until they are too many pixels."""

    def __init__(self, path: PathLike) -> None:
        self._where = str(path)
        self._pixels = 0

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self._pixels += frame.shape[0] * frame.shape[1]
        if self._pixels > MAX_CLIP_PIXELS:
            raise ImageError(
                self._where,
                f"the frames have more than {MAX_CLIP_PIXELS:,} pixels together: take fewer (or, in Python, shrink "
                "each as it is read, with map_clip)",
            )
        return frame


def _place(path: PathLike) -> Path:
    """The path of a folder or of a file that is called as videos are."""
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"expected the path of a folder of frames or a video, got {type(path).__name__}")
    where = Path(os.path.expanduser(path))
    if is_folder(where):
        return where
    if not is_there(where):
        raise ImageError(str(where), "no such folder or file")
    if where.suffix.lower() not in VIDEO_SUFFIXES:
        kinds = " ".join(sorted(VIDEO_SUFFIXES))
        kind = "an image" if _is_image(where.name) else "a file"
        raise ImageError(str(where), f"expected a folder of frames or a video ({kinds}), got {kind}")
    return where


def _is_image(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES


def _natural(name: str) -> tuple[list[str | int], bytes]:
    # Split at runs of digits, text and numbers alternate, so that like is compared with like.
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], os.fsencode(name)
