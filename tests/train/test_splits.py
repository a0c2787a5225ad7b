"""Splits: shares, groups, the data's own parts, folds, the file, and what is said about what cannot be cut."""

from __future__ import annotations

import zlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resight.errors import InputError, WorkError
from resight.images import Example, Examples, read_examples
from resight.train.splits import Split, read_split, split_examples, write_split


def made(*rows: tuple[str, str | None, str | None], root: Path = Path("/none")) -> Examples:
    """Examples from (label, part, group); their files are not there."""
    items = tuple(Example(root / f"{n}.jpg", label, part, group) for n, (label, part, group) in enumerate(rows))
    return Examples(items, tuple(sorted({label for label, _, _ in rows})), str(root))


def plain(**counts: int) -> Examples:
    return made(*((label, None, None) for label, count in counts.items() for _ in range(count)))


def labels(examples: Examples, places: tuple[int, ...]) -> Counter[str | None]:
    return Counter(examples.items[place].label for place in places)


def test_shares_of_each_class():
    examples = plain(a=40, b=20, c=20)
    split = split_examples(examples, validation=0.15, test=0.25)
    assert labels(examples, split.val) == {"a": 6, "b": 3, "c": 3}
    assert labels(examples, split.test) == {"a": 10, "b": 5, "c": 5}
    assert sorted(split.train + split.val + split.test) == list(range(80)) and split.notes == ()
    assert all(list(part) == sorted(part) for part in (split.train, split.val, split.test))
    assert str(split) == "48 train, 12 val, 20 test"
    assert split == split_examples(examples, validation=0.15, test=0.25, seed=0)
    assert split.val != split_examples(examples, validation=0.15, test=0.25, seed=1).val


def test_the_datas_own_parts_are_kept_and_only_what_lacks_is_cut():
    own = [("ab"[n % 2], "train", None) for n in range(20)] + [("ab"[n % 2], "test", None) for n in range(6)]
    split = split_examples(made(*own), validation=0.2, test=0.5)
    assert split.test == tuple(range(20, 26)) and len(split.val) == 4 and len(split.train) == 16
    split = split_examples(made(*own, ("a", "val", None)), validation=0.2, test=0.5)
    assert (
        split.val == (26,)
        and split.train == tuple(range(20))
        and split.notes == ("not validated, as no example is left for it: 'b'",)
    )
    split = split_examples(plain(a=3, b=3), validation=0)
    assert split == Split(tuple(range(6)), (), ())


def test_rare_classes_train_first_then_validate_then_test():
    split = split_examples(examples := plain(a=1, b=2, c=3, d=94), validation=0.1, test=0.1)
    assert labels(examples, split.train).keys() == {"a", "b", "c", "d"}
    assert labels(examples, split.val).keys() == {"b", "c", "d"}
    assert labels(examples, split.test).keys() == {"c", "d"}
    assert split.notes == (
        "not validated, as no example is left for it: 'a'", "not tested, as no example is left for it: 'a', 'b'",
    )  # fmt: skip


def test_far_from_the_share_is_told():
    split = split_examples(plain(**{f"c{n}": 2 for n in range(10)}), validation=0.15)
    assert split.notes == ("val is 50% (10 of 20), not 15%: groups stay whole, and each class has one there",)


rows = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([None, "g", "h", "i", "j", "k"])), min_size=4, max_size=40
)


@settings(max_examples=150)
@given(rows, st.sampled_from([0.1, 0.3]), st.sampled_from([0.0, 0.2]), st.integers(0, 5))
def test_no_example_or_group_is_in_two_parts(found, validation, test, seed):
    examples = made(*((label, None, group) for label, group in found))
    units = Counter()
    for label, _ in {(label, group or n) for n, (label, group) in enumerate(found)}:
        units[label] += 1
    try:
        split = split_examples(examples, validation=validation, test=test, seed=seed)
    except InputError as error:
        assert "too few" in str(error)
        return
    parts = (split.train, split.val, split.test)
    assert sorted(sum(parts, ())) == list(range(len(found)))
    homes = [{examples.items[place].group for place in part} - {None} for part in parts]
    assert sum(map(len, homes)) == len(set().union(*homes))
    assert labels(examples, split.train).keys() == set(examples.classes)
    assert split.val and bool(split.test) == bool(test)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from("abcd"), st.integers(5, 23), min_size=1), st.integers(2, 5), st.integers(0, 3))
def test_folds_validate_everything_once_and_each_class_alike(counts, folds, seed):
    examples = plain(**counts)
    splits = [split_examples(examples, validation=0.5, folds=folds, fold=fold, seed=seed) for fold in range(folds)]
    assert sorted(place for split in splits for place in split.val) == list(range(len(examples)))
    for split in splits:
        assert sorted(split.train + split.val) == list(range(len(examples))) and split.test == ()
        for label, count in counts.items():
            assert count // folds - 1 <= labels(examples, split.val)[label] <= count // folds + 2
            assert labels(examples, split.val)[label] >= 1


def test_folds_keep_the_test_part_and_take_the_validation_part():
    own = [("ab"[n % 2], "train", None) for n in range(8)] + [("a", "val", None), ("b", "val", None)]
    examples = made(*own, ("a", "test", None))
    splits = [split_examples(examples, validation=0.2, folds=2, fold=fold) for fold in (0, 1)]
    assert all(split.test == (10,) for split in splits)
    assert sorted(splits[0].val + splits[1].val) == list(range(10)) and splits[0].train == splits[1].val
    assert splits[0].notes[0] == "the data's own 2 validation examples are dealt out to the folds"
    cut = [split_examples(plain(a=10, b=10), validation=0, test=0.2, folds=4, fold=fold) for fold in range(4)]
    assert len({split.test for split in cut}) == 1 and all(len(split.val) == 4 for split in cut)


def test_groups_in_folds():
    examples = made(*(("ab"[n % 2], None, f"g{n // 4}") for n in range(48)))
    for fold in range(4):
        split = split_examples(examples, validation=0.2, folds=4, fold=fold)
        assert len(split.val) == 12 and labels(examples, split.val) == {"a": 6, "b": 6}
        assert not {examples.items[p].group for p in split.val} & {examples.items[p].group for p in split.train}


@pytest.mark.parametrize(
    ("examples", "asked", "words"),
    [
        (plain(a=1, b=1), {"validation": 0.2}, "too few different images to hold back a part for validation: 2 for "
         "training, and each class needs one there; add some, or set validation to 0"),
        (plain(a=2, b=2), {"validation": 0.2, "test": 0.2}, "hold back a part for test: 4 for .* set test to 0"),
        (made(*[("a", None, "g")] * 5, *[("b", None, "g")] * 5), {"validation": 0.2},
         "too few groups to hold back a part for validation: 1 for training"),
        (made(("a", "test", None), ("b", "val", None)), {"validation": 0.2}, "nothing to train on: all examples "
         "are for val and test"),
        (plain(a=9, b=3), {"validation": 0.2, "folds": 4}, "4 folds need 4 different .*, 'b' has 3"),
        (plain(a=9, b=9), {"validation": 0.2, "folds": 4, "fold": 4}, "fold must be from 0 to 3 of 4 folds, got 4"),
        (plain(a=9, b=9), {"validation": 0.2, "folds": 1}, "folds must be from 2 to 1,000"),
        (plain(a=9, b=9), {"validation": 0.6, "test": 0.5}, "add up to less than 1, got 0.6 and 0.5"),
        (plain(a=9, b=9), {"validation": -0.1}, "shares that add up to less than 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_cut(examples, asked, words):
    with pytest.raises(InputError, match=words):
        split_examples(examples, **asked)


def plant(root: Path, **contents: bytes) -> Path:
    for name, content in contents.items():
        path = root / name.replace("_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".jpg").write_bytes(content)
    return root


def test_files_of_one_content_stay_together_and_leaks_are_told(tmp_path):
    for n in range(20):
        plant(tmp_path, **{f"a_{n}": b"a%d" % (n // 2), f"b_{n}": b"b%d" % (n // 2)})
    examples = read_examples(tmp_path)
    for seed in range(5):
        split = split_examples(examples, validation=0.3, seed=seed)
        contents = [{examples.items[p].path.read_bytes() for p in part} for part in (split.train, split.val)]
        assert not contents[0] & contents[1] and len(split.val) == 12 and split.notes == ()
    plant(
        tmp_path / "parts", train_a_1=b"1", train_a_2=b"2", train_b_3=b"3", test_a_4=b"1", test_b_5=b"3", test_b_6=b"2"
    )
    notes = split_examples(read_examples(tmp_path / "parts"), validation=0).notes
    assert len(notes) == 2 and notes[0].startswith("content that is in two parts: 3, such as ")
    assert notes[1].startswith("content that has two labels: 1, such as ") and notes[1].endswith("2.jpg ('a')")


def test_groups_and_contents_chain(tmp_path):
    """1 and 2 share a group, 2 and 3 their content, 3 and 4 a group, and so on: all are one."""
    for n in range(24):
        plant(tmp_path, **{f"{'ab'[n % 2]}_{n}": b"%d" % (n // 2)})
    found = read_examples(tmp_path)
    for seed in range(6):
        order = sorted(found.items, key=lambda item: zlib.crc32(f"{item.path.name}{seed}".encode()))
        items = tuple(
            Example(i.path, i.label, None, f"g{(int(i.path.stem) + 1) // 2}" if 0 < int(i.path.stem) < 13 else None)
            for i in order
        )
        split = split_examples(Examples(items, found.classes, found.source), validation=0.3, seed=seed)
        chained = {part for part in (split.train, split.val) for p in part if int(items[p].path.stem) < 14}
        assert len(chained) == 1 and split.val


def test_the_file_is_a_source_and_gives_the_split_back(tmp_path):
    names = ("Ü, x", 'say "cat"', "two\nlines")
    for n in range(18):
        path = tmp_path / "data" / names[n % 3] / f"{n}, ü\n.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % n)
    examples = read_examples(tmp_path / "data")
    split = split_examples(examples, validation=0.3, test=0.2)
    for file in (tmp_path / "split.csv", tmp_path / "data/split.csv"):
        write_split(split, examples, file)
        again = read_examples(file)
        assert again.classes == examples.classes and len(again) == 18
        parts = {item.path: item.part for item in again.items}
        assert [sorted(p for p, part in parts.items() if part == name) for name in ("train", "val", "test")] == [
            sorted(examples.items[place].path for place in places) for places in (split.train, split.val, split.test)
        ]
        assert read_split(file, examples) == split
        assert str(split_examples(again, validation=0.9)) == str(split)
    assert (tmp_path / "split.csv").read_text().splitlines()[0] == "path,label,part,group"
    moved = (tmp_path / "data").rename(tmp_path / "elsewhere")
    assert all(item.path.exists() for item in read_examples(moved / "split.csv").items)


def test_groups_are_written(tmp_path):
    plant(tmp_path, **{f"{label}_{n}": b"%s%d" % (label.encode(), n) for label in "ab" for n in range(4)})
    found = read_examples(tmp_path)
    items = tuple(Example(i.path, i.label, None, f"g{n % 4}" if n else None) for n, i in enumerate(found.items))
    examples = Examples(items, found.classes, found.source)
    write_split(split_examples(examples, validation=0.3), examples, tmp_path / "s.csv")
    groups = {item.path: item.group for item in read_examples(tmp_path / "s.csv").items}
    assert groups == {item.path: item.group for item in items}


def test_files_that_are_not_of_this_data(tmp_path):
    plant(tmp_path, **{f"{label}_{n}": b"%s%d" % (label.encode(), n) for label in "ab" for n in range(4)})
    examples = read_examples(tmp_path)
    file = tmp_path / "s.csv"
    write_split(split_examples(examples, validation=0.3), examples, file)
    text = file.read_text()
    file.write_text(text.replace("a/1.jpg,a", "a/1.jpg,b"))
    with pytest.raises(InputError, match=r"not of this data: .*a/1\.jpg' has the label 'a' here, and 'b' there"):
        read_split(file, examples)
    file.write_text("".join(line for line in text.splitlines(True) if "b/2" not in line))
    with pytest.raises(InputError, match=r"b/2\.jpg' has the label 'b' here, and is not listed there"):
        read_split(file, examples)
    file.write_text(text + "b/9.jpg,b,train,\n")
    with pytest.raises(InputError, match=r"b/9\.jpg' is listed, and not here"):
        read_split(file, examples)
    file.write_text("path,label\n" + "\n".join(f"{n}/{m}.jpg,{n}" for n in "ab" for m in range(4)))
    with pytest.raises(InputError, match="expected a part in every row"):
        read_split(file, examples)
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        read_split(tmp_path / "none.csv", examples)


def test_nothing_is_written_where_nothing_can_be(tmp_path):
    examples = made(("a", None, None), ("b\udcff", None, None))
    with pytest.raises(InputError, match="a name or label is not UTF-8: rename"):
        write_split(Split((0, 1), (), ()), examples, tmp_path / "s.csv")
    with pytest.raises((InputError, WorkError), match=r"the folder .* does not exist"):
        write_split(Split((0,), (), ()), examples, tmp_path / "none/s.csv")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=6), min_size=2, unique=True))
def test_any_label_comes_back(tmp_path, names):
    names = sorted({name.strip() for name in names} - {""})
    (tmp_path / "1.jpg").write_bytes(b"1")
    items = tuple(Example(tmp_path / f"{n}.jpg", name) for n, name in enumerate(names))
    examples = Examples((Example(tmp_path / "1.jpg", "x"), *items[2:]), tuple({*names, "x"}), str(tmp_path))
    split = Split(tuple(range(len(examples))), (), ())
    write_split(split, examples, tmp_path / "s.csv")
    assert read_split(tmp_path / "s.csv", examples) == split


def test_real_data(real_images):
    examples = read_examples(real_images("flowers12"))
    split = split_examples(examples, validation=0.15)
    assert str(split) == "612 train, 108 val, 240 test" and set(labels(examples, split.val).values()) == {9}
    assert split.notes == ()
    sky = read_examples(real_images("gcd-sky"))
    notes = split_examples(sky, validation=0.15).notes
    assert len(notes) == 1 and notes[0].startswith("content that is in two parts: 1, such as ")
