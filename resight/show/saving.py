"""Write pictures to files, whole or not at all."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from resight.errors import InputError
from resight.show.files import write_atomic

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def check_suffix(path: str | os.PathLike[str]) -> str:
    """The path's suffix in small letters. Raises InputError unless a picture can be written under it."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"pictures are written as {', '.join(FORMATS)}; got {os.fspath(path)!r}")
    return suffix


def save_picture(image: Image, path: str | os.PathLike[str], *, quality: int = 90) -> None:
    """Write a Pillow image as .png, .jpg or .webp; `quality` (1..95) counts for the last two.

    Raises InputError for another suffix, WorkError if the disk refuses; then nothing is left behind.
    """
    suffix = check_suffix(path)
    buffer = io.BytesIO()
    options = {"optimize": False} if suffix == ".png" else {"quality": quality}
    image.save(buffer, FORMATS[suffix], **options)
    write_atomic(path, buffer.getvalue())
