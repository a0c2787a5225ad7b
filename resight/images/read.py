"""Reads an image from a path, bytes, an array or a Pillow image as (H, W, 3) uint8 RGB."""

from __future__ import annotations

import errno
import os
import stat
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resight.errors import ImageError, InputError
from resight.images.gate import MAX_PIXELS as MAX_PIXELS
from resight.images.gate import check_pixels, damaged, open_image, quiet
from resight.images.pixels import orientation, to_rgb, upright

ImageLike: TypeAlias = str | os.PathLike[str] | np.ndarray | Image.Image
Colour: TypeAlias = tuple[int, int, int]

MAX_BYTES = 512 * 1024 * 1024
WHITE: Colour = (255, 255, 255)

_REASONS = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EISDIR: "it is a folder, not an image file",
    errno.ENXIO: "it is a socket or device, not a regular file",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "it is a symbolic link in a loop",
}


def read_image(source: ImageLike, *, background: Colour = WHITE, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """One image as RGB, whatever it comes from.

    source:     a path (~ is the home folder); an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) uint8; or a
                Pillow image
    background: RGB laid under transparent pixels
    max_pixels: H x W allowed for files and Pillow images, checked before decoding
    ->          (H, W, 3) uint8 RGB, C-contiguous, upright by its EXIF orientation; never the input's own memory

    Of animations and multi-page files the first frame (image_notes says so); 16-bit grey becomes round(v / 257).
    Raises ImageError if the file or its content cannot be read, InputError if an array is of another shape or type.

    >>> read_image(np.array([[0, 255]], np.uint8)).tolist()
    [[[0, 0, 0], [255, 255, 255]]]
    """
    _check_background(background)
    if isinstance(source, np.ndarray):
        return _from_array(source, background)
    if isinstance(source, Image.Image):
        return _from_pillow(source, background, max_pixels)
    where = _file_name(source)
    return decode_image(read_bytes(where), where, background=background, max_pixels=max_pixels)


def decode_image(
    data: bytes, name: str, *, background: Colour = WHITE, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """One image as RGB from the bytes of its file.

    data: the whole file; name: for messages (and to know camera raw files by their suffix)
    ->    (H, W, 3) uint8 RGB, C-contiguous, upright

    Pillow reads the header and decides; the pixels of complete 8-bit JPEGs are then decoded by torchvision,
    which is faster and gives the same values. Whatever torchvision refuses, Pillow judges.
    Raises ImageError if it cannot be read.
    """
    _check_background(background)
    with quiet():
        image = open_image(data, name, max_pixels)
        try:
            pixels = _torch_jpeg(data, image)
            return to_rgb(image, name, background) if pixels is None else upright(pixels, orientation(image))
        except Exception as error:  # Pillow's decoders raise nearly every type there is.
            raise damaged(data, name, error) from error


def image_notes(data: bytes, name: str) -> tuple[str, ...]:
    """What decode_image leaves out of this file, for reports; from the headers, no pixel is decoded.

    ->  for example ("first of 12 frames",), mostly ()

    Raises ImageError if it is not an image that opens here.
    """
    with quiet():
        image = open_image(data, name, max_pixels=1 << 62)
        try:
            frames = int(getattr(image, "n_frames", 1))
        except Exception:  # Damage behind the first frame, which may well be good.
            return ("first frame only; the others are damaged",)
    return (f"first of {frames} frames",) if frames > 1 else ()


def read_bytes(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file of at most `max_bytes`.

    Raises ImageError if it is missing, empty, too large, a folder or a special file (which is never waited for),
    or not readable.
    """
    where = os.fsdecode(path)
    try:
        # O_NONBLOCK: opening a FIFO without a writer would wait for ever.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ImageError(where, _special(status.st_mode))
            if status.st_size > max_bytes:
                raise ImageError(where, f"the file has {status.st_size:,} bytes and the limit is {max_bytes:,}")
            # The file may grow while it is read; what was promised is the limit.
            with os.fdopen(handle, "rb", closefd=False) as file:
                data = file.read(status.st_size)
        finally:
            os.close(handle)
    except OSError as error:
        if where.startswith(("http://", "https://")):
            raise ImageError(where, "only local files are read here: download it first") from error
        raise ImageError(where, _REASONS.get(error.errno or 0, error.strerror or str(error))) from error
    except ValueError as error:
        raise ImageError(where, f"not a file name: {error}") from error
    if not data:
        raise ImageError(where, "the file is empty")
    return data


def _file_name(source: object) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.path.expanduser(os.fsdecode(source))
    hint = ": decode_image reads bytes" if isinstance(source, (bytes, bytearray, memoryview)) else ""
    raise InputError(f"expected a path, a uint8 array or a Pillow image, got {type(source).__name__}{hint}")


def _special(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return _REASONS[errno.EISDIR]
    kind = "FIFO" if stat.S_ISFIFO(mode) else "device"
    return f"it is a {kind}, not a regular file"


def _torch_jpeg(data: bytes, image: Image.Image) -> NDArray[np.uint8] | None:
    """The stored rows (H, W, 3) of a complete 8-bit JPEG by torchvision, or None where Pillow shall decide.

    A file that does not end in the end-of-image marker may be cut short, so Pillow gets it; zeros behind are padding.
    """
    if image.format != "JPEG" or image.mode not in ("L", "RGB") or not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        return None
    try:
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg

        # bytearray: torch warns about memory that it could not write to.
        rows = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)
        pixels: NDArray[np.uint8] = rows.permute(1, 2, 0).contiguous().numpy()
    except Exception:  # Also a torchvision built without JPEG, or one that has dropped decode_jpeg.
        return None
    return pixels if pixels.shape == (image.height, image.width, 3) else None


def _from_array(array: NDArray[np.uint8], background: Colour) -> NDArray[np.uint8]:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        hint = ""
        if array.ndim == 3 and array.shape[0] in (1, 3, 4) and channels not in (1, 3, 4):
            hint = "; channels come last: array.transpose(1, 2, 0)"
        elif array.dtype != np.uint8 and array.ndim in (2, 3):
            hint = "; scale it to 0..255 and cast it with .astype(np.uint8)"
        raise InputError(
            f"expected a uint8 array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), "
            f"got {array.dtype} of shape {array.shape}{hint}"
        )
    if channels == 4:
        return to_rgb(Image.fromarray(np.ascontiguousarray(array)), "array", background)
    rgb = np.empty((*array.shape[:2], 3), np.uint8)
    rgb[:] = array[:, :, None] if array.ndim == 2 else array
    return rgb


def _from_pillow(image: Image.Image, background: Colour, max_pixels: int) -> NDArray[np.uint8]:
    name = str(getattr(image, "filename", "") or "Pillow image")
    check_pixels(image.width * image.height, name, max_pixels)
    if image.width < 1 or image.height < 1:
        raise InputError(f"expected a Pillow image with pixels, got one of {image.width} x {image.height}")
    with quiet():
        try:
            return to_rgb(image, name, background)
        except Exception as error:  # A lazily opened file is decoded only here.
            raise damaged(b"", name, error) from error


def _check_background(background: Colour) -> None:
    if len(background) != 3 or not all(isinstance(v, (int, np.integer)) and 0 <= v <= 255 for v in background):
        raise InputError(f"expected background as three whole numbers from 0 to 255, got {background!r}")
