"""What lies below a folder: the images that `list_images` finds, sequences, and what is left out by kind and name."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import WorkError
from resight.images import list_images
from resight.images.class_folders import sequences_at
from resight.images.contents import Contents, find_sequences, images_at, left_out_notes, missed_notes


def plant(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def named(paths: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


NAMES = st.sampled_from(["a", "b", "a-1", "z.resight", ".h"])
FILES = st.sampled_from(["1.jpg", "2.PNG", "clip.mp4", "t.txt", "none", ".x.jpg"])


@pytest.mark.oracle
@settings(max_examples=40)
@given(
    st.sets(st.tuples(st.lists(NAMES, max_size=3), FILES).map(lambda pair: "/".join([*pair[0], pair[1]])), max_size=12)
)
def test_images_are_those_of_list_images(tmp_path_factory, names):
    root = plant(tmp_path_factory.mktemp("root"), *names)
    ignored: Counter[str] = Counter()
    expected = [listing.path for listing in list_images(root, ignored=ignored)]
    left_out = []
    assert images_at(root, left_out) == expected
    assert Counter(kind for kind, _ in left_out) == ignored


def test_each_folder_once_by_the_name_that_list_images_takes(tmp_path):
    root = plant(tmp_path / "root", "b/1.jpg", "c/")
    (root / "a").symlink_to(root / "b")
    (root / "c/up").symlink_to(root)
    left_out = []
    assert named(images_at(root, left_out), root) == ["a/1.jpg"] == named([x.path for x in list_images(root)], root)
    assert [(kind, path.name) for kind, path in left_out] == [
        ("(folder seen before)", "b"),
        ("(folder seen before)", "up"),
    ]


def test_contents(tmp_path):
    plant(tmp_path, "a/1.jpg", "a/v.avi", "b/", "c/notes.txt", "d/e/")
    (tmp_path / "a/2.jpg").symlink_to("gone.jpg")
    (tmp_path / "b2").symlink_to("gone")
    os.mkfifo(tmp_path / "a/3.jpg")
    left_out = []
    found = Contents.read(tmp_path, left_out)
    assert [named(paths, tmp_path) for paths in (found.images, found.videos, found.links, found.hollow)] == [
        ["a/1.jpg", "a/2.jpg"], ["a/v.avi"], ["b2"], ["b", "c", "d/e"],
    ]  # fmt: skip
    assert [kind for kind, _ in left_out] == ["(not a file)", ".txt"]
    with pytest.raises(WorkError, match="none: the folder cannot be read: No such file"):
        Contents.read(tmp_path / "none", [])


def test_sequences_and_those_without_frames(tmp_path):
    root = plant(tmp_path, "loose.jpg", "1/a.jpg", "1/masks/", "2/", "deep/3/b.jpg", "deep/v.mp4")
    left_out = []
    full, hollow = find_sequences(root, left_out)
    assert named(full, root) == ["1", "deep/3", "deep/v.mp4"]
    assert named(hollow, root) == ["2"]
    assert left_out == [("(image that is in no folder of frames)", root / "loose.jpg")]


@pytest.mark.parametrize(
    ("names", "expected", "missed"),
    [
        (["1.jpg", "2.jpg"], ["."], 0),
        (["1.jpg", "notes/a.txt"], ["."], 1),
        (["1.jpg", "take1/a.jpg", "take2/", "v.avi"], ["take1", "take2", "v.avi"], 1),
        (["up/take1/a.jpg", "down/b.jpg"], ["down", "up/take1"], 0),
        (["up/x.jpg", "up/take1/a.jpg", "down/b.jpg"], ["down", "up/take1"], 1),
        (["up/x.jpg", "up/take1/a.jpg", "other/b.jpg"], ["other", "up", "up/take1"], 0),
        (["up/take1/a.jpg", "v.avi", "x.jpg"], ["up/take1", "v.avi"], 1),
        (["up/take1/a.jpg", "x.jpg"], ["up/take1"], 1),
        (["take1/"], ["take1"], 0),
        ([], [], 0),
    ],
)
def test_what_is_meant_by_a_folder(tmp_path, names, expected, missed):
    left_out = []
    found = sequences_at(plant(tmp_path, *names), ("up", "down"), left_out)
    assert named(found, tmp_path) == expected
    assert len(missed_notes(left_out)) == missed


def test_notes_count_and_name(tmp_path):
    left_out = [(".txt", Path("/n.txt")), ("(broken link)", Path("/a")), (".txt", Path("/m.txt"))]
    assert left_out_notes(left_out) == ["left out: 2 .txt", "broken links, left out: 1 ('/a')"]
    many = [("(broken link)", Path(f"/{number}")) for number in range(5)]
    assert missed_notes(many) == ["broken links, left out: 5 ('/0', '/1', '/2' and 2 more)"]
    assert left_out_notes([]) == missed_notes([(".txt", Path("/n.txt"))]) == []
