"""Published image pairs with a known homography, as cases: the first image whole is the template."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resight.errors import InputError
from resight.images import SUFFIXES, read_image
from resight.images.lines import read_lines
from resight.match.planes import Matrix
from resight.measure.tiers import Case

LIMIT = 2**16  # bytes of a matrix
_TO = re.compile(r"H(\d{1,3})to(\d{1,3})p?(?:\.txt)?")
_HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images and the map between them.

    homography: (3, 3) x, y, 1 in the template -> the scene, pixel centres at +.5
    """

    name: str
    template: Path
    scene: Path
    homography: Matrix


def read_pairs(folder: Path) -> tuple[Pair, ...]:
    """The pairs in a folder and in the folders right below it, by name.

    Two published layouts are known: img1.png, img2.png .. with H1to2p ..  (affine covariant regions, Mikolajczyk 2005;
    HPatches' 1.ppm, H_1_2 is not), whose matrices map the first image to the n-th; and NAMEA.png, NAMEB.png with
    NAME_model.txt (homogr, Lebeda 2012), whose matrix maps B to A. Both count pixels from their centres.
    Raises InputError, naming the file, if there is no pair, an image is missing or a matrix is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder of image pairs with homographies, got none")
    folders = [folder, *sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))]
    found = [pair for one in folders for pair in _pairs_in(one, "" if one == folder else f"{one.name}/")]
    if not found:
        raise InputError(
            f"{folder}: no pairs found: expected img1.* with H1to2p .., or NAMEA.*, NAMEB.*, NAME_model.txt"
        )
    return tuple(found)


def make_pair(pairs: tuple[Pair, ...], number: int) -> Case:
    """The case of a pair: its first image is the template, the second the scene, both in their own size."""
    pair = pairs[number]
    template, scene = read_image(pair.template), read_image(pair.scene)
    return Case(
        "pairs", number, template, scene, (pair.homography,), f"{pair.template.name} in {pair.scene.name}", pair.name
    )


def _pairs_in(folder: Path, prefix: str) -> list[Pair]:
    found = []
    for file in sorted(folder.iterdir()):
        to = _TO.fullmatch(file.name)
        if to is not None and file.is_file():
            first, second = (_image(folder, f"img{number}", file) for number in to.groups())
            found.append(Pair(f"{prefix}{to[1]}-{to[2]}", first, second, _centred(_matrix(file))))
        elif file.name.endswith("_model.txt") and file.is_file():
            name = file.name.removesuffix("_model.txt")
            first, second = _image(folder, f"{name}A", file), _image(folder, f"{name}B", file)
            found.append(
                Pair(f"{prefix}{name}", first, second, _centred(np.asarray(np.linalg.inv(_matrix(file)), np.float64)))
            )
    return found


def _image(folder: Path, stem: str, beside: Path) -> Path:
    for file in sorted(folder.glob(f"{stem}.*")):
        if file.suffix.lower() in SUFFIXES:
            return file
    raise InputError(f"{beside}: the image {stem}.* that it belongs to is not beside it")


def _matrix(file: Path) -> Matrix:
    rows = [text.split() for _, text in read_lines(file, LIMIT)]
    try:
        found = np.array([[float(word) for word in row] for row in rows], np.float64)
    except ValueError as error:
        raise InputError(f"{file}: expected a matrix of 3 x 3 numbers: {error}") from error
    if found.shape != (3, 3) or not np.isfinite(found).all() or abs(np.linalg.det(found)) < 1e-12:
        raise InputError(f"{file}: expected a matrix of 3 x 3 numbers that can be inverted, got shape {found.shape}")
    return found


def _centred(matrix: Matrix) -> Matrix:
    """From coordinates that are 0 at the first pixel's centre to those that are .5 there."""
    found = _HALF @ matrix @ np.linalg.inv(_HALF)
    return np.asarray(found / found[2, 2])
