"""Superpixels that somebody has drawn: label pictures and arrays, one for each image."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resight.errors import ImageError, InputError
from resight.explain.subject import Subject
from resight.explain.superpixels import fit_labels
from resight.images.gate import MAX_PIXELS, open_image, quiet
from resight.images.places import is_file
from resight.images.read import read_bytes, read_image

SUFFIXES = (".npy", ".png")
SINGLE = ("1", "L", "P", "I;16", "I")  # Pillow's names of pictures with one whole number in each pixel
NAMED = 5  # images that a message lists


def find_segments(place: str | os.PathLike[str], images: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The file with the segments of each image.

    place: a .png or .npy file, of one image; or a folder with one for each, of the image's name but for the suffix

    Raises InputError if there is none, or a file for several images, or two files in the folder for one.
    """
    where, paths = Path(os.path.expanduser(place)), [Path(image) for image in images]
    if not where.is_dir():
        if not is_file(where):
            raise InputError(f"{where}: expected a file with segments (.png, .npy), or a folder of them, got none")
        if len(paths) != 1:
            raise InputError(f"{where}: these are the segments of one image, got {len(paths):,} images: give a folder "
                             "with a file of each image's name")  # fmt: skip
        _check_suffix(where)
        return [where]
    by_stem = _by_stem(where)
    found = [[file for file in by_stem.get(path.stem, []) if not _same(file, path)] for path in paths]
    missing = [path.name for path, own in zip(paths, found, strict=True) if not own]
    if missing:
        more = f" and {len(missing) - NAMED:,} more" if len(missing) > NAMED else ""
        raise InputError(f"{where}: no segments (.png, .npy) for {', '.join(missing[:NAMED])}{more}")
    for path, own in zip(paths, found, strict=True):
        if len(own) > 1:
            raise InputError(f"{where}: expected one file with the segments of {path.name}, got "
                             f"{', '.join(file.name for file in own)}")  # fmt: skip
    return [own[0] for own in found]


def read_segments(file: str | os.PathLike[str]) -> NDArray[Any]:
    """(H, W) whole numbers: which segment each pixel belongs to.

    file: .png of one channel (8 or 16 bit grey, or a palette, of which the places count); or .npy, of whole numbers;
          nothing in it can run

    Raises InputError if it is neither, damaged, or of more than 100 million pixels.
    """
    where = Path(file)
    _check_suffix(where)
    if not is_file(where):
        raise InputError(f"{where}: expected a file with segments, got none")
    return _from_npy(where) if where.suffix.lower() == ".npy" else _from_png(where)


def check_segments(subject: Subject, image: str | os.PathLike[str], file: Path) -> NDArray[Any]:
    """The segments of an image as `read_segments` reads them, tried on it; an image that cannot be read tries nothing.

    Raises InputError, with the file's name, if they are of another size than the image, or if there are fewer than two
    parts, or more than 2,000, in what the subject sees of it.
    """
    labels = read_segments(file)
    try:
        high, wide = read_image(image).shape[:2]
    except ImageError:  # it is told when its turn comes
        return labels
    try:
        fit_labels(labels, (high, wide), subject.frame((high, wide)), subject.size)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return labels


def _check_suffix(file: Path) -> None:
    if file.suffix.lower() not in SUFFIXES:
        raise InputError(f"{file}: segments are read from .png (one channel) and .npy (whole numbers)")


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    try:
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() in SUFFIXES and is_file(file):
                found[file.stem].append(file)
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read: {error.strerror or error}") from error
    return found


def _same(file: Path, image: Path) -> bool:
    """Whether a file is the image itself, where both are in one folder."""
    return os.path.realpath(file) == os.path.realpath(image)


def _from_npy(file: Path) -> NDArray[Any]:
    try:
        # Mapped, so that a header which promises more than there is takes no memory.
        found = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        raise InputError(f"{file}: not readable as a .npy array: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "iub" or found.ndim != 2:
        kind = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
        raise InputError(f"{file}: expected whole numbers (H, W), got {kind}")
    if found.size > MAX_PIXELS:
        raise InputError(f"{file}: expected at most {MAX_PIXELS:,} pixels, got {found.size:,}")
    return np.array(found)


def _from_png(file: Path) -> NDArray[Any]:
    try:
        data = read_bytes(file)
        with quiet():
            return _single(open_image(data, str(file)), file)
    except ImageError as error:
        raise InputError(str(error)) from error


def _single(image: Image.Image, file: Path) -> NDArray[Any]:
    if image.format != "PNG" or image.mode not in SINGLE:
        raise InputError(f"{file}: expected a PNG of one channel, 8 or 16 bit grey or a palette, got {image.format} "
                         f"{image.mode}")  # fmt: skip
    try:
        return np.asarray(image)
    except Exception as error:  # Pillow's decoders raise nearly every type there is
        raise InputError(f"{file}: damaged image: {' '.join(str(error).split())[:160]}") from error
