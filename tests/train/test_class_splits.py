"""Dealing data out: shares, whole classes and groups, what is left out, and what is told."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_samples import class_folders

from resight.errors import InputError
from resight.images.examples import PARTS, Example, Examples, read_examples
from resight.train.class_splits import deal, split_classes
from resight.train.splits import read_split, split_examples


def made(counts: dict[str, int], groups: dict[str, str] | None = None) -> Examples:
    """Examples of files that are not there: label -> number; groups: label -> the group of all its images."""
    items = tuple(
        Example(Path(f"/nowhere/{name}/{number}.png"), name, group=(groups or {}).get(name))
        for name, count in counts.items() for number in range(count)
    )  # fmt: skip
    return Examples(items, tuple(sorted(counts)), "/nowhere")


def classes_of(dealt, part):
    return {dealt.examples.items[place].label for place in dealt.places[part]}


def test_shares_of_classes_by_hand():
    dealt = deal(made({f"c{n:02}": 3 for n in range(20)}), "class", validation=0.15, test=0.2)
    assert dealt.counts() == [("train", 13, 39), ("val", 3, 9), ("test", 4, 12), ("all", 20, 60)]
    assert dealt.notes == ()


@given(
    st.integers(2, 30), st.sampled_from([0.0, 0.1, 0.3, 0.6]), st.sampled_from([0.0, 0.2, 0.39]), st.integers(0, 5)
)  # fmt: skip
def test_each_class_is_in_one_part_and_each_part_that_is_asked_for_has_one(number, validation, test, seed):
    examples = made({f"c{n:02}": 1 + n % 3 for n in range(number)})
    asked = [part for part, share in (("val", validation), ("test", test)) if share]
    if number < 2 + len(asked):
        with pytest.raises(InputError, match="cannot be dealt out whole"):
            split_classes(examples, validation=validation, test=test, seed=seed)
        return
    split = split_classes(examples, validation=validation, test=test, seed=seed)
    held = [{examples.items[place].label for place in getattr(split, part)} for part in PARTS]
    assert sum(map(len, held)) == number
    assert set.union(*held) == set(examples.classes)
    assert len(held[0]) >= 2
    assert [bool(one) for one in held[1:]] == [bool(validation), bool(test)]
    assert sorted([*split.train, *split.val, *split.test]) == list(range(len(examples)))


def test_the_seed_decides():
    examples = made({f"c{n:02}": 2 for n in range(20)})
    one, again, other = (deal(examples, "class", seed=seed).split for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert len({deal(examples, "class", seed=seed).split.test for seed in range(30)}) > 20


def test_classes_that_share_a_group_stay_together():
    groups = {"c0": "night", "c3": "night", "c5": "day"}
    for seed in range(20):
        dealt = deal(made({f"c{n}": 2 for n in range(8)}, groups), "class", seed=seed)
        assert any({"c0", "c3"} <= classes_of(dealt, part) for part in PARTS)
        assert "classes that share a group stay in one part: 'c0', 'c3'" in dealt.notes
    chained = Examples(
        tuple(Example(Path(f"/x/{n}"), label, group=group)
              for n, (label, group) in enumerate(["a1", "b1", "b2", "c2", "d3", "e4", "f5"])),
        tuple("abcdef"), "/x",
    )  # fmt: skip
    for seed in range(20):
        split = split_classes(chained, validation=0, test=0.3, seed=seed)
        assert len({part for part in ("train", "test") if {0, 3} & set(getattr(split, part))}) == 1
    one = made({f"c{n}": 2 for n in range(5)}, {f"c{n}": "g" for n in range(5)})
    with pytest.raises(InputError, match="no class is left for test: classes share groups"):
        deal(one, "class")


def test_classes_with_too_few_images_are_left_out_and_told():
    examples = made({"a": 5, "b": 1, "c": 5, "d": 2, "e": 4, "f": 4})
    dealt = deal(examples, "class", least=4)
    assert dealt.examples.classes == ("a", "c", "e", "f")
    assert {item.label for item in dealt.examples.items} == {"a", "c", "e", "f"}
    assert dealt.notes[0] == "left out: 2 of 6 classes with fewer than 4 images, 'b', 'd'"
    with pytest.raises(InputError, match=r"such as 'a' \(5\), and 0 remain: at least 2 are needed"):
        deal(examples, "class", least=6)


def test_by_image_is_the_split_of_training(tmp_path):
    examples = read_examples(class_folders(tmp_path / "d", 8))
    assert deal(examples, "image", seed=3).split == split_examples(examples, validation=0.15, test=0.2, seed=3)


def test_groups_stay_whole_by_group_and_need_groups(tmp_path):
    data = class_folders(tmp_path / "d", 12)
    for name in ("blue", "green", "red"):
        for number in range(12):
            take = data / name / f"take-{number // 2}"
            take.mkdir(exist_ok=True)
            (data / name / f"{number}.png").rename(take / f"{number}.png")
    examples = read_examples(data)
    with pytest.raises(InputError, match=r"no groups to keep whole: .*--groups folder"):
        deal(examples, "group")
    dealt = deal(examples, "group", groups="folder", validation=0.2, test=0.2)
    takes = {part: {dealt.examples.items[p].path.parent for p in dealt.places[part]} for part in PARTS}
    assert sum(map(len, takes.values())) == 18
    assert all(takes.values())
    assert all(classes_of(dealt, part) == {"blue", "green", "red"} for part in PARTS)
    grouped = deal(dealt.examples, "image")
    assert "the data names groups, which stay whole" in grouped.notes


def test_what_is_written_is_read_again(tmp_path):
    data = class_folders(tmp_path / "d", 5, ("blue", "green", "red"))
    for name in ("one", "two"):
        shutil.copytree(data / "red", data / name)
    examples = read_examples(data)
    dealt = deal(examples, "class", validation=0.2, test=0.2, seed=1)
    file = data / "split.csv"
    dealt.write(file)
    again = read_examples(file)
    assert [(i.path, i.label) for p in PARTS for i in again.of(p).items] == [
        (examples.items[place].path, examples.items[place].label) for p in PARTS for place in dealt.places[p]
    ]
    assert replace(read_split(file, examples), notes=()) == replace(dealt.split, notes=())
    with file.open() as opened:
        rows = list(csv.DictReader(opened))
    assert rows[0].keys() == {"path", "label", "part", "group"}
    assert not any(row["path"].startswith("/") for row in rows)


def test_copies_across_parts_are_told(tmp_path):
    data = class_folders(tmp_path / "d", 2)
    shutil.copytree(data / "red", data / "scarlet")
    examples = read_examples(data)
    for seed in range(12):
        dealt = deal(examples, "class", validation=0, test=0.25, seed=seed)
        apart = len({part for part in PARTS if {"red", "scarlet"} & classes_of(dealt, part)}) == 2
        told = [note for note in dealt.notes if "same content" in note]
        assert bool(told) == apart
        if apart:
            assert told[0].startswith("files of the same content are in classes of different parts: 2, such as ")
            assert "red/0.png" in told[0]


def test_the_datas_own_parts(tmp_path):
    for part, each in (("train", 8), ("test", 2)):
        class_folders(tmp_path / "d" / part, each)
    examples = read_examples(tmp_path / "d")
    with pytest.raises(InputError, match=r"it has parts already \(train, test\), and whole classes would mix them"):
        deal(examples, "class")
    dealt = deal(examples, "image", validation=0.25)
    assert "the data's own test part stays: 6 images" in dealt.notes
    assert [images for _, _, images in dealt.counts()] == [18, 6, 6, 30]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"by": "clas"}, "unknown way to split 'clas', did you mean 'class'"),
        ({"by": "image", "groups": "folder"}, "groups folder goes with --by group, got --by image"),
        ({"by": "group", "groups": "folders"}, "did you mean 'folder'"),
        ({"by": "class", "validation": 0.6, "test": 0.4}, "shares that add up to less than 1, got 0.6 and 0.4"),
        ({"by": "class", "validation": float("nan")}, "shares that add up to less than 1"),
        ({"by": "class", "validation": 0, "test": 0}, "nothing to split"),
        ({"by": "class", "least": 0}, "must be at least 1, got 0"),
        ({"by": "class"}, "3 classes cannot be dealt out whole: train needs 2, test and val 1 each"),
    ],
)
def test_wrong_wishes(given, message):
    with pytest.raises(InputError, match=message):
        deal(made({"a": 3, "b": 3, "c": 3}), **given)


def test_parts_are_put_together_first_if_asked():
    items = tuple(Example(Path(f"/x/{n}.jpg"), "abcd"[n % 4], ("train", "test")[n % 2]) for n in range(24))
    examples = Examples(items, tuple("abcd"), "here")
    dealt = deal(examples, "class", validation=0.0, test=0.5, anew=True)
    assert dealt.counts() == [("train", 2, 12), ("test", 2, 12), ("all", 4, 24)]
    assert all(item.part is None for item in dealt.examples.items)
