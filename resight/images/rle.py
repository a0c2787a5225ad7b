"""Masks as runs of equal pixels: the text "H,W:start len ..." and COCO's run lengths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.images.gate import MAX_PIXELS

_HEAD = re.compile(r"([0-9]{1,9}),([0-9]{1,9}):")
_DIGITS = 9  # of a number; MAX_PIXELS has as many
_SHOWN = 40
_FIRST, _LAST = ord("0"), ord("0") + 63  # characters of COCO's compressed counts
_CHARACTERS = 7  # that one count takes at most: 5 bits each


def encode_rle(mask: NDArray[np.bool_]) -> str:
    """A mask as text "H,W:start len start len ...".

    mask: (H, W) bool
    ->    row-major; `start` counts pixels from 0 at the top left, so the last pixel is H*W - 1; runs ascend and
          never touch. An empty mask is "H,W:" alone

    Raises InputError if it is no bool array (H, W) with pixels.

    >>> encode_rle(np.array([[False, True, True], [True, False, False]]))
    '2,3:1 3'
    """
    flat = _checked(mask).ravel()
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flat, [False])).astype(np.int8)))
    runs = edges.reshape(-1, 2)
    runs[:, 1] -= runs[:, 0]
    return f"{mask.shape[0]},{mask.shape[1]}:{' '.join(map(str, runs.ravel().tolist()))}"


def decode_rle(text: str, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.bool_]:
    """The mask (H, W) bool that `encode_rle` has written.

    Raises InputError for another form, for more than max_pixels, and for runs that are empty, out of order, overlap or
    leave the image.

    >>> decode_rle("2,3:1 3").tolist()
    [[False, True, True], [True, False, False]]
    """
    head = _HEAD.match(text)
    if head is None:
        raise InputError(f"expected a mask as 'H,W:start len start len ...', got {text[:_SHOWN]!r}")
    size = _size(int(head[1]), int(head[2]), max_pixels)
    pixels, body = size[0] * size[1], text[head.end() :]
    # No row of runs in order is longer, so a long text is refused before it is split.
    if len(body) > (pixels + 2) * (_DIGITS + 1) or re.fullmatch(r"[0-9 ]*", body) is None:
        raise InputError(f"expected 'start len' in digits behind the colon of a mask, got {body[:_SHOWN]!r}")
    words = body.split()
    if len(words) % 2 or any(len(word) > _DIGITS for word in words):
        raise InputError(f"expected pairs 'start len' of at most {_DIGITS} digits each, got {len(words)} numbers")
    starts, lengths = np.array(words, dtype=object).astype(np.int64).reshape(-1, 2).T
    ends = starts + lengths
    if (lengths < 1).any() or (starts[1:] < ends[:-1]).any():
        raise InputError("the runs of a mask must have pixels, ascend and not overlap")
    if len(ends) and ends[-1] > pixels:
        raise InputError(f"a run ends at pixel {int(ends[-1]):,} of a mask of {pixels:,} (the first is pixel 0)")
    steps = np.zeros(pixels + 1, np.int8)
    steps[starts] = 1
    steps[ends] -= 1  # where one run ends another may start
    return np.cumsum(steps[:-1], dtype=np.int8).astype(bool).reshape(size)


def encode_coco_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A mask (H, W) bool in COCO's compressed form, {"size": [H, W], "counts": text}: column-major, starting outside.

    Raises InputError if it is no mask, or if pycocotools is missing.
    """
    pixels = np.asfortranarray(_checked(mask).astype(np.uint8))
    try:
        from pycocotools import mask as coco_mask  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise InputError("COCO's run lengths need pycocotools: pip install 'resight[locate]'") from error
    found = coco_mask.encode(pixels)
    return {"size": [int(side) for side in found["size"]], "counts": found["counts"].decode("ascii")}


def decode_coco_rle(rle: Mapping[str, Any], *, max_pixels: int = MAX_PIXELS) -> NDArray[np.bool_]:
    """The mask (H, W) bool of COCO's run lengths, {"size": [H, W], "counts": text, bytes or a list of counts}.

    Read here, as pycocotools 2.0 gives uninitialised pixels for counts that do not fill the image, and crashes on
    others. Raises InputError for another form, more than max_pixels, and counts that do not fill the image exactly.

    >>> decode_coco_rle({"size": [2, 3], "counts": [1, 3, 2]}).tolist()
    [[False, True, False], [True, True, False]]
    """
    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(type(side) is int for side in size):
        raise InputError(f"expected COCO run lengths with size [H, W], got {str(size)[:_SHOWN]}")
    height, width = _size(size[0], size[1], max_pixels)
    runs = _coco_counts(counts, height * width)
    if sum(runs) != height * width:
        raise InputError(f"COCO run lengths cover {sum(runs):,} pixels of a mask of {height * width:,}")
    inside = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, runs).reshape(width, height).T)


def _coco_counts(counts: object, pixels: int) -> list[int]:
    if isinstance(counts, (str, bytes)):
        data = counts.encode("utf-8", "replace") if isinstance(counts, str) else counts
        if len(data) > _CHARACTERS * (pixels + 1) or any(not _FIRST <= byte <= _LAST for byte in data):
            raise InputError("the counts of COCO run lengths hold what its compressed form has no use for, or too much")
        return _decompressed(data, pixels)
    if not isinstance(counts, list) or not all(type(run) is int and 0 <= run <= pixels for run in counts):
        raise InputError(
            f"expected COCO counts as text or whole numbers from 0 to {pixels:,}, got {type(counts).__name__}"
        )
    return counts


def _decompressed(data: bytes, pixels: int) -> list[int]:
    """Counts of 5 bits a character, 32 meaning that more follow; from the fourth on as differences to the last but one.

    The form is pycocotools' own (rleToString in its maskApi.c).
    """
    runs: list[int] = []
    value = shift = 0
    for byte in data:
        bits = byte - _FIRST
        value |= (bits & 31) << shift
        shift += 5
        if shift > 5 * _CHARACTERS:
            raise InputError("a count of COCO run lengths has no end")
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        if len(runs) > 2:
            value += runs[-2]
        if not 0 <= value <= pixels:
            raise InputError(f"a count of COCO run lengths is {value:,}, expected 0 to {pixels:,}")
        runs.append(value)
        value = shift = 0
    if shift:
        raise InputError("COCO run lengths end within a count")
    return runs


def _size(height: int, width: int, max_pixels: int) -> tuple[int, int]:
    if height < 1 or width < 1 or height * width > max_pixels:
        raise InputError(f"expected a mask of 1 to {max_pixels:,} pixels, got {height:,} x {width:,} (H x W)")
    return height, width


def _checked(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.ndim != 2 or mask.size == 0:
        kind, shape = getattr(mask, "dtype", type(mask).__name__), getattr(mask, "shape", "no shape")
        raise InputError(f"expected a mask (H, W) of bool, got {kind} of {shape}")
    return mask
