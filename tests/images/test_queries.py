"""Queries, settings and truths: which names count, and what is refused."""

import pytest

from resight.errors import InputError
from resight.images.queries import Query, Setting, Truth, checked_box

GROUPS = {"good": frozenset("ab"), "ok": frozenset("c"), "junk": frozenset("j")}
OLD = {"all": Setting(("good", "ok"), ("junk",))}


def truth(own, image="a", **changes):
    values = {"queries": (Query("q", image, None, GROUPS),), "settings": OLD, "database": None, "own": own}
    return Truth("toy", **{**values, **changes})


def test_own_image_by_rule():
    """The query's image is also one of its positives: only "counts" leaves it there."""
    for own, positives, ignored in (("counts", "abc", "j"), ("removed", "bc", "ja"), ("absent", "bc", "j")):
        made = truth(own)
        assert made.positives(made.queries[0], "all") == set(positives)
        assert made.ignored(made.queries[0], "all") == set(ignored)


def test_names_once_in_order_of_first_use():
    made = truth("absent", "q", database=("z", "a"))
    assert made.names() == ("q", "a", "b", "c", "j", "z")


def test_box_becomes_floats():
    box = Query("q", "a", ["1", 2, 3.5, 4]).box
    assert box == (1.0, 2.0, 3.5, 4.0) and all(type(corner) is float for corner in box)


@pytest.mark.parametrize("box", [(1, 2, 3), "abcd", (1, 2, "x", 4), 5, None, (1, 2, 3, None), (1, 2, 10**400, 4)])
def test_box_that_is_none(box):
    with pytest.raises(InputError, match="here: expected a box of four numbers x1 y1 x2 y2, got"):
        checked_box(box, "here")


@pytest.mark.parametrize(
    "box", [(3, 2, 1, 4), (1, 2, 1, 4), (1, 4, 3, 2), (1, 2, 3, float("nan")), (0, 0, float("inf"), 1)]
)
def test_box_out_of_order(box):
    with pytest.raises(InputError, match="x1 < x2 and y1 < y2, got"):
        checked_box(box, "here")


def test_box_error_is_short_for_nested_values():
    value = [1]
    for _ in range(60):
        value = [value, value]  # its full text would have 2^60 letters
    with pytest.raises(InputError, match=r"got list list$"):
        checked_box(value, "here")


def test_doors():
    with pytest.raises(InputError, match="query 'q': 'a' is both good and junk"):
        Query("q", "a", None, {"good": frozenset("a"), "junk": frozenset("ab")})
    with pytest.raises(InputError, match="none of them ignored"):
        Setting(("easy",), ("easy",))
    with pytest.raises(InputError, match="did you mean 'removed'"):
        truth("remove")
    with pytest.raises(InputError, match="no queries, so nothing to measure"):
        truth("absent", queries=())
    with pytest.raises(InputError, match="two queries are called 'q'"):
        truth("absent", queries=(Query("q", "a"), Query("q", "b")))
    with pytest.raises(InputError, match="unknown setting of toy 'al', did you mean 'all'"):
        truth("absent").positives(Query("q", "a"), "al")
