"""Reading: exact pixels, Pillow as the oracle, and every way a file can be wrong."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from resight.errors import ImageError, InputError
from resight.images import read
from resight.images.read import decode_image, image_notes, read_bytes, read_image


def picture(height: int = 40, width: int = 56) -> np.ndarray:
    """Smooth colours: lossy formats keep them within a few levels."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 4, y * 5, (x + y) * 2], 2).astype(np.uint8)


def encode(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def pillow(data: bytes) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG of compressed `rows`, chunk by chunk."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)), *extra]
    chunks += [(b"IDAT", rows), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


# ---- what comes out


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM"])
def test_lossless_formats_are_exact(tmp_path: Path, kind: str):
    path = tmp_path / "no-suffix-needed"
    path.write_bytes(encode(picture(), kind))
    result = read_image(path)
    assert np.array_equal(result, picture())
    assert result.dtype == np.uint8 and result.flags.c_contiguous
    assert np.array_equal(read_image(str(path)), result)


def test_webp_and_gif():
    assert np.array_equal(decode_image(encode(picture(), "WEBP", lossless=True), "a.webp"), picture())
    data = encode(Image.fromarray(picture()).quantize(64), "GIF")
    assert np.array_equal(decode_image(data, "a.gif"), pillow(data))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(40, 56), (1, 1), (17, 3)])
def test_jpeg_takes_the_fast_road_and_is_pillows(progressive: bool, subsampling: int, mode: str, size: tuple[int, int]):
    image = Image.fromarray(picture(*size)).convert(mode)
    data = encode(image, "JPEG", progressive=progressive, subsampling=subsampling, quality=80)
    with read.quiet():
        fast = read._torch_jpeg(data, Image.open(io.BytesIO(data)))
    assert fast is not None, "torchvision should decode this one"
    result = decode_image(data, "a.jpg")
    assert np.abs(result.astype(int) - pillow(data)).max() <= 1
    assert np.array_equal(result, fast) and result.flags.c_contiguous


def test_cmyk_jpeg_is_pillows_and_not_inverted():
    white = encode(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG")
    assert (decode_image(white, "a.jpg") >= 253).all()
    data = encode(Image.fromarray(picture()).convert("CMYK"), "JPEG", quality=95)
    assert np.array_equal(decode_image(data, "a.jpg"), pillow(data))
    assert np.abs(decode_image(data, "a.jpg").astype(int) - picture()).mean() < 4


def test_without_torchvision_pillow_reads_the_jpeg(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torchvision.io", None)
    data = encode(picture(), "JPEG")
    assert np.array_equal(decode_image(data, "a.jpg"), pillow(data))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_all_orientations(kind: str, turn: int):
    # One bright corner, top left as stored; where EXIF 1..8 puts it (row, column of a 2 x 2 grid).
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:8, :16] = 255
    exif = Image.Exif()
    exif[274] = turn
    result = decode_image(
        encode(stored, kind, exif=exif, **({"quality": 100} if kind in ("JPEG", "WEBP") else {})), "a"
    )
    assert result.shape == ((16, 32, 3) if turn <= 4 else (32, 16, 3))
    half, half_wide = result.shape[0] // 2, result.shape[1] // 2
    means = result.reshape(2, half, 2, half_wide, 3).mean((1, 3, 4))
    corner = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}[turn]
    assert means[corner] > 250 and means.sum() < 265


def test_sixteen_bit_files_are_exact():
    values = np.array([[0, 128, 129, 256, 257, 385, 386, 32768, 65406, 65407, 65535]], np.uint16)
    expected = [0, 0, 1, 1, 1, 1, 2, 128, 254, 255, 255]
    for data in (
        encode(Image.fromarray(values), "PNG"),
        encode(Image.fromarray(values), "TIFF"),
        encode(Image.fromarray(values.astype(">u2")), "TIFF"),
        b"P5 11 1 65535\n" + values.astype(">u2").tobytes(),
    ):
        result = decode_image(data, "a")
        assert result[0, :, 0].tolist() == expected
        assert (result == result[:, :, :1]).all()


def tiff(values: np.ndarray, bits: int, photometric: int = 1, kind: int = 1) -> bytes:
    """A little-endian grey TIFF of one strip; kind: 1 unsigned, 2 signed, 3 float."""
    strip = values.tobytes()
    tags = [
        (256, values.shape[1]), (257, values.shape[0]), (258, bits), (259, 1), (262, photometric),
        (273, 8), (277, 1), (278, values.shape[0]), (279, len(strip)), (339, kind),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    return b"II*\x00" + struct.pack("<I", 8 + len(strip)) + strip + struct.pack("<H", len(tags)) + entries + b"\x00" * 4


def test_tiff_variants():
    assert decode_image(tiff(np.array([[0, 65535]], "<u2"), 16), "a")[0, :, 0].tolist() == [0, 255]
    assert decode_image(tiff(np.array([[0, 65535]], "<u2"), 16, photometric=0), "a")[0, :, 0].tolist() == [255, 0]
    twelve = np.array([[0x00, 0x0F, 0xFF]], np.uint8)  # Two 12-bit values, 0 and 4095, in three bytes.
    data = tiff(twelve, 12).replace(struct.pack("<HHIHH", 256, 3, 1, 3, 0), struct.pack("<HHIHH", 256, 3, 1, 2, 0))
    assert decode_image(data, "a")[0, :, 0].tolist() == [0, 255]
    with pytest.raises(ImageError, match=r"values -5 to 7"):
        decode_image(tiff(np.array([[-5, 7]], "<i2"), 16, kind=2), "a")
    with pytest.raises(ImageError, match="scale it to 8 or 16 bits first"):
        decode_image(tiff(np.array([[0, 100000]], "<i4"), 32, kind=2), "a")
    with pytest.raises(ImageError, match=r"32-bit float image \(values 0 to 0.5\)"):
        decode_image(tiff(np.array([[0, 0.5]], "<f4"), 32, kind=3), "a")


def test_transparency_from_files():
    half = np.zeros((1, 2, 4), np.uint8)
    half[0, 0] = (10, 20, 30, 255)
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        data = encode(half, kind, **options)
        assert decode_image(data, "a", background=(1, 2, 3)).tolist() == [[[10, 20, 30], [1, 2, 3]]]
        assert decode_image(data, "a")[0, 1].tolist() == [255, 255, 255]
    rows = zlib.compress(b"\x00" + bytes([5, 6, 7, 8, 9, 10]))
    data = png(2, 1, 8, 2, rows, (b"tRNS", struct.pack(">HHH", 5, 6, 7)))
    assert decode_image(data, "a", background=(1, 2, 3)).tolist() == [[[1, 2, 3], [8, 9, 10]]]
    deep = png(2, 1, 16, 0, zlib.compress(b"\x00" + struct.pack(">HH", 257, 65535)), (b"tRNS", struct.pack(">H", 257)))
    assert decode_image(deep, "a", background=(4, 4, 4))[0, :, 0].tolist() == [4, 255]


def test_arrays():
    image = picture()
    for given_array in (image, image[:, ::-1], image[:, :, ::-1]):
        before = given_array.copy()
        result = read_image(given_array)
        assert np.array_equal(result, given_array) and result.flags.c_contiguous
        result[:] = 0
        assert np.array_equal(given_array, before)
    grey = image[:, :, 0]
    assert np.array_equal(read_image(grey), np.repeat(grey[:, :, None], 3, 2))
    assert np.array_equal(read_image(grey[:, :, None]), np.repeat(grey[:, :, None], 3, 2))
    layered = np.dstack([image, np.full(grey.shape, 255, np.uint8)])
    layered[0, 0, 3] = 0
    assert read_image(layered, background=(1, 2, 3))[0, 0].tolist() == [1, 2, 3]
    assert np.array_equal(read_image(layered)[1:], image[1:])


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([None, 1, 3]))
def test_reading_what_was_read_changes_nothing(height: int, width: int, channels: int | None):
    shape = (height, width) if channels is None else (height, width, channels)
    once = read_image(np.random.default_rng(height).integers(0, 256, shape, dtype=np.uint8))
    assert once.shape == (height, width, 3)
    assert np.array_equal(read_image(once), once)


def test_pillow_images():
    image = Image.fromarray(picture()).convert("RGBA")
    before = image.tobytes()
    assert np.array_equal(read_image(image), picture())
    assert (image.tobytes(), image.mode) == (before, "RGBA")
    exif = Image.Exif()
    exif[274] = 6
    opened = Image.open(io.BytesIO(encode(picture(), "PNG", exif=exif)))
    assert np.array_equal(read_image(opened), np.rot90(picture(), -1))
    with pytest.raises(ImageError, match="limit is 9"):
        read_image(Image.new("L", (5, 2)), max_pixels=9)
    cut = encode(picture(), "PNG")
    with pytest.raises(ImageError, match="Pillow image: damaged"):
        read_image(Image.open(io.BytesIO(cut[: len(cut) // 2])))


def test_notes():
    frames = [Image.fromarray(frame) for frame in (picture(), 255 - picture(), picture() // 2)]
    for kind in ("GIF", "TIFF", "WEBP", "PNG", "MPO"):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
        assert image_notes(data, "a") == ("first of 3 frames",), kind
        assert np.abs(decode_image(data, "a").astype(int) - picture()).mean() < 12
    assert image_notes(encode(picture(), "JPEG"), "a") == ()
    with pytest.raises(ImageError, match="plain text"):
        image_notes(b"hello", "a")


def test_two_threads_give_the_same():
    files = [encode(picture() + i, kind) for i in range(20) for kind in ("JPEG", "PNG", "TIFF")]
    alone = [decode_image(data, "a") for data in files]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda data: decode_image(data, "a"), files))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


# ---- what is refused


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 5, 3)), r"got float64 of shape \(4, 5, 3\); scale it to 0..255"),
        (np.zeros((4, 5), bool), "got bool"),
        (np.zeros((3, 40, 50), np.uint8), r"got uint8 of shape \(3, 40, 50\); channels come last"),
        (np.zeros((4, 5, 2), np.uint8), r"got uint8 of shape \(4, 5, 2\)"),
        (np.zeros((1, 4, 5, 3), np.uint8), r"got uint8 of shape \(1, 4, 5, 3\)"),
        (np.zeros((0, 5, 3), np.uint8), r"got uint8 of shape \(0, 5, 3\)"),
    ],
)
def test_wrong_arrays(array: np.ndarray, words: str):
    with pytest.raises(InputError, match=words):
        read_image(array)


def test_wrong_sources_and_backgrounds():
    with pytest.raises(InputError, match="got bytes: decode_image reads bytes"):
        read_image(b"...")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="got int"):
        read_image(3)  # type: ignore[arg-type]
    for background in ((1, 2), (1, 2, 256), (0.5, 0, 0)):
        with pytest.raises(InputError, match="three whole numbers from 0 to 255"):
            read_image(picture(), background=background)  # type: ignore[arg-type]


def test_files_that_are_none(tmp_path: Path):
    def reason(path: Path | str) -> str:
        with pytest.raises(ImageError) as caught:
            read_image(path)
        assert caught.value.where == str(path)
        return caught.value.reason

    assert reason(tmp_path / "missing.jpg") == "no such file"
    assert reason(tmp_path) == "it is a folder, not an image file"
    empty = tmp_path / "empty.jpg"
    empty.touch()
    assert reason(empty) == "the file is empty"
    assert reason(empty / "below.jpg") == "no such file"
    assert "not a file name" in reason("a\0b.jpg")
    assert "name is too long" in reason("a" * 300 + ".jpg")
    assert "download it first" in reason("https://example.org/a.jpg")
    loop = tmp_path / "loop.jpg"
    loop.symlink_to(loop)
    assert "loop" in reason(loop)
    page = tmp_path / "page.jpg"
    page.write_text("<!doctype html><title>404</title>")
    assert reason(page) == "not an image: it begins like an HTML page (a failed download?)"
    assert "too long" not in reason("")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_special_files_are_not_waited_for(tmp_path: Path):
    fifo = tmp_path / "pipe.jpg"
    os.mkfifo(fifo)
    with pytest.raises(ImageError, match="it is a FIFO, not a regular file"):
        read_bytes(fifo)
    with pytest.raises(ImageError, match="it is a device, not a regular file"):
        read_bytes("/dev/zero")


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # The tests may run as root, whom no permission stops.
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ImageError, match="permission denied"):
        read_bytes(tmp_path / "a.jpg")


def test_size_limit_of_files(tmp_path: Path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"12345")
    assert read_bytes(path, max_bytes=5) == b"12345"
    with pytest.raises(ImageError, match="the file has 5 bytes and the limit is 4"):
        read_bytes(path, max_bytes=4)


def test_undecodable_name(tmp_path: Path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png")
    try:
        Path(path).write_bytes(encode(picture(), "PNG"))
    except OSError:
        pytest.skip("this file system takes no such names")
    assert np.array_equal(read_image(path), picture())


def test_wrong_suffix_is_no_matter(tmp_path: Path):
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(encode(picture(), "PNG"))
    assert np.array_equal(read_image(path), picture())


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("restart", [0, 2])
def test_truncated_jpegs_at_every_cut(progressive: bool, restart: int):
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    data = encode(image, "JPEG", progressive=progressive, restart_marker_blocks=restart)
    cuts = [*range(1, 40), *range(40, len(data), 61), *range(len(data) - 12, len(data))]
    for cut in cuts:
        with pytest.raises(ImageError, match=r"a\.jpg: "):
            decode_image(data[:cut], "a.jpg")
    for tail in (b"", b"\x00" * 100, b"trailing garbage", b"\xff\xd9"):
        assert np.abs(decode_image(data + tail, "a.jpg").astype(int) - pillow(data)).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP", "WEBP", "PPM"])
def test_truncated_others(kind: str):
    data = encode(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8), kind)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(ImageError, match=r"a\.img: "):
            decode_image(data[: int(len(data) * share)], "a.img")


def test_bomb_costs_no_memory():
    """20000 x 20000 pixels, 400 MB of them, in less than 100 KB: refused by its header."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 20000 // 8)
    rows = b"".join(packer.compress(row * 1000) for _ in range(20)) + packer.flush()
    data = png(20000, 20000, 1, 0, rows)
    assert len(data) < 100_000
    code = (
        "import resource, sys\n"
        "from resight.errors import ImageError\n"
        "from resight.images import decode_image\n"
        "data = sys.stdin.buffer.read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    decode_image(data, 'bomb.png')\n"
        "except ImageError as error:\n    print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    message, grown = done.stdout.decode().splitlines()
    assert message == (
        "bomb.png: the image has 400,000,000 pixels and the limit is 100,000,000: "
        "make it smaller (or, in Python, pass max_pixels=400000000 if you trust it)"
    )
    assert int(grown) < 30_000 and done.stderr == b""  # KB on Linux


def test_text_chunk_bomb():
    text = zlib.compress(b"\x00" * 80_000_000, 9)
    data = png(1, 1, 8, 0, zlib.compress(b"\x00\x07"), (b"zTXt", b"a\x00\x00" + text))
    with pytest.raises(ImageError, match="PNG"):
        decode_image(data, "a.png")


# ---- what must not leak


def test_broken_exif_is_passed_over_in_silence():
    for block in (
        b"Exif\x00\x00garbage",
        b"Exif\x00\x00II*\x00\xff\xff\xff\xff",
        b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff",
    ):
        for kind in ("JPEG", "PNG", "WEBP"):
            data = encode(picture(), kind, exif=block)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert decode_image(data, "a").shape == picture().shape


def test_no_warnings_even_as_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("JPEG", "PNG", "TIFF"):
            data = encode(picture(), kind)
            assert decode_image(data, "a").shape == picture().shape
        fast = encode(picture(), "JPEG")
        with read.quiet():
            assert read._torch_jpeg(fast, Image.open(io.BytesIO(fast))) is not None


def test_globals_are_left_alone():
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    decode_image(encode(picture(), "JPEG"), "a")
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before


def test_import_is_light():
    code = "import sys, resight.images; print('torch' in sys.modules or 'torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"False"


@pytest.mark.parametrize("error", [OSError, SyntaxError, ValueError, struct.error, zlib.error, EOFError, OverflowError])
def test_whatever_pillow_raises(monkeypatch: pytest.MonkeyPatch, error: type[Exception]):
    def fail(*_: object, **__: object) -> None:
        raise error("something\nover two lines")

    data = encode(picture(), "PNG")
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(ImageError, match=r"^a\.png: damaged PNG image: something over two lines$"):
        decode_image(data, "a.png")


def test_out_of_memory(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    data = encode(picture(), "PNG")
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(ImageError, match="not enough memory"):
        decode_image(data, "a.png")


def mutilated(data: bytes, random: np.random.Generator) -> bytes:
    cut = data[: random.integers(1, len(data))] if random.random() < 0.3 else data
    array = np.frombuffer(cut, np.uint8).copy()
    where = random.integers(0, min(len(array), 400) if random.random() < 0.5 else len(array), random.integers(0, 12))
    array[where] = random.integers(0, 256, len(where))
    return array.tobytes()


def test_mutilated_files_raise_image_errors_only(capfd: pytest.CaptureFixture[str]):
    random = np.random.default_rng(2024)
    exif = Image.Exif()
    exif[274] = 6
    grey = Image.fromarray(np.linspace(0, 65535, 40 * 30).astype(np.uint16).reshape(30, 40))
    seeds = [
        encode(picture(), "JPEG", exif=exif),
        encode(picture(), "JPEG", progressive=True),
        encode(Image.fromarray(picture()).convert("CMYK"), "JPEG"),
        encode(picture(), "PNG", exif=exif),
        encode(grey, "PNG"),
        encode(Image.fromarray(picture()).quantize(16), "GIF", save_all=True, append_images=[Image.new("P", (9, 9))]),
        encode(picture(), "TIFF", exif=exif),
        encode(picture(), "TIFF", compression="tiff_lzw"),
        encode(picture(), "WEBP"),
        encode(picture(), "BMP"),
        encode(picture(), "PPM"),
    ]
    read_well = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(60):
            for data in seeds:
                broken = mutilated(data, random)
                try:
                    result = decode_image(broken, "a.img", max_pixels=1_000_000)
                    image_notes(broken, "a.img")
                except ImageError as error:
                    assert error.reason.isprintable()
                else:
                    read_well += 1
                    assert result.dtype == np.uint8 and result.ndim == 3 and result.shape[2] == 3
    assert read_well > 0
    # libtiff and torchvision's libjpeg print their complaints past Python; no warning or traceback may be among them.
    assert not re.search(r"\w+Warning:|\w+Error:|Traceback", capfd.readouterr().err)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_garbage(data: bytes):
    with pytest.raises(ImageError, match=r"^a: "):
        decode_image(data, "a")
