"""Examples: what class folders, folders of parts and CSV files mean, their digest, and what is said of wrong ones."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import InputError, WorkError
from resight.images import Example, Examples, read_examples


def plant(root: Path, *names: str, content: bytes = b"x") -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def told(examples: Examples, root: Path) -> list[tuple[str, str | None, str | None]]:
    return [(item.path.relative_to(root).as_posix(), item.label, item.part) for item in examples.items]


def write_csv(file: Path, *rows: tuple[str, ...]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows(rows)
    return file


def test_class_folders(tmp_path):
    plant(tmp_path, "dog/2.png", "dog/10.PNG", "cat/deep/er/1.jpg", "cat/notes.txt", "cat/.hidden.jpg", ".git/x.jpg",
          "beside.jpg", "README", "cat/clip.mp4", "runs.resight/x.jpg")  # fmt: skip
    found = read_examples(tmp_path)
    assert told(found, tmp_path) == [
        ("cat/deep/er/1.jpg", "cat", None), ("dog/10.PNG", "dog", None), ("dog/2.png", "dog", None),
    ]  # fmt: skip
    assert found.classes == ("cat", "dog") and found.counts == {"cat": 1, "dog": 2} and len(found) == 3
    assert (
        found.source == str(tmp_path) and not found.sequences and all(item.path.is_absolute() for item in found.items)
    )
    assert found.notes == (
        "left out: 1 (beside the class folders), 2 (hidden), 1 (no suffix), 1 .mp4, 1 .txt",
        "only one image of 'cat'",
    )
    assert str(found) == f"3 images of 2 classes from {tmp_path}"


def test_folders_of_parts(tmp_path):
    plant(tmp_path, "Train/cat/1.jpg", "Train/dog/1.jpg", "valid/cat/2.jpg", "testing/dog/3.jpg")
    found = read_examples(tmp_path)
    assert told(found, tmp_path) == [
        ("Train/cat/1.jpg", "cat", "train"), ("Train/dog/1.jpg", "dog", "train"),
        ("testing/dog/3.jpg", "dog", "test"), ("valid/cat/2.jpg", "cat", "val"),
    ]  # fmt: skip
    test = found.of("test")
    assert told(test, tmp_path) == [("testing/dog/3.jpg", "dog", "test")]
    assert test.classes == ("cat", "dog") and test.counts == {"cat": 0, "dog": 1}
    assert str(found).endswith(", 2 train, 1 val, 1 test")
    with pytest.raises(InputError, match="unknown part 'tset', did you mean 'test'"):
        found.of("tset")


def test_a_class_named_train_and_parts_mixed_with_classes(tmp_path):
    vehicles = plant(tmp_path / "vehicles", "train/1.jpg", "bus/1.jpg", "car/1.jpg")
    assert read_examples(vehicles).classes == ("bus", "car", "train")
    films = plant(tmp_path / "films", "train/1.avi", "bus/1.avi", "bus/s/1.jpg")
    assert read_examples(films, sequences=True).classes == ("bus", "train")
    mixed = plant(tmp_path / "mixed", "train/cat/1.jpg", "train/dog/1.jpg", "dog/1.jpg")
    with pytest.raises(InputError, match=r"mixed: 'train' looks like a part and 'dog' like a class: keep only"):
        read_examples(mixed)
    twice = plant(tmp_path / "twice", "val/cat/1.jpg", "validation/dog/1.jpg")
    with pytest.raises(InputError, match="'val' and 'validation' both mean val: merge them or rename one"):
        read_examples(twice)
    flat = plant(tmp_path / "flat", "train/1.jpg", "test/2.jpg")
    with pytest.raises(InputError, match=r"flat/test: expected a folder for each class in it, got none"):
        read_examples(flat)


def test_sequences(tmp_path):
    plant(tmp_path, "wave/a/1.jpg", "wave/a/2.jpg", "wave/b/c/1.png", "wave/clip.MP4", "wave/.x.mp4", "wave/loose.jpg",
          "walk/deep/x.avi", "walk/notes.txt", "walk/s.resight/y.avi")  # fmt: skip
    found = read_examples(tmp_path, sequences=True)
    assert found.sequences and told(found, tmp_path) == [
        ("walk/deep/x.avi", "walk", None), ("wave/a", "wave", None), ("wave/b/c", "wave", None),
        ("wave/clip.MP4", "wave", None),
    ]  # fmt: skip
    assert found.notes == (
        "left out: 1 (hidden), 1 .txt",
        f"images that are in no folder of frames, left out: 1 ({str(tmp_path / 'wave/loose.jpg')!r})",
        "only one sequence of 'walk'",
    )
    assert str(found).startswith("4 sequences of 2 classes")


def test_folders_without_frames_are_sequences_that_cannot_be_read(tmp_path):
    plant(tmp_path, "walk/1/a.jpg", "walk/2/notes.txt", "walk/3/deep/.x.jpg", "walk/1/masks/about.txt", "wave/a/1.jpg")
    (tmp_path / "wave/b").mkdir()
    (tmp_path / "wave/c").symlink_to(tmp_path / "nowhere")
    (tmp_path / "wave/a/2").symlink_to(tmp_path / "nowhere")
    found = read_examples(tmp_path, sequences=True)
    assert [name for name, _, _ in told(found, tmp_path)] == [
        "walk/1", "walk/2", "walk/3/deep", "wave/a", "wave/b", "wave/c",
    ]  # fmt: skip
    assert found.notes == (
        "left out: 1 (hidden), 2 .txt",
        f"broken links, left out: 1 ({str(tmp_path / 'wave/a/2')!r})",
    )
    (tmp_path / "stand/1").mkdir(parents=True)
    with pytest.raises(InputError, match=r"stand: no folder of frames .* it holds only 1 \(folder without frames\); "):
        read_examples(tmp_path, sequences=True)


def test_empty_class_folders_are_named_and_told_apart(tmp_path):
    plant(tmp_path, "cat/1.jpg")
    (tmp_path / "dog").mkdir()
    with pytest.raises(InputError, match=r"dog: no image in this class folder: it is empty; put some in, or remove"):
        read_examples(tmp_path)
    plant(tmp_path, "dog/.a.jpg", "dog/.DS_Store")
    with pytest.raises(InputError, match=r"dog: no image .* it holds only 2 \(hidden\); "):
        read_examples(tmp_path)
    plant(tmp_path, "dog/x.avi")
    with pytest.raises(InputError, match=r"it holds only 2 \(hidden\), 1 \.avi; for videos, ask for sequences"):
        read_examples(tmp_path)
    plant(tmp_path / "dog", "1.jpg")
    words = (
        r"cat: no folder of frames and no video .* 1 \(image .*\); put each sequence's frames in a folder of their own,"
    )
    with pytest.raises(InputError, match=words):
        read_examples(tmp_path, sequences=True)


def test_too_few_classes_and_the_folder_that_was_meant(tmp_path):
    plant(tmp_path, "data/images/cat/1.jpg", "data/images/dog/1.jpg")
    words = r"at least 2 classes, got only 'images'; if the folders in it are the classes, give .*/data/images$"
    with pytest.raises(InputError, match=words):
        read_examples(tmp_path / "data")
    plant(tmp_path, "one/cat/1.jpg")
    with pytest.raises(InputError, match=r"one: expected at least 2 classes, got only 'cat'$"):
        read_examples(tmp_path / "one")
    assert read_examples(tmp_path / "one", least=1).classes == ("cat",)
    plant(tmp_path, "flat/1.jpg", "flat/2.jpg")
    with pytest.raises(InputError, match="flat: 2 images and no class folders in it: put each class in a folder, or"):
        read_examples(tmp_path / "flat")
    (tmp_path / "void").mkdir()
    with pytest.raises(InputError, match="void: no class folders in it: expected a folder for each class"):
        read_examples(tmp_path / "void")


def test_wrong_sources(tmp_path):
    plant(tmp_path, "photos/cat/1.jpg")
    with pytest.raises(InputError, match=r"photo: no such file or folder, did you mean '.*photos'"):
        read_examples(tmp_path / "photo")
    with pytest.raises(InputError, match=r"1\.jpg: expected a folder of class folders, or a CSV file"):
        read_examples(tmp_path / "photos/cat/1.jpg")
    with pytest.raises(InputError, match="expected a folder of class folders"):
        read_examples(f"{tmp_path}/photos/*")
    with pytest.raises(InputError, match="expected a folder or a CSV file, got list"):
        read_examples([tmp_path])  # type: ignore[arg-type]


def test_links(tmp_path):
    root = plant(tmp_path / "root", "cat/1.jpg", "dog/1.jpg")
    (root / "gone").symlink_to(tmp_path / "nowhere")
    assert read_examples(root).notes[0] == f"broken links, left out: 1 ({str(root / 'gone')!r})"
    outside = plant(tmp_path / "outside", "o.jpg")
    (root / "cow").symlink_to(outside)
    assert read_examples(root).counts == {"cat": 1, "cow": 1, "dog": 1}
    (root / "cat/up").symlink_to(root / "cat")
    assert read_examples(root).counts["cat"] == 1
    (root / "hound").symlink_to(root / "dog")
    with pytest.raises(InputError, match=r"hound and .*dog are one folder \(by a link\)"):
        read_examples(root)
    (root / "hound").unlink()
    (root / "loop").symlink_to(root)
    with pytest.raises(InputError, match=r"loop and .*root are one folder"):
        read_examples(root)


def test_links_in_a_loop_and_names_that_cannot_be(tmp_path):
    root = plant(tmp_path / "root", "cat/s/1.jpg", "dog/t.avi", "dog/2.jpg")
    for name in ("me", "me.jpg", "cat/me", "cat/s/me.jpg", "cat/me.avi", "dog/deeper/me.avi"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to((root / name).name)
    found = read_examples(root)
    assert [item.path.name for item in found.items] == ["1.jpg", "me.jpg", "2.jpg"]
    names = [repr(str(root / name)) for name in ("me", "me.jpg", "cat/me")]
    assert found.notes == (
        "left out: 3 .avi",
        f"broken links, left out: 3 ({', '.join(names)})",
        "only one image of 'dog'",
    )
    found = read_examples(root, sequences=True)
    assert [item.path.name for item in found.items] == ["me", "me.avi", "s", "me.avi", "t.avi"]
    assert len(found.digest) == 64
    file = write_csv(
        tmp_path / "a.csv", ("path", "label"), ("root/dog/2.jpg", "dog"), ("n" * 300, "a"), ("o/" * 3000, "b")
    )
    assert read_examples(file).notes[0].startswith("files of the CSV that are not there: 2, such as ")
    assert len(read_examples(file).digest) == 64


def test_unreadable_folders(tmp_path, monkeypatch):
    root = plant(tmp_path / "root", "cat/1.jpg", "dog/1.jpg", "dog/locked/2.jpg")
    real = os.scandir

    def guarded(folder):
        if str(folder).endswith(locked):
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    locked = "locked"
    told = f"folders that cannot be read, left out: 1 ({str(root / 'dog/locked')!r})"
    assert read_examples(root).notes[0] == told
    plant(root, "dog/deep/v.avi", "cat/v.avi")
    notes = read_examples(root, sequences=True).notes
    assert notes[0] == told and notes[1].startswith("images that are in no folder of frames, left out: 2 (")
    for locked in ("root", "dog"):
        with pytest.raises(WorkError, match=rf"{locked}: the folder cannot be read: Permission denied"):
            read_examples(root)


NAMES = ["Ünïcødé 写真", "a,b", 'say "cat"', "two\nlines", "-1", "=cmd()", "x" * 200, "‮gnp"]


def test_labels_may_be_any_text(tmp_path):
    for number, name in enumerate(NAMES):
        plant(tmp_path, f"{name}/{number}.jpg")
    found = read_examples(tmp_path)
    assert set(found.classes) == set(NAMES) and list(found.classes) == sorted(NAMES)
    for outer in ("  padded ", " "):
        (tmp_path / outer).mkdir()
        plant(tmp_path, f"{outer}/1.jpg")
        if outer == " ":
            with pytest.raises(InputError, match="the name of a class must be more than white space"):
                read_examples(tmp_path)
        else:
            assert "padded" in read_examples(tmp_path).classes
            plant(tmp_path, "padded/1.jpg")
            with pytest.raises(InputError, match="'  padded ' and 'padded' differ by white space only"):
                read_examples(tmp_path)


def test_names_that_are_not_text(tmp_path):
    plant(tmp_path, "cat/1.jpg", "dog/1.jpg")
    try:
        plant(tmp_path, os.fsdecode(b"cat/\xff.jpg"))
    except OSError:
        pytest.skip("this file system takes no such names")
    found = read_examples(tmp_path)
    assert len(found) == 2 and found.notes[0] == "left out, as the name is not UTF-8: 1; rename them"
    plant(tmp_path, os.fsdecode(b"\xfe/1.jpg"))
    with pytest.raises(InputError, match=r"\\xfe': the name of a class must be UTF-8: rename the folder"):
        read_examples(tmp_path)


def test_csv(tmp_path):
    plant(tmp_path, "x/1.jpg", "x/2.jpg", "lists/3.jpg")
    file = tmp_path / "lists/all.csv"
    file.write_bytes("\ufeffgroup,label,path,split\r\ng,dog,../x/1.jpg,Train\r\n,cat ,3.jpg,valid\r\n".encode()
                     + f"h, dog,{tmp_path}/x/2.jpg,TEST\r\n\r\n".encode())  # fmt: skip
    assert read_examples(str(file)).items == (
        Example(tmp_path / "x/1.jpg", "dog", "train", "g"),
        Example(tmp_path / "lists/3.jpg", "cat", "val", None),
        Example(tmp_path / "x/2.jpg", "dog", "test", "h"),
    )


def test_csv_with_repeated_and_missing_files(tmp_path):
    plant(tmp_path, "1.jpg", "2.jpg")
    rows = [("path", "label"), ("1.jpg", "a"), ("./x/../1.jpg", "a"), ("2.jpg", "b"), ("3.jpg", "b")]
    found = read_examples(write_csv(tmp_path / "a.csv", *rows))
    assert [item.path.name for item in found.items] == ["1.jpg", "2.jpg", "3.jpg"]
    assert found.notes[0] == "rows left out as repeated: 1"
    assert found.notes[1] == f"files of the CSV that are not there: 1, such as {str(tmp_path / '3.jpg')!r}"


def test_missing_sequences_are_called_what_they_are(tmp_path):
    plant(tmp_path, "a/1.jpg")
    rows = [("path", "label"), ("a", "x"), ("gone", "y")]
    found = read_examples(write_csv(tmp_path / "a.csv", *rows), sequences=True)
    said = f"folders and videos of the CSV that are not there: 1, such as {str(tmp_path / 'gone')!r}"
    assert said in found.notes
    with pytest.raises(InputError, match="none of its 1 folders and videos is there"):
        read_examples(write_csv(tmp_path / "b.csv", rows[0], rows[2]), sequences=True)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("path", "name"), ("1.jpg", "a")], "line 1: expected a column 'label', got 'path', 'name'"),
        ([("path", "label")], r"a\.csv: no rows below the header"),
        ([("path", "label"), ("1.jpg", " ")], r"a\.csv, line 2: no label for '1\.jpg': fill it in or remove the row"),
        ([("path", "label"), ("1.jpg", "a"), ("1.jpg", "b")],
         r"line 3: '1\.jpg' has the label 'b', and 'a' on line 2"),
        ([("path", "label", "part"), ("1.jpg", "a", "train"), ("1.jpg", "a", "test")],
         r"line 3: '1\.jpg' has the part 'test', and 'train' on line 2"),
        ([("path", "label", "group"), ("1.jpg", "a", "g"), ("1.jpg", "a", "h")],
         r"line 3: '1\.jpg' has the group 'h', and 'g' on line 2"),
        ([("path", "label", "part"), ("1.jpg", "a", "train"), ("2.jpg", "b", "")],
         r"line 3: a split in some rows only \(line 2 has one, line 3 none\)"),
        ([("path", "label", "split"), ("1.jpg", "a", "tran")], "line 2: unknown split 'tran', did you mean 'train'"),
        ([("path", "label", "split", "part"), ("1.jpg", "a", "train", "val")], "split and part mean the same"),
        ([("path", "label", "part", "group"), ("1.jpg", "a", "train", "g"), ("2.jpg", "b", "val", "g")],
         r"the group 'g' is in train \(.*1\.jpg\) and in val \(.*2\.jpg\): a group belongs to one part"),
        ([("path", "label"), ("8.jpg", "a"), ("9.jpg", "b")],
         r"none of its 2 files is there, such as '.*8\.jpg': paths are relative to the folder of the CSV file"),
        ([("path", "label"), ("1.jpg", "a"), ("2.jpg", "a")], "expected at least 2 classes, got only 'a'"),
        ([("path", "label"), ("1.jpg", "a"), ("sub", "b")], "line 3: expected an image, got a folder: for folders of"),
        ([("path", "label"), ("1.jpg", "a"), ("c.avi", "b")], "line 3: expected an image, got a video"),
        ([("path", "label"), ("a\0b.jpg", "a")], "line 2: 'a.x00b.jpg' is not a file name"),
    ],
)  # fmt: skip
def test_wrong_csv(tmp_path, rows, words):
    plant(tmp_path, "1.jpg", "2.jpg", "sub/1.jpg", "c.avi")
    with pytest.raises(InputError, match=words):
        read_examples(write_csv(tmp_path / "a.csv", *rows))


def test_csv_of_sequences(tmp_path):
    plant(tmp_path, "s/1.jpg", "v.mp4", "1.jpg")
    file = write_csv(tmp_path / "a.csv", ("path", "label"), ("s", "a"), ("v.mp4", "b"))
    assert [item.path.name for item in read_examples(file, sequences=True).items] == ["s", "v.mp4"]
    write_csv(file, ("path", "label"), ("s", "a"), ("1.jpg", "b"))
    with pytest.raises(InputError, match="line 3: expected a folder of frames or a video, got an image"):
        read_examples(file, sequences=True)


def test_dots_behind_links_are_not_guessed(tmp_path):
    plant(tmp_path, "real/sub/x.jpg", "real/y.jpg", "other/z.jpg")
    (tmp_path / "other/link").symlink_to(tmp_path / "real/sub")
    file = write_csv(tmp_path / "a.csv", ("path", "label"), ("other/link/../y.jpg", "a"), ("other/./z.jpg", "b"))
    paths = [item.path for item in read_examples(file).items]
    assert all(path.exists() for path in paths) and paths[1] == tmp_path / "other/z.jpg"


def test_the_digest_belongs_to_the_data_not_to_its_place(tmp_path):
    names = ("train/cat/1.jpg", "train/dog/2.jpg", "test/cat/3.jpg")
    one, other = plant(tmp_path / "a", *names), plant(tmp_path / "b/deeper", *names)
    digest = read_examples(one).digest
    assert len(digest) == 64 and digest == read_examples(other).digest == read_examples(f"{one}/../a").digest
    assert read_examples(one).of("train").digest != digest
    plant(other, "train/dog/2.jpg", content=b"longer")
    assert read_examples(other).digest != digest
    plant(other, "train/dog/2.jpg", content=b"y")  # of the same size: not noticed, as documented
    assert read_examples(other).digest == digest
    (other / "train/dog/2.jpg").rename(other / "train/dog/4.jpg")
    assert read_examples(other).digest != digest


def test_the_digest_of_sequences_counts_frames(tmp_path):
    for name in ("a", "b"):
        plant(tmp_path / name, "x/s/1.jpg", "y/s/1.jpg")
    digests = {read_examples(tmp_path / name, sequences=True).digest for name in ("a", "b")}
    plant(tmp_path / "b", "x/s/2.jpg")
    assert len(digests) == 1 and read_examples(tmp_path / "b", sequences=True).digest not in digests


TEXT = st.one_of(
    st.text("ab", min_size=1, max_size=3), st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=5)
)


def test_the_digest_keeps_fields_apart():
    rows = [("a", "bc"), ("ab", "c"), ("abc", None), ("abc", ""), ("a", "b,c"), ("a,b", "c"), ("a", "-")]
    digests = {Examples((Example(Path("/x"), label, None, group),), (label,), "/").digest for label, group in rows}
    assert len(digests) == len(rows)


@settings(max_examples=60)
@given(st.lists(st.tuples(TEXT, st.one_of(st.none(), TEXT)), min_size=1, max_size=4), st.data())
def test_no_two_data_sets_share_a_digest(fields, data):
    """Texts that run into one another differently joined are still different."""

    def digest(rows):
        items = tuple(Example(Path(f"/none/{n}"), label, None, group) for n, (label, group) in enumerate(rows))
        return Examples(items, tuple({label for label, _ in rows}), "/none/x.csv").digest

    place = data.draw(st.integers(0, len(fields) - 1))
    changed = list(fields)
    changed[place] = data.draw(st.tuples(TEXT, st.one_of(st.none(), TEXT)))
    assert (digest(changed) == digest(fields)) == (changed == fields)


def test_examples_check_themselves(tmp_path):
    item = Example(tmp_path / "1.jpg", "a")
    with pytest.raises(InputError, match=r"1\.jpg: its label 'a' is not one of the 1 classes"):
        Examples((item,), ("b",), str(tmp_path))
    with pytest.raises(InputError, match="unknown part 'val2', did you mean 'val'"):
        Examples((Example(tmp_path / "1.jpg", "a", "val2"),), ("a",), str(tmp_path))


@pytest.mark.parametrize(
    ("name", "classes", "parts"),
    [
        ("flowers12", 12, {"train": 720, "val": 0, "test": 240}),
        ("gcd-sky", 7, {"train": 1400, "val": 0, "test": 350}),
        ("kth-textures", 11, {"train": 132, "val": 132, "test": 0}),
    ],
)
def test_real_data(real_images, name, classes, parts):
    found = read_examples(real_images(name))
    assert len(found.classes) == classes and {part: len(found.of(part)) for part in parts} == parts
    assert found.notes == () and len(set(found.counts.values())) == 1
