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
        (" top:9 ", [1, 2, 0]),
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


def test_a_name_twice_is_the_first():
    assert class_number("a", ["a", "b", "a"]) == 0 and class_number("A", ["a", "b", "a"]) == 0


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
        ("top:99999", "unknown class 'top:99999'"),
        ([0, "cumulus4"], "unknown class 'cumulus4', did you mean '4_cumulus'"),
    ],
)
def test_what_cannot_be(wanted, words):
    with pytest.raises(InputError, match=words):
        ask_classes(wanted, NAMES)


def test_the_closest_name_of_imagenet():
    with pytest.raises(InputError, match="unknown class of net 'tigercat', did you mean 'tiger cat'"):
        ask_classes("tigercat", IMAGENET, "class of net")
