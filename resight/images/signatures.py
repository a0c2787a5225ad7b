"""What a file seems to be, from its first bytes and its name, when it is not an image that opens here."""

from __future__ import annotations

import importlib.util
from pathlib import PurePath

from PIL import features

RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mrw"}
    | {".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f"}
)
_RAW = "a camera's raw file: export it as JPEG, PNG or 16-bit TIFF first"
_VIDEO = "a video: extract its frames first (ffmpeg -i VIDEO frames/%06d.png)"
_HEIF = "a HEIF image: pip install 'resight[heic]' lets it open"
_AVIF = "an AVIF image, and this build of Pillow has no AVIF decoder: convert it to PNG or JPEG"
_ARCHIVE = "an archive: unpack it first"

# (offset, bytes, what it is and what to do), for kinds that Pillow does not open here.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "a PDF document: export its pages as PNG first"),
    (0, b"%!PS", "a PostScript drawing: render it to PNG first"),
    (0, b"8BPS", "a Photoshop document: export it as PNG first"),
    (0, b"\xff\x0a", "a JPEG XL image: convert it to PNG or JPEG first"),
    (0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL image: convert it to PNG or JPEG first"),
    (0, b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image: convert it to PNG or JPEG first"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image: convert it to PNG or JPEG first"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image of floats: scale it to 8 or 16 bits first"),
    (0, b"#?RADIANCE", "a Radiance image of floats: scale it to 8 or 16 bits first"),
    (0, b"\x00\x00\x01\x00", "an icon file: convert it to PNG first"),
    (0, b"\x93NUMPY", "a NumPy array: np.load it and pass the array"),
    (0, b"PK\x03\x04", _ARCHIVE),
    (0, b"\x1f\x8b", _ARCHIVE),
    (0, b"7z\xbc\xaf\x27\x1c", _ARCHIVE),
    (0, b"Rar!", _ARCHIVE),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the image itself: run git lfs pull"),
    (0, b"\x1a\x45\xdf\xa3", _VIDEO),
    (0, b"\x00\x00\x01\xba", _VIDEO),
    (0, b"\x00\x00\x01\xb3", _VIDEO),
    (0, b"FLV\x01", _VIDEO),
    (8, b"AVI ", _VIDEO),
    (4, b"moov", _VIDEO),
)
_RAW_SIGNATURES = (
    (0, b"FUJIFILMCCD-RAW"),
    (0, b"IIRO"),
    (0, b"IIRS"),
    (0, b"IIU\x00"),
    (4, b"ftypcrx "),
    (8, b"CR\x02"),
)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_IMAGES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"BM", "BMP"),
    (4, b"ftypavi", "AVIF"),
    *((0, b"P%d%c" % (kind, space), "PPM") for kind in range(1, 7) for space in b" \t\r\n#"),
)
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<title")


def is_raw(data: bytes, name: str) -> bool:
    """Whether it is a camera's raw file: many are TIFF inside and would open as their tiny preview.

    >>> is_raw(b"II*\\x00", "IMG_0001.NEF"), is_raw(b"II*\\x00", "scan.tif")
    (True, False)
    """
    return PurePath(name).suffix.lower() in RAW_SUFFIXES or any(
        data[at : at + len(sign)] == sign for at, sign in _RAW_SIGNATURES
    )


def is_heif(data: bytes) -> bool:
    """Whether the first bytes are those of a HEIF (HEIC) file, which needs the plugin pillow-heif."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS


def image_kind(data: bytes) -> str | None:
    """The image format that the first bytes announce, or None.

    >>> image_kind(b"GIF89a")
    'GIF'
    """
    if is_heif(data):
        return "HEIF"
    return next((kind for at, sign, kind in _IMAGES if data[at : at + len(sign)] == sign), None)


def seems(data: bytes, name: str) -> str:
    """One clause on what `data` is instead of a readable image, with advice where there is some.

    >>> seems(b"<!DOCTYPE html><p>404", "cat.jpg")
    'not an image: it begins like an HTML page (a failed download?)'
    >>> seems(b"hello, world", "cat.jpg")
    "not an image: it begins like plain text, 'hello, world'"
    """
    if is_raw(data, name):
        return f"not read here: it is {_RAW}"
    kind = image_kind(data)
    if kind == "HEIF" and importlib.util.find_spec("pillow_heif") is None:
        return f"not read here: it is {_HEIF}"
    if kind == "AVIF" and not features.check("avif"):
        return f"not read here: it is {_AVIF}"
    if kind:
        return f"damaged {kind} image: its header cannot be read"
    if data[4:8] == b"ftyp":
        return f"not read here: it is {_VIDEO}"
    for at, sign, what in _SIGNATURES:
        if data[at : at + len(sign)] == sign:
            return f"not read here: it is {what}"
    return _seems_text(data) or f"not an image of a known format: it begins with the bytes {data[:8].hex(' ')}"


def _seems_text(data: bytes) -> str | None:
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    lower = head.lower()
    if not data[:4096].strip(b"\x00"):
        return "not an image: it begins with zeros only (an interrupted copy?)"
    if lower.startswith(_HTML):
        return "not an image: it begins like an HTML page (a failed download?)"
    if lower.startswith(b"<svg") or (lower.startswith(b"<") and b"<svg" in lower):
        return "not read here: it is an SVG drawing: render it to PNG first"
    if lower.startswith(b"<?xml"):
        return "not an image: it begins like an XML document"
    start = head[:40].decode("utf-8", "replace")
    # A cut may split the last character: up to one replacement at the end is still text.
    if start.removesuffix("\ufffd").translate({9: " ", 10: " ", 13: " "}).isprintable() and "\ufffd" not in start[:-1]:
        return f"not an image: it begins like plain text, {start.removesuffix(chr(0xFFFD)).split(chr(10))[0].strip()!r}"
    return None
