"""Identical files against comparing all bytes of all pairs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resight.images.identical import identical


def naive(contents: list[bytes]) -> list[tuple[int, ...]]:
    groups: dict[bytes, list[int]] = {}
    for place, content in enumerate(contents):
        groups.setdefault(content, []).append(place)
    return sorted(tuple(places) for places in groups.values() if len(places) > 1 and contents[places[0]])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from([0, 1, 5000, 9000]), st.integers(0, 3), st.binary(max_size=1)), max_size=8))
def test_it_is_equality_of_bytes(tmp_path: Path, files: list[tuple[int, int, bytes]]):
    contents = []
    for place, (size, changed, byte) in enumerate(files):
        content = bytearray(size)
        if size:  # one byte at the start, in the middle or at the end
            content[(0, size // 2, size - 1, 0)[changed] :][:1] = b""
            content[(0, size // 2, size - 1, 0)[changed]] = sum(byte)
        contents.append(bytes(content))
        (tmp_path / str(place)).write_bytes(content)
    assert identical([tmp_path / str(place) for place in range(len(files))]) == naive(contents)


def test_what_cannot_be_read_is_like_nothing(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    names = ["gone", "a", "pipe", "gone", "b", "pipe", "nul\0", "empty", "empty"]
    assert identical([tmp_path / name for name in names]) == [(1, 4)]
    assert identical([]) == []


def test_folders_are_compared_by_their_frames(tmp_path: Path):
    for folder, frames in {"a": b"xyz", "b": b"xyz", "c": b"xzy", "d": b"xy", "e": b""}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "notes.txt").write_text(folder)
        for number, byte in enumerate(frames):
            (tmp_path / folder / f"{number}.jpg").write_bytes(bytes([byte]))
    (tmp_path / "f").write_bytes(b"xyz")
    assert identical([tmp_path / name for name in "abcdeef"]) == [(0, 1)]


@pytest.mark.parametrize(("name", "groups"), [("flowers12", 1), ("gcd-sky", 1)])
def test_real_data(real_images, name, groups):
    paths = sorted(real_images(name).rglob("*.jpg"))
    assert len(identical(paths)) == groups == len(naive([path.read_bytes() for path in paths]))
