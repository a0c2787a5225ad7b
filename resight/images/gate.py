"""Pillow as the gate: which formats may open and how large they may be, with Pillow's global settings untouched."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import io
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from PIL import Image, UnidentifiedImageError

from resight.errors import ImageError
from resight.images.signatures import image_kind, is_heif, is_raw, seems

MAX_PIXELS = 100_000_000

_PLUGINS = ("Jpeg", "Mpo", "Png", "WebP", "Tiff", "Bmp", "Gif", "Ppm", "Avif")
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF")
# Complaints of the decoders about damaged metadata and their own future; the caller can act on none of them.
_MUTED = ("ignore", None, Warning, re.compile(r"(PIL|pillow_heif|torchvision)\b"), 0)
_lock = threading.Lock()
_muted_lists: list[list[Any]] = []
_readers = 0


@contextmanager
def quiet() -> Iterator[None]:
    """Mutes warnings raised inside PIL, pillow_heif and torchvision while any thread is inside.

    warnings.catch_warnings will not do: it is not safe with several threads, and it forgets which
    warnings of other modules were already shown. Here one filter is put in and taken out again.
    """
    global _readers
    with _lock:
        _readers += 1
        filters = cast("list[Any]", warnings.filters)
        if _MUTED not in filters:
            filters.insert(0, _MUTED)
            _muted_lists.append(filters)
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                for filters in (*_muted_lists, cast("list[Any]", warnings.filters)):
                    with suppress(ValueError):
                        filters.remove(_MUTED)
                _muted_lists.clear()


def open_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The Pillow image of `data` with its header read and its pixels not yet decoded.

    data: the whole file; name: for messages; max_pixels: width x height allowed.
    Only the formats listed here may open. Call it inside quiet().
    Raises ImageError if it is no image, of another format, damaged in the header, or too large.
    """
    if not data:
        raise ImageError(name, "the file is empty")
    if is_raw(data, name):
        raise ImageError(name, seems(data, name))
    formats = _formats() + (("HEIF",) if is_heif(data) and _register_heif() else ())
    try:
        image = _open(data, formats, max_pixels, name)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(name, seems(data, name)) from None
    except Exception as error:  # Pillow's plugins raise nearly every type there is.
        raise damaged(data, name, error) from error
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(name, f"the image has no pixels: it is {width} x {height}")
    check_pixels(width * height, name, max_pixels)
    return image


def check_pixels(pixels: int, name: str, max_pixels: int) -> None:
    """Raises ImageError if `pixels` is more than `max_pixels`."""
    if pixels > max_pixels:
        raise ImageError(
            name,
            f"the image has {pixels:,} pixels and the limit is {max_pixels:,}: "
            f"make it smaller (or, in Python, pass max_pixels={pixels} if you trust it)",
        )


def damaged(data: bytes, name: str, error: BaseException) -> ImageError:
    """The ImageError for a decoder's exception of whatever type, in one short line."""
    if isinstance(error, ImageError):
        return error
    kind = image_kind(data)
    if isinstance(error, MemoryError):
        return ImageError(name, "not enough memory to decode it")
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(name, f"refused by Pillow: {error} Raise PIL.Image.MAX_IMAGE_PIXELS if you trust it")
    detail = " ".join(str(error).split())[:160] or type(error).__name__
    return ImageError(name, f"damaged {kind + ' ' if kind else ''}image: {detail}")


def _open(data: bytes, formats: tuple[str, ...], max_pixels: int, name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError as bomb:
        found = re.search(r"\((\d+) pixels\)", str(bomb))
        if found:
            check_pixels(int(found[1]), name, max_pixels)
    # The caller allows more than Pillow's global limit: the same plugins, called without that check.
    for kind in formats:
        factory, accept = Image.OPEN[kind]
        accepted = accept is None or accept(data[:16])
        if accepted and not isinstance(accepted, str):
            with suppress(SyntaxError, IndexError, TypeError, struct.error):
                return factory(io.BytesIO(data), "")
    raise UnidentifiedImageError(name)


@functools.cache
def _formats() -> tuple[str, ...]:
    """The allowed formats that this Pillow has, their plugins loaded (and not the sixty others)."""
    for plugin in _PLUGINS:
        with suppress(ImportError):
            importlib.import_module(f"PIL.{plugin}ImagePlugin")
    return tuple(kind for kind in _FORMATS if kind in Image.OPEN)


@functools.cache
def _register_heif() -> bool:
    """Registers pillow_heif with Pillow, if it is installed; says whether HEIF can open."""
    if importlib.util.find_spec("pillow_heif") is None:
        return "HEIF" in Image.OPEN
    importlib.import_module("pillow_heif").register_heif_opener()
    return True
