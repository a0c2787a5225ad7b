"""Segments from files: the numbers as they were written, whose they are, and what is refused."""

from __future__ import annotations

import os

import explain_samples
import numpy as np
import pytest
from PIL import Image
from samples import picture

from resight.errors import InputError
from resight.explain.segment_files import check_segments, find_segments, read_segments

pytestmark = pytest.mark.usefixtures("one_thread")
LABELS = np.arange(20 * 30).reshape(20, 30) // 40  # 15 parts


@pytest.mark.parametrize(
    "kind", ["int64.npy", "uint8.npy", "bool.npy", "fortran.npy", "uint8.png", "uint16.png", "palette.png", "bit.PNG"]
)
def test_numbers_are_as_they_were_written(tmp_path, kind):
    file = tmp_path / f"s-{kind}"
    wanted = {"bool": LABELS > 7, "bit": LABELS > 7, "uint16": LABELS * 900}.get(kind.partition(".")[0], LABELS)
    if kind.endswith(".npy"):
        stored = wanted.astype({"fortran": np.int32, "bool": bool}.get(kind[:-4], kind[:-4]))
        np.save(file, np.asfortranarray(stored) if kind.startswith("fortran") else stored)
    elif kind == "palette.png":
        image = Image.fromarray(wanted.astype(np.uint8), "P")
        image.putpalette([200 - n % 3 for n in range(768)])
        image.save(file)
    elif kind == "bit.PNG":
        Image.fromarray(wanted).save(file)
    else:
        Image.fromarray(wanted.astype(kind[:-4])).save(file)
    found = read_segments(file)
    assert found.dtype.kind in "iub" and np.array_equal(found, wanted)


def write_header(file, shape, data=b""):
    with file.open("wb") as handle:
        fields = {"descr": "<i8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(handle, fields)
        handle.write(data)


def test_what_is_refused(tmp_path):
    np.save(tmp_path / "float.npy", LABELS / 2)
    np.save(tmp_path / "flat.npy", LABELS.ravel())
    np.save(tmp_path / "objects.npy", np.array([[{}]], object), allow_pickle=True)
    np.savez(tmp_path / "zip.npz", LABELS)
    (tmp_path / "zip.npz").rename(tmp_path / "zip.npy")
    write_header(tmp_path / "huge.npy", (10**6, 10**6), b"1234")
    (tmp_path / "text.npy").write_text("1 2 3")
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(picture(0)).save(tmp_path / "colour.png")
    Image.fromarray(LABELS.astype(np.uint8)).save(tmp_path / "x.bmp")
    (tmp_path / "x.bmp").rename(tmp_path / "bitmap.png")
    whole = tmp_path / "whole.png"
    Image.fromarray(picture(0)[..., 0]).save(whole)
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:200])
    (tmp_path / "folder.npy").mkdir()
    os.mkfifo(tmp_path / "pipe.npy")
    for name, words in {
        "float.npy": r"expected whole numbers \(H, W\), got float64", "flat.npy": r"got int64 \(600,\)",
        "objects.npy": "not readable as a .npy array", "zip.npy": "got NpzFile", "huge.npy": "not readable",
        "text.npy": "not readable", "empty.npy": "not readable", "text.png": "text.png: ",
        "colour.png": "expected a PNG of one channel, .* got PNG RGB", "bitmap.png": "got BMP",
        "cut.png": "cut.png: damaged", "folder.npy": "got none", "pipe.npy": "got none", "none.png": "got none",
        "none.jpg": r"read from \.png",
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=words):
            read_segments(tmp_path / name)


def test_more_pixels_than_any_image_has(tmp_path, monkeypatch):
    monkeypatch.setattr("resight.explain.segment_files.MAX_PIXELS", 599)
    np.save(tmp_path / "s.npy", LABELS)
    with pytest.raises(InputError, match="expected at most 599 pixels, got 600"):
        read_segments(tmp_path / "s.npy")


def test_whose_they_are(tmp_path):
    for name in ("a.png", "b.npy", "notes.txt", "c.PNG"):
        (tmp_path / name).write_bytes(b"x")
    assert [file.name for file in find_segments(tmp_path, ["x/b.jpg", "y/c.jpg", "z/a.tif"])] == [
        "b.npy", "c.PNG", "a.png",
    ]  # fmt: skip
    assert find_segments(tmp_path / "a.png", ["x/other.jpg"]) == [tmp_path / "a.png"]
    with pytest.raises(InputError, match="segments of one image, got 2 images: give a folder"):
        find_segments(tmp_path / "a.png", ["a.jpg", "b.jpg"])
    with pytest.raises(InputError, match=r"no segments \(.png, .npy\) for d.jpg, notes.jpg$"):
        find_segments(tmp_path, ["d.jpg", "a.jpg", "notes.jpg"])
    with pytest.raises(InputError, match=r"for 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 4 more$"):
        find_segments(tmp_path, [f"{n}.jpg" for n in range(9)])
    with pytest.raises(InputError, match="a folder of them, got none"):
        find_segments(tmp_path / "none", ["a.jpg"])
    (tmp_path / "a.npy").write_bytes(b"x")
    with pytest.raises(InputError, match=r"one file with the segments of a.jpg, got a.npy, a.png"):
        find_segments(tmp_path, ["a.jpg"])
    # Beside the images themselves, which are .png too.
    assert find_segments(tmp_path, [tmp_path / "a.png"]) == [tmp_path / "a.npy"]


def test_segments_are_tried_on_their_image(tmp_path):
    subject = explain_samples.subject()
    Image.fromarray(picture(0, 20, 30)).save(tmp_path / "a.png")
    np.save(tmp_path / "good.npy", LABELS)
    np.save(tmp_path / "other.npy", LABELS.T)
    np.save(tmp_path / "one.npy", LABELS * 0)
    np.save(tmp_path / "many.npy", np.arange(20 * 30).reshape(20, 30))
    assert np.array_equal(check_segments(subject, tmp_path / "a.png", tmp_path / "good.npy"), LABELS)
    assert check_segments(subject, tmp_path / "a.png", tmp_path / "many.npy").max() == 599  # 144 places see as many
    with pytest.raises(InputError, match=r"other.npy: segments must be as large as the image, \(H, W\) = \(20, 30\)"):
        check_segments(subject, tmp_path / "a.png", tmp_path / "other.npy")
    with pytest.raises(InputError, match=r"one.npy: .* one part"):
        check_segments(subject, tmp_path / "a.png", tmp_path / "one.npy")
    (tmp_path / "bad.png").write_text("x")
    assert check_segments(subject, tmp_path / "bad.png", tmp_path / "one.npy") is not None
