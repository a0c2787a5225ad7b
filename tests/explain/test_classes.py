"""Which classes are asked: names, numbers, the most probable."""

import numpy as np
import pytest
import torch

from resight.errors import InputError
from resight.explain.classes import ask_classes, best_count, class_number, named_classes, plain_name

NAMES = ["3_cirrus", "4_cumulus", "7"]
IMAGENET = ["n02123045 tabby", "n02123159 tiger cat", "n02127052 lynx"]
LOGITS = torch.tensor([0.5, 2.0, 1.0])


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("top:1", [1]),
        ("top:2", [1, 2]),
        (" top:3 ", [1, 2, 0]),
        ("3_cirrus", [0]),
        ("3_CIRRUS", [0]),
        (1, [1]),
        (np.int64(2), [2]),
        ("1", [1]),
        ("7", [2]),  # a name comes before a number
        (["4_cumulus", 0], [1, 0]),
        ([1, "4_cumulus", 1], [1]),
        ((2,), [2]),
    ],
)
def test_wanted(wanted, expected):
    assert ask_classes(wanted, NAMES)(LOGITS) == expected


@pytest.mark.parametrize(
    ("one", "number"),
    [("n02123045 tabby", 0), ("tabby", 0), ("n02127052", 2), ("Tiger Cat", 1), ("N02127052", 2), ("2", 2)],
)
def test_names_of_imagenet(one, number):
    assert class_number(one, IMAGENET) == number


def test_a_name_that_several_classes_have_is_refused():
    with pytest.raises(InputError, match=r"class 'a' is that of 2 classes, 0 'a', 2 'a': give the number$"):
        class_number("a", ["a", "b", "a"])
    cranes = ["n02012849 crane", "n02123045 tabby", "n03126707 crane"]
    expected = r"class 'Crane' is that of 2 classes, 0 'n02012849 crane', 2 'n03126707 crane': give .* or the full name"
    with pytest.raises(InputError, match=expected):
        ask_classes(["tabby", "Crane"], cranes)
    assert class_number("n03126707 crane", cranes) == class_number("n03126707", cranes) == 2
    assert class_number("A", ["a", "A"]) == 1  # as it is written comes first
    with pytest.raises(InputError, match=r"is that of 30 classes, .*and 6 more"):
        class_number("a", ["a"] * 30)


def test_a_class_that_is_called_top():
    assert ask_classes("top:1", ["x", "top:1"])(LOGITS) == [1]
    assert ask_classes(["top:1", 0], ["x", "top:1"])(LOGITS) == [1, 0]
    assert best_count("top:1", ["x", "top:1"]) is None


@pytest.mark.parametrize("wanted", ["4_cumulus", 1, ["4_cumulus", 0], None, 1.5, []])
def test_no_number_of_the_best_where_classes_are_named(wanted):
    assert best_count(wanted, NAMES) is None


def test_the_number_of_the_best():
    assert [best_count(text, NAMES) for text in ("top:1", " top:3 ", "top:002")] == [1, 3, 2]


def test_names_that_classes_have():
    cranes = ["n02012849 crane", "n02123045 tabby", "n03126707 crane", "Tabby"]
    assert named_classes("crane", cranes) == [0, 2]
    assert named_classes("Tabby", cranes) == [3]  # as it is written comes first
    assert named_classes("TABBY", cranes) == [1, 3]
    assert named_classes("n02123045", cranes) == [1]
    assert named_classes("2", cranes) == []
    assert plain_name("n02012849 crane") == "crane" and plain_name("n0201284 crane") == "n0201284 crane"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (3, "class 3 is out of range: there are 3, numbered from 0"),
        (-1, "class -1 is out of range"),
        ("3", "class 3 is out of range"),
        (True, "a class is a name or a number, got True"),
        ("3_cirus", "unknown class '3_cirus', did you mean '3_cirrus'"),
        (1.5, "a class is a name or a number, got float"),
        (None, "a class is a name or a number, got NoneType"),
        ([], "no class to explain"),
        ("-1", "class -1 is out of range: there are 3, numbered from 0"),
        ("top:0", "top:0: behind top: comes how many classes, from 1 to the 3 that there are"),
        (" top:4", "^top:4: behind top:"),
        ("top:99999", "top:99999: behind top:"),
        ("top:9" * 99, "behind top:"),
        ("top:x", "top:x: behind top:"),
        ("top:-1", "top:-1: behind top:"),
        (["top:2", 0], "top:2 stands alone, it cannot be one of several classes: .* or top:2 only"),
        ([0, "top:x"], "top:x stands alone"),
        (["top:2"], "top:2 stands alone"),
        ([0, "cumulus4"], "unknown class 'cumulus4', did you mean '4_cumulus'"),
    ],
)
def test_what_cannot_be(wanted, words):
    with pytest.raises(InputError, match=words):
        ask_classes(wanted, NAMES)


def test_the_closest_name_of_imagenet():
    with pytest.raises(InputError, match="unknown class of net 'tigercat', did you mean 'tiger cat'"):
        ask_classes("tigercat", IMAGENET, "class of net")


def test_names_that_contain_the_word_come_first_and_the_count_is_that_of_the_classes():
    names = [*IMAGENET, "n03125729 cradle", "n03016953 castle", "n02130308 cheetah cat", "n04435653 category"]
    names += [f"n{number:08d} thing {number}" for number in range(993)]
    with pytest.raises(InputError, match=r"'cat', did you mean 'tiger cat' or 'cheetah cat'\? \(1,000 are known\)"):
        class_number("cat", names)
    with pytest.raises(InputError, match="did you mean '4_cumulus'"):
        class_number("Cumulus", NAMES)
    with pytest.raises(InputError, match=r"unknown class 'zzz' \(choices: 3_cirrus, 4_cumulus, 7\)"):
        class_number("zzz", NAMES)
