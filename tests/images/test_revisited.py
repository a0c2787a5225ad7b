"""Revisited ground truth: the three settings, and every way to break the file."""

import copy
import pickle

import numpy as np
import pytest

from resight.errors import InputError
from resight.images.truth import read_truth

GND = {
    "imlist": [f"a{number}" for number in range(8)],
    "qimlist": ["q0", "q1"],
    "gnd": [
        {"easy": np.array([1, 2]), "hard": [3], "junk": np.array([], np.int32), "bbx": np.array([1, 2, 3.5, 4])},
        {"easy": [], "hard": np.array([5.0]), "junk": [np.int64(6), 7], "bbx": [1, 2, 3, 4]},
    ],
}


def read(tmp_path, content, protocol=4):
    (tmp_path / "gnd.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    return read_truth("roxford5k", tmp_path / "gnd.pkl")


@pytest.mark.parametrize("protocol", range(6))
def test_settings(tmp_path, protocol):
    truth = read(tmp_path, GND, protocol)
    first, second = truth.queries
    assert (first.name, first.image, first.box) == ("q0", "q0", (1, 2, 3.5, 4))
    assert {s: (truth.positives(first, s), truth.ignored(first, s)) for s in truth.settings} == {
        "E": ({"a1", "a2"}, {"a3"}),
        "M": ({"a1", "a2", "a3"}, set()),
        "H": ({"a3"}, {"a1", "a2"}),
    }
    assert truth.positives(second, "E") == set() and truth.positives(second, "H") == {"a5"}
    assert truth.ignored(second, "M") == {"a6", "a7"}
    assert (truth.own, truth.database, truth.published_images) == ("absent", tuple(GND["imlist"]), 4993)


def changed(path, value):
    content = copy.deepcopy(GND)
    place = content
    for key in path[:-1]:
        place = place[key]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["imlist"], KeyError, "expected a dictionary with imlist, qimlist and gnd, got 'qimlist', 'gnd'"),
        (["imlist"], "a0 a1", "imlist: expected a list, got str"),
        (["imlist", 3], 7, r"imlist\[3\]: expected an image name, got 7"),
        (["imlist", 3], "a0", "imlist: 'a0' comes twice"),
        (["imlist", 3], "q1", "'q1' is in qimlist and in imlist"),
        (["qimlist"], ["q0"], "gnd has 2 entries for the 1 names in qimlist"),
        (["qimlist", 1], b"q", r"qimlist\[1\]: expected an image name, got bytes"),
        (["gnd", 1], [1], r"gnd\[1\]: expected a dictionary with easy, hard, junk and bbx, got list"),
        (["gnd", 1, "easy"], KeyError, r"gnd\[1\]: has no 'easy'; files of the old protocol"),
        (["gnd", 1, "easy"], [8], r"gnd\[1\]\['easy'\]\[0\]: expected a whole number from 0 to 7, got 8"),
        (["gnd", 1, "easy"], [-1], "from 0 to 7, got -1"),
        (["gnd", 1, "easy"], [1.5], "from 0 to 7, got 1.5"),
        (["gnd", 1, "easy"], [True], "from 0 to 7, got 1"),
        (["gnd", 1, "easy"], ["a1"], "from 0 to 7, got 'a1'"),
        (["gnd", 1, "easy"], [[1]], "from 0 to 7, got list"),
        (["gnd", 1, "easy"], {"a": 1}, "expected a list, got dict"),
        (["gnd", 1, "easy"], [6], r"gnd\[1\]: image 6 \('a6'\) is both easy and junk"),
        (["gnd", 0, "bbx"], KeyError, r"gnd\[0\]: has no 'bbx'"),
        (["gnd", 0, "bbx"], [1, 2, 3], r"gnd\[0\]\['bbx'\]: expected a box of four numbers"),
        (["gnd", 0, "bbx"], np.array([3, 2, 1, 4]), "x1 < x2"),
        (["gnd", 0, "bbx"], None, "expected a list, got NoneType"),
    ],
)
def test_door(tmp_path, path, value, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, changed(path, value))


def test_other_contents(tmp_path):
    for content, message in (
        ([1, 2], "got list"),
        ({}, "got nothing"),
        (
            {**GND, "gnd": [{"easy": [], "hard": [], "junk": [], "bbx": [1, 2, 3, 4]}] * 2},
            "no query has an easy or hard",
        ),
    ):
        with pytest.raises(InputError, match=message):
            read(tmp_path, content)
    for data, message in (
        (b"<html>404</html>", r"damaged: .*; it begins with b'<html>404</html>'"),
        (b"hello", r"damaged: it takes things that it did not put there; it begins with b'hello'"),
    ):
        (tmp_path / "gnd.pkl").write_bytes(data)
        with pytest.raises(InputError, match=rf"gnd.pkl: not a ground truth pickle, or {message}"):
            read_truth("rparis6k", tmp_path / "gnd.pkl")


def test_names_and_boxes_are_said_with_their_places(tmp_path):
    truth = read(tmp_path, GND)
    assert truth.place_of(GND["imlist"][1]) == "imlist[1]" and truth.place_of(GND["qimlist"][0]) == "qimlist[0]"
    assert truth.place_of("nothing") == "" and truth.queries[1].place.endswith("gnd.pkl, gnd[1]['bbx']")
    with pytest.raises(InputError, match=r"gnd.pkl, imlist\[0\]: expected an image name, without '..', got '../../etc"):
        read(tmp_path, {**GND, "imlist": ["../../etc/passwd", *GND["imlist"][1:]]})
    gnd = [{**GND["gnd"][0], "bbx": [1.5, float("nan"), 3, float("inf")]}, *GND["gnd"][1:]]
    with pytest.raises(InputError, match=r"gnd\[0\]\['bbx'\]: expected a box .*, got 1.5 nan 3 inf$"):
        read(tmp_path, {**GND, "gnd": gnd})


def test_too_large(tmp_path):
    with (tmp_path / "gnd.pkl").open("wb") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(InputError, match="expected at most 16,777,216 bytes"):
        read_truth("rparis6k", tmp_path / "gnd.pkl")


def test_one_list_in_many_entries(tmp_path):
    """A small file in which 3,000 queries share one list of 3,000 answers claims nine million answers."""
    shared = list(range(3000))
    content = {
        "imlist": [f"a{number}" for number in range(3000)],
        "qimlist": [f"q{number}" for number in range(3000)],
        "gnd": [{"easy": shared, "hard": [], "junk": [], "bbx": [1, 2, 3, 4]} for _ in range(3000)],
    }
    with pytest.raises(InputError, match="gnd: more than 4,000,000 answers"):
        read(tmp_path, content)
