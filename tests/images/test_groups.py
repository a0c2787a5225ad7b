"""Ground truth in file names: Holidays, UKBench, Copydays."""

import pytest

from resight.errors import InputError
from resight.images.groups import copydays, holidays, ukbench
from resight.images.truth import read_truth


def test_holidays():
    truth = holidays(["100101.jpg", "x/100000.jpg", "100001.jpg", "100002.jpg", "100100.jpg", "flickr_7.jpg"])
    assert [(query.name, query.image) for query in truth.queries] == [
        ("100000", "x/100000.jpg"),
        ("100100", "100100.jpg"),
    ]
    assert truth.positives(truth.queries[0], "all") == {"100001.jpg", "100002.jpg"}
    assert truth.ignored(truth.queries[0], "all") == {"x/100000.jpg"}
    assert (truth.database, truth.published_images) == (None, 1491)


def test_ukbench():
    names = [f"full/ukbench{number:05d}.jpg" for number in range(8)]
    truth = ukbench(reversed(names))
    assert [query.image for query in truth.queries] == names
    assert truth.positives(truth.queries[5], "all") == set(names[4:])  # its own image counts


def test_copydays():
    truth = copydays([
        "original/200000.jpg", "original/200100.jpg", "strong/200001.jpg", "strong/200002.jpg",
        "jpeg/75/200100.jpg", "crops/50/200000.jpg", "crops/5/200000.jpg", "distractors/9.jpg",
    ])  # fmt: skip
    assert truth.database == ("original/200000.jpg", "original/200100.jpg")
    assert (truth.own, truth.distractors, len(truth.queries)) == ("absent", True, 5)
    assert list(truth.settings) == ["all", "strong", "jpeg", "crops", "crops/5", "crops/50", "jpeg/75"]
    by_name = {query.name: query for query in truth.queries}
    assert truth.positives(by_name["strong/200002"], "strong") == {"original/200000.jpg"}
    assert truth.positives(by_name["strong/200002"], "all") == {"original/200000.jpg"}
    assert truth.positives(by_name["strong/200002"], "crops") == set()
    assert truth.positives(by_name["jpeg/75/200100"], "jpeg/75") == {"original/200100.jpg"}


def test_copydays_in_one_folder():
    truth = copydays(["200000.jpg", "200001.jpg", "200100.jpg"])
    assert [query.image for query in truth.queries] == ["200001.jpg"]
    assert list(truth.settings) == ["all", "strong"]


def test_from_a_folder_and_from_a_list(tmp_path):
    for name in ("100000.jpg", "sub/100001.jpg", "notes.txt"):
        (tmp_path / "h" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "h" / name).write_bytes(b"")
    (tmp_path / "list.txt").write_text("100000.jpg\nsub/100001.jpg\n\n")
    folder, listed = (read_truth("holidays", tmp_path / place) for place in ("h", "list.txt"))
    assert folder.queries == listed.queries and folder.queries[0].groups["positive"] == {"sub/100001.jpg"}


@pytest.mark.parametrize(
    ("read", "names", "message"),
    [
        (holidays, ["cat.jpg"], "expected names such as 100000.jpg, got none"),
        (holidays, ["100001.jpg"], "the group of '100001.jpg' lacks its query 100000.jpg"),
        (holidays, ["a/100000.jpg", "b/100000.jpg"], "'b/100000.jpg' and 'a/100000.jpg' have the same number"),
        (ukbench, ["ukbench00000.jpg"], "expected 4 images of the object ukbench00000 .. 00003, got 1"),
        (ukbench, [], "expected names such as ukbench00000.jpg"),
        (copydays, ["original/200000.jpg"], "got 1 originals and 0 copies"),
        (copydays, ["original/200000.jpg", "strong/200101.jpg"], "'strong/200101.jpg' has no original 200100.jpg"),
        (copydays, ["200000.jpg", "original/200000.jpg", "strong/200001.jpg"], "are the same original"),
    ],
)
def test_door(read, names, message):
    with pytest.raises(InputError, match=message):
        read(names)


def test_a_list_of_names_is_said_with_its_lines(tmp_path):
    (tmp_path / "names.txt").write_text("100000.jpg\n\n100001.jpg\n")
    truth = read_truth("holidays", tmp_path / "names.txt")
    assert [truth.place_of(f"{number}.jpg") for number in (100000, 100001, 100002)] == [
        "names.txt, line 1", "names.txt, line 3", "",
    ]  # fmt: skip
    (tmp_path / "names.txt").write_text("100000.jpg\n../100001.jpg\n")
    with pytest.raises(InputError, match=r"names.txt, line 2: expected an image name, without '..'"):
        read_truth("holidays", tmp_path / "names.txt")
