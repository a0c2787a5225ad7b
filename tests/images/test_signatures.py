"""What a file that does not open is said to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.images.signatures import image_kind, is_heif, is_raw, seems


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"<!DOCTYPE html><html>", "a.jpg", "HTML page"),
        (b"\xef\xbb\xbf\n <HTML>", "a.jpg", "HTML page"),
        (b"<svg xmlns='x'>", "a.svg", "SVG drawing: render it"),
        (b"<?xml version='1.0'?>\n<!-- x --><svg>", "a.svg", "SVG drawing"),
        (b"<?xml version='1.0'?><plist>", "a.jpg", "XML document"),
        (b"%PDF-1.7", "a.jpg", "PDF document"),
        (b"PK\x03\x04abcd", "a.jpg", "archive"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "a.avi", "video: extract its frames"),
        (b"\x00\x00\x00\x20ftypisom", "a.mp4", "video"),
        (b"\x00\x00\x00\x20ftypavif", "a.avif", "AVIF"),
        (b"II*\x00\x10\x00\x00\x00CR\x02", "a.tif", "raw file: export"),
        (b"anything", "a.NEF", "raw file: export"),
        (b"version https://git-lfs.github.com/spec/v1", "a.jpg", "git lfs pull"),
        (b"\x00" * 64, "a.jpg", "zeros only"),
        (b"hello\nworld", "a.jpg", "plain text, 'hello'"),
        ("naïve café ".encode() * 10, "a.jpg", "plain text, 'naïve café"),
        (b"\x89PNG\r\n\x1a\n\x00", "a.png", "damaged PNG image"),
        (b"\x01\x02\xff\xfe\x80\x81", "a.png", "begins with the bytes 01 02 ff fe 80 81"),
    ],
)
def test_seems(data: bytes, name: str, words: str):
    import re

    assert re.search(words, seems(data, name)), seems(data, name)


@given(st.binary(max_size=64), st.text(max_size=8))
def test_always_one_printable_line(data: bytes, name: str):
    told = seems(data, name)
    assert told.isprintable() and len(told) < 200


def test_formats_that_need_a_plugin(monkeypatch: pytest.MonkeyPatch):
    heif, avif = b"\x00\x00\x00\x20ftypheic", b"\x00\x00\x00\x20ftypavif"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert seems(heif, "a.heic") == "not read here: it is a HEIF image: pip install 'resight[heic]' lets it open"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "there")
    assert seems(heif, "a.heic") == "damaged HEIF image: its header cannot be read"
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    assert "this build of Pillow has no AVIF decoder" in seems(avif, "a.avif")
    monkeypatch.setattr("PIL.features.check", lambda name: True)
    assert seems(avif, "a.avif") == "damaged AVIF image: its header cannot be read"


def test_kinds():
    assert image_kind(b"P5\n2 2 255\n") == "PPM"
    assert image_kind(b"Price list") is None
    assert is_heif(b"\x00\x00\x00\x18ftypmif1") and not is_heif(b"\x00\x00\x00\x18ftypisom")
    assert is_raw(b"", "x/y.Cr2") and not is_raw(b"", "raw.jpg")
