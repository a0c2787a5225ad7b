"""Folders of images as a CSV of path and class, and dealt out in groups."""

import pytest

from resight.errors import InputError, WorkError
from resight.images import list_images
from resight.tables import group_folder, map_folder


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    return folder


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_map_by_hand(tmp_path):
    make(tmp_path / "set", "b/2.jpg", "a/1.png", "top.jpg", "a/note.txt", 'c, "d"/3.jpg')
    assert map_folder(tmp_path / "set", tmp_path / "map.csv") == 4
    assert (tmp_path / "map.csv").read_text() == (
        'path,class\nset/a/1.png,a\nset/b/2.jpg,b\n"set/c, ""d""/3.jpg","c, ""d"""\nset/top.jpg,\n'
    )
    (tmp_path / "elsewhere").mkdir()
    map_folder(tmp_path / "set", tmp_path / "elsewhere" / "map.csv", column="label")
    own = list(list_images(tmp_path / "set"))
    read = list(list_images(tmp_path / "elsewhere" / "map.csv"))
    assert [(one.path, one.label) for one in read] == [(one.path, one.label) for one in own]


def test_map_refuses(tmp_path):
    with pytest.raises(InputError, match="expected a folder, got none"):
        map_folder(tmp_path / "none", tmp_path / "map.csv")
    with pytest.raises(InputError, match="no images"):
        map_folder(tmp_path, tmp_path / "map.csv")
    with pytest.raises(InputError, match="did you mean 'class'"):
        map_folder(tmp_path, tmp_path / "map.csv", column="clas")
    make(tmp_path / "set", "a/\udcff.jpg")
    with pytest.raises(InputError, match=r"the file name .*\\xff\.jpg' is not UTF-8"):
        map_folder(tmp_path / "set", tmp_path / "map.csv")
    assert not (tmp_path / "map.csv").exists()


@pytest.mark.parametrize("how", ["copy", "hardlink", "symlink"])
def test_groups_by_hand(how, tmp_path):
    make(tmp_path / "set", "a/1.png", "a/2.png", "b/1.png", "b/2.png", "z.jpg", "b/note.txt")
    before = {name: (tmp_path / "set" / name).stat() for name in names_in(tmp_path / "set")}
    assert group_folder(tmp_path / "set", 2, tmp_path / "groups", how=how) == 3
    assert names_in(tmp_path / "groups") == ["1/a/1.png", "1/a/2.png", "2/b/1.png", "2/b/2.png", "3/z.jpg"]
    for path in ("1/a/1.png", "2/b/1.png", "3/z.jpg"):
        new, old = tmp_path / "groups" / path, tmp_path / "set" / path[2:]
        assert new.read_bytes() == old.read_bytes()
        assert new.is_symlink() == (how == "symlink")
        assert new.samefile(old) == (how != "copy")
    for name, stat in before.items():
        now = (tmp_path / "set" / name).stat()
        assert (now.st_ino, now.st_mtime_ns, now.st_size) == (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def test_groups_are_numbered_in_order(tmp_path):
    make(tmp_path / "set", *(f"{i:03}.jpg" for i in range(21)))
    assert group_folder(tmp_path / "set", 2, tmp_path / "groups") == 11
    assert sorted(path.name for path in (tmp_path / "groups").iterdir()) == [f"{i:02}" for i in range(1, 12)]
    assert names_in(tmp_path / "groups" / "11") == ["020.jpg"]


def test_nothing_is_overwritten(tmp_path):
    make(tmp_path / "set", "a.jpg")
    make(tmp_path / "groups", "keep.txt")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("groups", "dangling"):
        with pytest.raises(InputError, match="there already"):
            group_folder(tmp_path / "set", 1, tmp_path / name)
    with pytest.raises(InputError, match="inside"):
        group_folder(tmp_path / "set", 1, tmp_path / "set" / "groups")
    with pytest.raises(InputError, match="1 image or more"):
        group_folder(tmp_path / "set", 0, tmp_path / "new")
    with pytest.raises(InputError, match="did you mean 'copy'"):
        group_folder(tmp_path / "set", 1, tmp_path / "new", how="cpoy")
    with pytest.raises(InputError, match="does not exist"):
        group_folder(tmp_path / "set", 1, tmp_path / "no" / "new")
    assert names_in(tmp_path) == ["groups/keep.txt", "set/a.jpg"]


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    make(tmp_path / "set", "a.jpg", "b.jpg")
    calls = []

    def failing(source, place):
        calls.append(place)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setitem(__import__("resight.tables.folders", fromlist=["PUT"]).PUT, "copy", failing)
    with pytest.raises(WorkError, match="the disk is full"):
        group_folder(tmp_path / "set", 1, tmp_path / "groups")
    assert names_in(tmp_path) == ["set/a.jpg", "set/b.jpg"]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
