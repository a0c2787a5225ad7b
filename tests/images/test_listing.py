"""Listing: order, labels, links, globs, CSV files, and what is said about wrong sources."""

from __future__ import annotations

import dataclasses
import os
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import InputError, WorkError
from resight.images import listing
from resight.images.listing import Listing, count_images, list_images


def plant(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def names(root: Path, source: object, **options: object) -> list[str]:
    return [one.path.relative_to(root).as_posix() for one in list_images(source, **options)]  # type: ignore[arg-type]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return plant(
        tmp_path / "photos",
        "b.jpg", "a/z.PNG", "a/deep/er/1.tiff", "a.jpg", "B.jpeg", "a-.gif", "notes.txt", "README", "c/clip.mp4",
        ".hidden.jpg", ".git/x.jpg", "run.resight/x.jpg", "é.webp", "z z.bmp",
    )  # fmt: skip


def test_folder(photos: Path):
    ignored: Counter[str] = Counter()
    found = list(list_images(photos, ignored=ignored))
    assert [one.path.relative_to(photos).as_posix() for one in found] == [
        "B.jpeg", "a/deep/er/1.tiff", "a/z.PNG", "a-.gif", "a.jpg", "b.jpg", "z z.bmp", "é.webp",
    ]  # fmt: skip
    assert [one.label for one in found] == [None, "er", "a", None, None, None, None, None]
    assert {one.root for one in found} == {photos}
    assert ignored == {".txt": 1, "(no suffix)": 1, ".mp4": 1, "(hidden)": 2}
    assert count_images(photos) == 8


def test_order_is_that_of_the_names_bytes_whatever_the_file_system_says(photos: Path, monkeypatch: pytest.MonkeyPatch):
    expected = sorted(names(photos, photos), key=lambda name: [os.fsencode(part) for part in name.split("/")])
    real = os.scandir

    class Shuffled:
        def __init__(self, folder: str) -> None:
            with real(folder) as entries:
                self.entries = list(entries)
            random.shuffle(self.entries)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Shuffled)
    for _ in range(5):
        assert names(photos, photos) == expected


def test_listing_is_a_frozen_value(photos: Path):
    one = next(list_images(photos))
    assert one == Listing(photos / "B.jpeg", None, photos) and one.path.is_absolute()
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.label = "x"  # type: ignore[misc]


def test_labels_can_be_left_out(photos: Path):
    assert {one.label for one in list_images(photos, labels="none")} == {None}
    with pytest.raises(InputError, match="unknown labels 'foldr', did you mean 'folder'"):
        list_images(photos, labels="foldr")


def test_relative_sources_become_absolute(photos: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(photos / "a")
    assert next(list_images("../b.jpg")) == Listing(photos / "b.jpg")
    assert [one.path for one in list_images("..")] == [one.path for one in list_images(photos)]
    assert next(list_images(".")).path == photos / "a/deep/er/1.tiff"
    assert [one.path for one in list_images("*.PNG")] == [photos / "a/z.PNG"]


def test_links_are_kept_and_dots_behind_links_are_not_guessed(tmp_path: Path):
    plant(tmp_path, "real/sub/x.jpg", "real/y.jpg", "other/z.jpg")
    (tmp_path / "other/link").symlink_to(tmp_path / "real/sub")
    assert next(list_images(tmp_path / "other/link")).path == tmp_path / "other/link/x.jpg"
    # other/link/.. is real, not other.
    assert {one.path.name for one in list_images(tmp_path / "other/link/..")} == {"x.jpg", "y.jpg"}
    assert all(one.path.exists() for one in list_images(tmp_path / "other/link/.."))


def test_single_files(photos: Path):
    assert list(list_images(str(photos / "a/z.PNG"))) == [Listing(photos / "a/z.PNG")]
    assert names(photos, photos / ".hidden.jpg") == [".hidden.jpg"]
    with pytest.raises(InputError, match=r"notes\.txt: expected a folder, a CSV file or an image, one of \.avif"):
        list_images(photos / "notes.txt")


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.jpg", ["a.jpg", "b.jpg"]),
        ("**/*.tiff", ["a/deep/er/1.tiff"]),
        ("**/*.jpg", ["a.jpg", "b.jpg"]),
        ("a/**", ["a/deep/er/1.tiff", "a/z.PNG"]),
        ("a/*", ["a/z.PNG"]),
        ("[ab].jpg", ["a.jpg", "b.jpg"]),
        ("?.jp*g", ["B.jpeg", "a.jpg", "b.jpg"]),
        ("a/**/er/*", ["a/deep/er/1.tiff"]),
        ("**/deep/**/*.tiff", ["a/deep/er/1.tiff"]),
    ],
)
def test_globs(photos: Path, glob: str, expected: list[str]):
    assert names(photos, f"{photos}/{glob}") == expected


def test_glob_labels_and_counts(photos: Path):
    ignored: Counter[str] = Counter()
    found = list(list_images(f"{photos}/**/*", ignored=ignored))
    assert [one.label for one in found if "er" in one.path.parts] == ["er"]
    assert found[0].root == photos and ignored[".txt"] == 1
    ignored.clear()
    assert len(list(list_images(f"{photos}/*.jpg", ignored=ignored))) == 2
    assert ignored == {"(hidden)": 1}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=5),
    st.lists(st.sampled_from(["a", "*", "**", "?b", "b"]), min_size=1, max_size=4),
)
def test_glob_matching_is_pathlibs(names: list[str], pattern: list[str]):
    # PurePath.full_match came with Python 3.13; a regular expression says the same.
    import re

    if pattern[-1] == "**":
        pattern = [*pattern, "*"]
    parts = {"a": "a/", "b": "b/", "*": "[^/]*/", "?b": "[^/]b/", "**": "(?:[^/]+/)*"}
    expected = re.fullmatch("".join(parts[part] for part in pattern), "".join(f"{name}/" for name in names)) is not None
    assert listing._matches(tuple(names), tuple(pattern)) == expected
    if expected:
        assert all(listing._may_hold(tuple(names[:i]), tuple(pattern)) for i in range(1, len(names)))


def test_a_folder_named_like_a_glob(tmp_path: Path):
    plant(tmp_path, "[2020] *trip/1.jpg")
    assert names(tmp_path, tmp_path / "[2020] *trip") == ["[2020] *trip/1.jpg"]


def test_csv(tmp_path: Path):
    plant(tmp_path, "x/1.jpg", "lists/local.jpg")
    file = tmp_path / "lists/train.csv"
    file.write_text(f"label,path\ncat,../x/1.jpg\n,local.jpg\ndog,{tmp_path}/gone.jpg\n")
    root = tmp_path / "lists"
    assert list(list_images(file)) == [
        Listing(tmp_path / "x/1.jpg", "cat", root),
        Listing(root / "local.jpg", None, root),
        Listing(tmp_path / "gone.jpg", "dog", root),
    ]
    assert count_images(str(file)) == 3
    file.write_text("path\nlocal.jpg\n\n")
    assert [one.label for one in list_images(file)] == [None]


def test_csv_streams_up_to_the_wrong_line(tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_text('path\n1.jpg\n""\n')
    stream = list_images(file)
    assert next(stream).path == tmp_path / "1.jpg"
    with pytest.raises(InputError, match=r"a\.csv, line 3: the cell under 'path' is empty"):
        next(stream)
    file.write_text("file\n1.jpg\n")
    with pytest.raises(InputError, match="line 1: expected a column 'path', got 'file'"):
        list(list_images(file))


def test_iterables(photos: Path):
    ignored: Counter[str] = Counter()
    sources = [photos / "b.jpg", str(photos / "notes.txt"), photos / "a", f"{photos}/a*.gif"]
    expected = ["b.jpg", "a/deep/er/1.tiff", "a/z.PNG", "a-.gif"]
    assert names(photos, sources, ignored=ignored) == expected
    assert ignored == {".txt": 1}
    assert names(photos, iter(sources)) == expected
    assert count_images(sources) == 4
    with pytest.raises(InputError, match="an iterator: pass a list"):
        count_images(iter(sources))


def test_it_streams(tmp_path: Path):
    def endless():
        plant(tmp_path, "1.jpg")
        while True:
            yield tmp_path / "1.jpg"

    stream = list_images(endless())
    assert [next(stream).path.name for _ in range(3)] == ["1.jpg"] * 3


def test_links(tmp_path: Path):
    outside = plant(tmp_path / "outside", "o.jpg")
    root = plant(tmp_path / "root", "a/1.jpg", "b/2.jpg")
    (root / "a/up").symlink_to(root)
    (root / "b/self").symlink_to("self")
    (root / "c").symlink_to(outside)
    (root / "d").symlink_to(outside)
    (root / "e.jpg").symlink_to(outside / "o.jpg")
    (root / "f.jpg").symlink_to("nowhere.jpg")
    ignored: Counter[str] = Counter()
    assert names(root, root, ignored=ignored) == ["a/1.jpg", "b/2.jpg", "c/o.jpg", "e.jpg"]
    assert ignored == {"(folder seen before)": 2, "(broken link)": 2}
    assert next(one for one in list_images(root) if one.path.name == "o.jpg").label == "c"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_special_files(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.jpg")
    plant(tmp_path, "1.jpg")
    ignored: Counter[str] = Counter()
    assert names(tmp_path, tmp_path, ignored=ignored) == ["1.jpg"]
    assert ignored == {"(not a file)": 1}
    with pytest.raises(InputError, match="got a FIFO, socket or device"):
        list_images(tmp_path / "pipe.jpg")


def test_undecodable_names(tmp_path: Path):
    raw = os.fsencode(tmp_path) + b"/\xff\xfe/\xe9.JPG"
    try:
        plant(Path(os.fsdecode(raw)).parent, Path(os.fsdecode(raw)).name)
    except OSError:
        pytest.skip("this file system takes no such names")
    plant(tmp_path, "日本/写真.jpg")
    found = list(list_images(tmp_path))
    assert [os.fsencode(one.path) for one in found] == [os.fsencode(tmp_path / "日本/写真.jpg"), raw]
    assert found[1].label is not None and os.fsencode(found[1].label) == b"\xff\xfe"


def test_unreadable_folders(photos: Path, monkeypatch: pytest.MonkeyPatch):
    # The tests may run as root, whom no permission stops.
    real = os.scandir

    def guarded(folder: str):
        if folder.endswith(("deep", "locked")):
            raise PermissionError(13, "Permission denied", folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    ignored: Counter[str] = Counter()
    assert names(photos, photos / "a", ignored=ignored) == ["a/z.PNG"]
    assert ignored == {"(unreadable folder)": 1}
    (photos / "locked").mkdir()
    with pytest.raises(WorkError, match="locked: the folder cannot be read: Permission denied"):
        list(list_images(photos / "locked"))


def test_deeper_than_the_recursion_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(1100):
        Path("d").mkdir()
        os.chdir("d")
    Path("1.jpg").touch()
    assert count_images(tmp_path) == 1
    with pytest.raises(InputError, match="no image matches"):
        list(list_images(f"{tmp_path}/**/*.png"))
    # pytest's own tidying up would recurse.
    Path("1.jpg").unlink()
    for _ in range(1100):
        os.chdir("..")
        Path("d").rmdir()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("photo", r"photo: no such file or folder, did you mean '.*photos'\?"),
        ("photos/b.jgp", r"did you mean '.*b\.jpg'"),
        ("nosuch", r"nosuch: no such file or folder: looked in "),  # though nosuch.sh is there
        ("qqqqqqq", r"qqqqqqq: no such file or folder: looked in "),
        ("none/such/folder", r"the folder .*none/such is not there or cannot be read"),
        ("photo/**/*.jpg", r"photo: no such file or folder, did you mean '.*photos'\?"),
        ("photos/*.heic", r"\*\.heic: no image matches this glob"),
        ("photos/*.txt", r"no image matches this glob"),
        ("photos/none.csv", "no such file or folder"),
    ],
)
def test_missing_sources(photos: Path, source: str, words: str):
    (photos.parent / "nosuch.sh").touch()
    with pytest.raises(InputError, match=words):
        list(list_images(f"{photos.parent}/{source}"))


def test_wrong_types(photos: Path):
    for source in (3, b"photos", None):
        with pytest.raises(InputError, match="expected a folder, glob, path, CSV file or an iterable of these, got"):
            list_images(source)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected a path in the iterable of sources, got int"):
        list(list_images([photos, 3]))  # type: ignore[list-item]
    with pytest.raises(InputError, match="not a file name"):
        list_images("a\0b")


def test_empty_folder_is_no_error(tmp_path: Path):
    assert list(list_images(tmp_path)) == [] and count_images(tmp_path) == 0
