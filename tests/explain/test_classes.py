"""Which classes are asked: names, numbers, the most probable."""

import numpy as np
import pytest
import torch

from resight.errors import InputError
from resight.explain.classes import ask_classes, class_number

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


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (3, "class 3 is out of range: there are 3, numbered from 0"),
        (-1, "class -1 is out of range"),
        ("3", "class 3 is out of range"),
        (True, "class True is out of range"),
        ("3_cirus", "unknown class '3_cirus', did you mean '3_cirrus'"),
        (1.5, "a class is a name or a number, got float"),
        (None, "a class is a name or a number, got NoneType"),
        ([], "no class to explain"),
        ("top:0", "top:0 explains nothing"),
        ("top:4", "top:4 asks for more classes than there are: give top:3 or less"),
        ("top:99999", "top:99999 asks for more classes than there are"),
        ("top:x", "expected top: and a whole number, such as top:5, got 'top:x'"),
        ("top:-1", "expected top: and a whole number"),
        (["top:2", 0], "top:2 stands alone, it cannot be one of several classes"),
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
