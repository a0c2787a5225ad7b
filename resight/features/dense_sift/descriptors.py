"""Dense SIFT of an image: bands of frame rows, one after the other or on several threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.features.dense_sift.frames import Axis, check_shape, make_axis
from resight.features.dense_sift.options import Options, Rules, make_options, make_rules
from resight.features.dense_sift.pixels import Planes, blur, check_image, to_planes

Image: TypeAlias = NDArray[np.uint8] | NDArray[np.float32] | NDArray[np.float64]
Descriptors: TypeAlias = NDArray[np.float32] | NDArray[np.uint8]

SMALL = 64 * 64  # pixels below which a second thread costs more than it brings


@dataclass(frozen=True, eq=False)
class Scale:
    """One scale of an image, ready for the kernels."""

    planes: Planes
    unit: float
    rules: Rules
    rows: Axis
    columns: Axis


def dense_sift(
    image: Image,
    step: int = 1,
    cell: int | None = None,
    window: str = "flat",
    layout: str = "vlfeat",
    preset: str | None = None,
    *,
    orientations: int | None = None,
    scales: tuple[int, ...] | None = None,
    smooth: bool = False,
    border: str | None = None,
    grey: str | None = None,
    window_size: float = 2.0,
    dtype: str | type[Any] = "float32",
    out: Descriptors | None = None,
    threads: int | None = None,
) -> Descriptors:
    """A SIFT descriptor for every `step`-th pixel: 4 x 4 cells of 8 orientations, upright, all of one size.

    image:        (H, W) or (H, W, 3) RGB; uint8, or floating in [0, 1]; never modified
    step, cell:   pixels from frame to frame, and from cell to cell (4; a preset has its own)
    window:       "flat" weighs cells as a whole (VLFeat's fast mode), "gaussian" every pixel, three times the work
    layout:       order of the orientations: "vlfeat", or "opencv", which turns the other way; cells row by row in both
    preset:       None: Lowe's descriptor as VLFeat computes it; "siftflow": C. Liu's (cell 2, 8 orientations);
                  "deepsky": the same with the filter that sift-cnn-all-sky-images has (cell 8, 4 orientations)
    orientations: 4 to 36; 8, with preset "deepsky" 4
    scales:       several cell sizes instead of one, channels one after the other, common centres (to half a pixel)
    smooth:       blur the image for each cell size first, as PHOW does
    border:       "cut": complete frames only (default); "keep": a frame at every step-th pixel, where cells outside the
                  image are those of the nearest pixel (default of the presets)
    grey:         "luma", "red", "green" or "blue"; default luma, for presets each pixel's strongest channel
    window_size:  standard deviation of the window in cells
    dtype:        "float32", or "uint8": min(512 d, 255), for presets 255 d, cut to whole numbers
    out:          a C-contiguous array of the result's shape and type to write into: a large new one costs as much time
                  as its contents
    threads:      None: one a core; results do not depend on it
    ->            (ny, nx, 128), unit rows (a flat place: zeros); `dense_sift_frames` says where

    Lowe: gradient, linear votes to two orientations, triangular pooling 1 - |k| / b, L2, clip at 0.2, L2 (IJCV 2004;
    VLFeat's dsift). A gradient below 1e-4 counts as none. Liu: cos^9 votes, pooling by .25, 1 x cell, .25,
    d / (|d| + 0.01) (Liu, Yuen and Torralba, PAMI 2011).
    Raises InputError for an image or an option that cannot be.

    >>> dense_sift(np.eye(20, dtype=np.float32), step=2).shape
    (4, 4, 128)
    """
    options = make_options(
        step=step, cell=cell, window=window, layout=layout, preset=preset, orientations=orientations, scales=scales,
        smooth=smooth, border=border, grey=grey, dtype=dtype, window_size=window_size,
    )  # fmt: skip
    workers = check_threads(threads)
    prepared = prepare(check_image(image), options)
    shape = (len(prepared[0].rows.cells), len(prepared[0].columns.cells), options.channels)
    found = np.empty(shape, options.dtype) if out is None else _check_out(out, shape, options.dtype, image)
    fill(prepared, options, found, 0, shape[0], workers)
    return found


def prepare(image: NDArray[Any], options: Options) -> list[Scale]:
    """All that the kernels need of a checked image, for each scale."""
    height, width = check_shape(image.shape, options)
    planes, unit = to_planes(image, options)
    return [
        Scale(blur(planes, cell) if options.smooth else planes, unit, make_rules(options, cell),
              make_axis(height, options, cell), make_axis(width, options, cell))
        for cell in options.cells
    ]  # fmt: skip


def fill(scales: list[Scale], options: Options, out: Descriptors, first: int, stop: int, threads: int = 1) -> None:
    """Writes frame rows first..stop - 1 to out, (stop - first, nx, D)."""
    from resight.features.dense_sift.kernels import kernel

    compute, flat = kernel(f"{options.window} to {options.dtype}"), out.reshape(-1)
    for number, scale in enumerate(scales):
        rules, base = scale.rules, 16 * options.orientations * number
        columns = scale.columns.cells.reshape(-1)

        def band(
            a: int, b: int, scale: Scale = scale, rules: Rules = rules, base: int = base, at: Any = columns
        ) -> None:
            compute(
                scale.planes, scale.unit, rules.lowe, options.orientations, rules.lanes, scale.rows.places,
                np.ascontiguousarray(scale.rows.cells[first:stop]), scale.columns.places, at, rules.taps, rules.before,
                rules.weights, rules.clip, rules.eps, rules.gain, a, b, flat, base, options.channels,
            )  # fmt: skip

        in_bands(band, stop - first, threads if scale.planes[0].size >= SMALL else 1)


def in_bands(band: Callable[[int, int], None], rows: int, threads: int) -> None:
    """band(start, stop) for all rows, on so many threads."""
    edges = [rows * k // threads for k in range(threads + 1)]
    parts = [(a, b) for a, b in pairwise(edges) if b > a]
    if len(parts) == 1:
        band(*parts[0])
        return
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: band(*part), parts))


def check_threads(threads: int | None) -> int:
    """How many threads to use; None: one for each core this process may run on. Raises InputError below 1."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= 1024:
        raise InputError(f"threads must be at least 1, or None for one a core, got {threads!r}")
    return threads


def _check_out(out: Any, shape: tuple[int, ...], dtype: str, image: Any) -> Descriptors:
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != np.dtype(dtype):
        came = f"{out.shape} {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
        raise InputError(f"out must be a {shape} array of {dtype}, got {came}")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise InputError("out must be C-contiguous and writeable: np.empty gives such an array")
    if np.may_share_memory(out, np.asarray(image)):
        raise InputError("out must not be the image's own memory")
    return out
