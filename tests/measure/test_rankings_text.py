"""Rankings as text files, there and back."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.images.truth import Query, Setting, Truth
from resight.measure.names import name_index
from resight.measure.protocols import score_rankings
from resight.measure.rankings_text import (
    index_of_rankings,
    query_of,
    ranked_rows,
    ranking_file,
    ranking_names,
    read_rankings,
)

PATHS = [f"/d/{name}.jpg" for name in "axjbyc"]


def truth(*names):
    groups = {"good": frozenset("abc"), "junk": frozenset("j")}
    queries = tuple(Query(name, "q", None, groups) for name in names or ["q"])
    return Truth("toy", queries, {"all": Setting(("good",), ("junk",))}, tuple("axjbyc"), "absent")


def test_golden_there_and_back(tmp_path):
    names = ranking_names(truth(), name_index(truth(), PATHS), PATHS)
    text = "".join(f"{names[path]}\n" for path in PATHS)
    assert text == "a\nx\nj\nb\ny\nc\n"
    (tmp_path / "q.txt").write_text(text)
    (tmp_path / "r.txt").write_text("c\r\n\nb\n")
    both = truth("q", "r")
    rankings = read_rankings(tmp_path, both)
    assert rankings == (("a", "x", "j", "b", "y", "c"), ("c", "b"))
    index = name_index(both, PATHS)
    rows = ranked_rows(rankings, index, PATHS)
    assert rows == [[0, 1, 2, 3, 4, 5], [5, 3]]
    found = score_rankings(rows, both, index).settings["all"].ap_trapezoid
    assert found.tolist() == pytest.approx([0.711111, 2 / 3], abs=1e-6)


def names_of(paths, protocol="oxford5k", own="removed", names=None):
    """The names of images in ranking files, for a ground truth about the first two."""
    first, second = names or paths[:2]
    query = Query("q", first, None, {"positive": frozenset([second])})
    known = Truth(protocol, (query,), {"all": Setting(("positive",))}, None, own)
    return list(ranking_names(known, name_index(known, paths), paths).values())


def test_names_keep_what_is_no_image_suffix():
    assert names_of(["x/a.v2.JPG", "b.2", "c"]) == ["a.v2", "b.2", "c"]


@pytest.mark.parametrize("name", ["two words.jpg", "line\nend.jpg", ".jpg", "\udcff.jpg", " .jpg", "tab\t.jpg"])
def test_names_that_cannot_stand_in_a_file(name):
    with pytest.raises(InputError, match="cannot stand in a ranking file"):
        names_of(["a.jpg", "b.jpg", name])
    if name in ("two words.jpg", ".jpg"):
        assert names_of(["/d/a.jpg", "/d/b.jpg", f"/d/{name}"], "pairs")[2] == name
    elif name != " .jpg":
        with pytest.raises(InputError, match="cannot stand in a ranking file"):
            names_of(["/d/a.jpg", "/d/b.jpg", f"/d/{name}"], "pairs")


def test_two_images_of_one_name_can_be_told_apart_but_in_the_oxford_family():
    paths = ["/d/a/1.jpg", "/d/b/1.png", "/d/b/2.png"]
    with pytest.raises(InputError, match=r"two are called '1': /d/a/1.jpg and /d/b/1.png; rename one"):
        names_of(paths)
    assert names_of(paths, "pairs") == ["/d/a/1.jpg", "/d/b/1.png", "b/2.png"]
    assert names_of(paths, "pairs", names=("a/1", "b/1.png")) == ["a/1", "b/1.png", "b/2.png"]
    assert names_of(paths, "labels") == ["a/1.jpg", "b/1.png", "b/2.png"]


def test_rankings_alone():
    """Without a collection: names as the ground truth has them, with or without folder and suffix."""
    query = Query("q", "x/1.jpg", None, {"positive": frozenset(["y/1.jpg", "y/2.jpg"])})
    known = Truth("pairs", (query,), {"all": Setting(("positive",))})
    assert index_of_rankings(known, ["2", "x/1.jpg", "y/1.jpg", "3"]).rows == {"y/2.jpg": 0, "x/1.jpg": 1, "y/1.jpg": 2}
    assert index_of_rankings(known, ["/d/y/1.jpg", "2"]).missing == ()
    with pytest.raises(InputError, match=r"'1' in the rankings stands for two images of the ground truth: x/1"):
        index_of_rankings(known, ["1", "2"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb c\n", r"q.txt, line 2: expected one name without spaces, got 'b c'"),
        (b"a\n\nb\na\n", r"q.txt, line 4: 'a' was ranked on line 1 already"),
        (b"\xff\xff", r"q.txt: not UTF-8 at byte 0"),
        (b"a\0", r"q.txt, line 1: holds a control character"),
        (None, r"q.txt: missing: expected the ranking of query 'q'"),
    ],
)
def test_door(tmp_path, content, message):
    if content is not None:
        (tmp_path / "q.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_rankings(tmp_path, truth())


@pytest.mark.parametrize("name", ["../q", "/etc/passwd", "..", "a\\b", "a\0", ".", " "])
def test_query_names_do_not_lead_out_of_the_folder(tmp_path, name):
    (tmp_path / "q.txt").write_text("a\n")
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match=r"in/[^/]*%.*missing: expected the ranking"):
        read_rankings(tmp_path / "in", truth(name))
    (tmp_path / "in" / ranking_file(name)).write_text("b\n")
    assert read_rankings(tmp_path / "in", truth(name)) == (("b",),)


@given(st.lists(st.text(st.characters(), min_size=1, max_size=20), min_size=2, unique=True))
def test_every_query_has_a_file_of_its_own_that_names_it(queries):
    files = [ranking_file(query) for query in queries]
    assert len(set(files)) == len(files)
    assert [query_of(file) for file in files] == queries
    for file in files:
        assert len(Path(file).parts) == 1 and not file.startswith(".") and file.isprintable()
        assert not set(file) & set('/\\:*?"<>|')


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_. (),=+~-]*", fullmatch=True))
def test_plain_names_stay(query):
    assert ranking_file(query) == f"{query}.txt"


def test_names_that_collided_and_names_that_are_too_long():
    assert (
        ranking_file("a/b") == "a%2Fb.txt"
        and ranking_file("a_b") == "a_b.txt"
        and ranking_file("a%2Fb") == "a%252Fb.txt"
    )
    assert len(ranking_file("é" * 125).encode()) == 254
    with pytest.raises(InputError, match=r"query 'é{60}'...: .* name of 256 bytes, at most 255 are possible"):
        ranking_file("é" * 126)
    with pytest.raises(InputError, match="a query without a name"):
        ranking_file("")


def test_unknown_and_ambiguous_names(tmp_path):
    index = name_index(truth(), PATHS)
    with pytest.raises(InputError, match="2 names in the rankings are not in the collection: u, v"):
        ranked_rows([["a", "v"], ["u"]], index, PATHS)
    paths = [*PATHS, "/d/z.jpg", "/e/z.jpg"]
    assert ranked_rows([["a", "b"]], name_index(truth(), paths), paths) == [[0, 3]]
    with pytest.raises(InputError, match="'z' in the rankings stands for two images"):
        ranked_rows([["z"]], name_index(truth(), paths), paths)
    with pytest.raises(InputError, match="expected a folder of rankings"):
        read_rankings(tmp_path / "nowhere", truth())
