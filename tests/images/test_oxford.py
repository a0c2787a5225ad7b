"""Oxford's text files: the published ones, and every way to break them."""

import pytest

from resight.errors import InputError
from resight.images.truth import read_truth


def write(folder, stem="hall_1", query="oxc1_hall_000013 136.5 34.1 648.5 955.7\n", **groups):
    folder.mkdir(exist_ok=True)
    files = {"query": query, "good": "hall_000013\n", "ok": "x\ny\n", "junk": "j\n"} | groups
    for kind, text in files.items():
        if text is not None:
            (folder / f"{stem}_{kind}.txt").write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def test_made_up(tmp_path):
    write(tmp_path / "gt", good="hall_000013\nhall_000013\n\n", junk="")
    write(tmp_path / "gt", "hall_10")
    write(tmp_path / "gt", "hall_2", query="paris_hall_000001 1 2 3 4")
    (tmp_path / "gt" / "README.txt").write_text("not a ground truth file")
    truth = read_truth("oxford5k", tmp_path / "gt")
    assert [query.name for query in truth.queries] == ["hall_1", "hall_2", "hall_10"]
    first = truth.queries[0]
    assert (first.image, first.box) == ("hall_000013", (136.5, 34.1, 648.5, 955.7))
    assert truth.positives(first, "all") == {"hall_000013", "x", "y"} and truth.ignored(first, "all") == set()
    assert truth.queries[1].image == "paris_hall_000001"
    assert (truth.own, truth.database, truth.published_images) == ("counts", None, 5063)
    assert read_truth("paris6k", tmp_path / "gt").published_images == 6392


def test_places(tmp_path):
    truth = read_truth("oxford5k", write(tmp_path / "gt"))
    found = [truth.place_of(name) for name in ("hall_000013", "y", "j", "z")]
    assert found == ["hall_1_query.txt, line 1", "hall_1_ok.txt, line 2", "hall_1_junk.txt, line 1", ""]
    assert truth.queries[0].place == f"{tmp_path}/gt/hall_1_query.txt, line 1"


def test_published(real_images):
    """55 queries of 11 landmarks; counts of all_souls_1 as in its files; every query is one of its own positives."""
    folder = real_images("oxford5k-groundtruth")
    truth = read_truth("oxford5k", folder)
    assert len(truth.queries) == 55 and len({query.name.rpartition("_")[0] for query in truth.queries}) == 11
    first = truth.queries[0]
    assert (first.name, first.image, first.box) == ("all_souls_1", "all_souls_000013", (136.5, 34.1, 648.5, 955.7))
    for kind, names in first.groups.items():
        assert names == set((folder / f"all_souls_1_{kind}.txt").read_text().split())
    assert all(query.image in truth.positives(query, "all") for query in truth.queries)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ok": None}, r"hall_1_ok.txt: missing, though hall_1_\w+.txt is there"),
        ({"query": None}, r"hall_1_query.txt: missing"),
        ({"query": ""}, r"hall_1_query.txt: expected one line 'name x1 y1 x2 y2', got 0 lines"),
        ({"query": "a 1 2 3 4\nb 1 2 3 4"}, r"hall_1_query.txt: expected one line .* got 2 lines"),
        ({"query": "a 1 2 3"}, r"hall_1_query.txt, line 1: expected 'name x1 y1 x2 y2', got 'a 1 2 3'"),
        ({"query": "a 1 2 x 4"}, r"hall_1_query.txt, line 1: expected a box of four numbers"),
        ({"query": "\na 3 2 1 4"}, r"hall_1_query.txt, line 2: expected a box .* x1 < x2"),
        ({"query": "a 1 2 nan 4"}, r"hall_1_query.txt, line 1: expected a box .* x1 < x2"),
        ({"good": "two words\n"}, r"hall_1_good.txt, line 1: expected one image name without spaces, got 'two words'"),
        ({"junk": "j\nx\n"}, r"hall_1_junk.txt, line 2: 'x' is junk here, and ok in .*hall_1_ok.txt, line 1"),
        ({"good": "", "ok": "\n"}, r"hall_1_good.txt: empty, and so is hall_1_ok.txt"),
        (
            {"ok": "x\n\n../../etc/passwd\n"},
            r"hall_1_ok.txt, line 3: expected an image name, without '..', got '../../e",
        ),
        ({"query": "../a 1 2 3 4"}, r"hall_1_query.txt, line 1: expected an image name, without '..', got '../a'"),
        ({"good": b"\xff\xfe"}, r"hall_1_good.txt: not UTF-8 at byte 0"),
        ({"good": "a\x00b\n"}, r"hall_1_good.txt, line 1: holds a control character"),
        ({"good": "a" * 5000}, r"hall_1_good.txt, line 1: expected at most 4,096 characters, got 5,000"),
        ({"good": "a\n" * 600_000}, r"hall_1_good.txt: expected at most 1,048,576 bytes"),
    ],
)
def test_door(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        read_truth("oxford5k", write(tmp_path / "gt", **changes))


def test_folder_of_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"expected files such as all_souls_1_query.txt, got none"):
        read_truth("oxford5k", tmp_path)
    with pytest.raises(InputError, match="expected the folder of oxford5k's ground truth files"):
        read_truth("oxford5k", tmp_path / "notes.txt")
