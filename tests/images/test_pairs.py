"""Pairs from a CSV file."""

import pytest

from resight.errors import InputError
from resight.images.truth import read_truth


def pairs(tmp_path, text):
    (tmp_path / "pairs.csv").write_text(text)
    return read_truth("pairs", tmp_path / "pairs.csv")


def test_pairs(tmp_path):
    truth = pairs(
        tmp_path,
        "query,positive,kind,x1,y1,x2,y2\n"
        "a.jpg,b.jpg,,1,2,3,4\na.jpg,c.jpg,positive,,,,\na.jpg,d.jpg,junk,1,2,3,4\nb.jpg,a.jpg,,,,,\nz.jpg,y.jpg,junk\n",
    )
    first, second, third = truth.queries
    assert (first.name, first.image, first.box) == ("a.jpg", "a.jpg", (1, 2, 3, 4))
    assert truth.positives(first, "all") == {"b.jpg", "c.jpg"} and truth.ignored(first, "all") == {"d.jpg", "a.jpg"}
    assert second.box is None and truth.positives(second, "all") == {"a.jpg"}
    assert truth.positives(third, "all") == set()
    assert (truth.own, truth.database) == ("removed", None)
    found = [truth.place_of(f"{name}.jpg") for name in "acyx"]
    assert found == ["pairs.csv, line 2", "pairs.csv, line 3", "pairs.csv, line 6", ""]
    assert first.place == f"{tmp_path}/pairs.csv, line 2" and second.place == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query,answer\na,b\n", "line 1: expected a column 'positive'"),
        ("query,positive\na,\n", "line 2: the cell under 'positive' is empty"),
        ("query,positive\n ,b\n", "line 2: the cell under 'query' is empty"),
        ("query,positive\na,b\na,../b\n", "pairs.csv, line 3: expected an image name, without '..', got '../b'"),
        ("query,positive\na,a\n", "line 2: 'a' is given as the answer to itself"),
        ("query,positive,kind\na,b,jnk\n", "kind on line 2 of .*pairs.csv: 'jnk', did you mean 'junk'"),
        ("query,positive,kind\na,b,\na,b,junk\n", "line 3: 'b' is junk to 'a' here, and positive on line 2"),
        ("query,positive,x1,y1,x2,y2\na,b,1,2,3\n", "line 2: expected a box of four numbers"),
        ("query,positive,x1,y1,x2,y2\na,b,1,2,3,4\na,c,1,2,3,5\n", "line 3: the box of 'a' differs from .* line 2"),
        ("query,positive\n", "got no positive"),
        ("query,positive,kind\na,b,junk\n", "got no positive"),
    ],
)
def test_door(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        pairs(tmp_path, text)
