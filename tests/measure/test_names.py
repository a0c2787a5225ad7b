"""Which rows the names of a ground truth mean."""

import numpy as np
import pytest

from resight.errors import InputError
from resight.images.truth import Query, Setting, Truth
from resight.measure.missing import MissingImages
from resight.measure.names import name_index


def truth(own="removed", database=None, distractors=False, image="q", answers="ab"):
    query = Query("query", image, None, {"positive": frozenset(answers)})
    return Truth("toy", (query,), {"all": Setting(("positive",))}, database, own, distractors=distractors)


def test_trailing_components_with_or_without_suffix():
    paths = ["/d/x/a.jpg", "/d/y/b.v2.PNG", "/d/y/q.jpg"]
    for a, b, q in (("a", "b.v2", "q"), ("a.jpg", "b.v2.PNG", "y/q"), ("x/a", "./y/b.v2", "d/y/q.jpg"), paths):
        index = name_index(truth(image=q, answers=[a, b]), paths)
        assert index.rows == {q: 2, a: 0, b: 1}
        assert index.queries.tolist() == [2] and index.missing == ()


def test_folder_tells_two_apart():
    index = name_index(truth(image="o/q", answers=["x/a", "y/a"]), ["/d/y/a.jpg", "/d/x/a.jpg", "/xx/a.jpg"])
    assert index.rows == {"x/a": 1, "y/a": 0} and index.queries.tolist() == [-1]


def test_two_images_of_one_name_are_both_named():
    with pytest.raises(InputError, match=r"'a' of the ground truth means two images, /x/a.jpg and /y/a.png: give"):
        name_index(truth(answers="a"), ["/x/a.jpg", "/y/a.png"])
    assert name_index(truth(answers=["/x/a.jpg"]), ["/y/x/a.jpg", "/x/a.jpg"]).rows == {"/x/a.jpg": 1}


def test_two_names_of_one_image():
    with pytest.raises(InputError, match="mean the same image"):
        name_index(truth(answers=["a", "x/a"]), ["/x/a.jpg"])


def test_missing_images_are_refused_or_counted():
    answers = [f"i{number}" for number in range(18)]
    with pytest.raises(MissingImages, match=r"17 of the 18 images of the toy .* are not .* i1, i10, ") as caught:
        name_index(truth(answers=answers), ["i0.jpg"])
    assert "i17, i2 and 7 more (--missing-list FILE or --json names all): add them" in str(caught.value)
    assert caught.value.missing == tuple(sorted(answers[1:]))
    index = name_index(truth(answers=answers), ["i0.jpg"], allow_missing=True)
    assert len(index.missing) == 17 and index.rows == {"i0": 0}
    with pytest.raises(InputError, match=r"none of the 2 images .* is it the right collection"):
        name_index(truth(), ["z.jpg"], allow_missing=True)


def test_query_must_be_there_only_where_it_counts():
    for own in ("removed", "absent"):
        assert name_index(truth(own), ["a", "b"]).missing == ()
    with pytest.raises(InputError, match=r"1 of the 3 images .* is not .*: q: add"):
        name_index(truth("counts"), ["a", "b"])


@pytest.mark.parametrize(
    ("own", "database", "distractors", "searched"),
    [
        ("removed", None, False, [1, 1, 1, 1]),
        ("absent", None, False, [1, 1, 0, 1]),
        ("absent", ("a", "b"), False, [1, 1, 0, 0]),
        ("absent", ("a", "b"), True, [1, 1, 0, 1]),
        ("removed", ("a", "b", "q"), False, [1, 1, 1, 0]),
    ],
)
def test_what_is_searched(own, database, distractors, searched):
    index = name_index(truth(own, database, distractors), ["a", "b", "q", "z"])
    assert np.array_equal(index.database, np.array(searched, bool))


@pytest.mark.parametrize("name", ["", "/", "../a", "."])
def test_names_that_are_none(name):
    with pytest.raises(InputError, match="expected image names in the ground truth and the collection"):
        name_index(truth(answers=[name]), ["a"])
