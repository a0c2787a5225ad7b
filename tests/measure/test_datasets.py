"""The table of image sets, and folders that hold one or not."""

import pickle

import pytest

from resight.errors import InputError
from resight.images.truth import PROTOCOLS
from resight.measure import datasets
from resight.measure.datasets import DATASETS, Dataset, check_dataset


@pytest.fixture
def small(monkeypatch):
    """Image sets of the size of a test."""
    for name, images, queries in (("oxford5k", 4, 1), ("roxford5k", 4, 1), ("holidays", 3, 1), ("oxford100k", 2, 0)):
        monkeypatch.setitem(datasets.DATASETS, name, Dataset(name, "", images, queries, "", ("images", "truth")))


def images(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_every_protocol_is_described():
    assert set(PROTOCOLS) <= set(DATASETS)
    for name, dataset in DATASETS.items():
        assert dataset.name == name and dataset.files and dataset.licence
        assert all(where.startswith(("https://", "http://")) for where in dataset.where)


def test_oxford(small, tmp_path):
    (tmp_path / "gt").mkdir()
    for kind, text in (("query", "oxc1_a 1 2 3 4"), ("good", "a\nb"), ("ok", ""), ("junk", "c")):
        (tmp_path / "gt" / f"hall_1_{kind}.txt").write_text(text)
    images(tmp_path, "jpg/a.jpg", "jpg/b.jpg")
    found = check_dataset("oxford5k", tmp_path)
    assert (found.images, found.truth, found.missing, found.extra) == (2, str(tmp_path / "gt"), ("c",), 0)
    assert found.problems == (
        "2 images too few: expected 4",
        "1 images of the ground truth are missing, such as c",
    )
    images(tmp_path, "jpg/c.jpg", "jpg/d.jpg", "jpg/e.jpg")
    found = check_dataset("oxford5k", tmp_path)
    assert found.complete and found.extra == 1 and repr(found) == "<Check oxford5k: 5 images, 0 missing, complete>"


def test_revisited_needs_its_queries_too(small, tmp_path):
    entry = {"easy": [0], "hard": [], "junk": [], "bbx": [0, 0, 1, 1]}
    content = {"imlist": ["a", "b", "c"], "qimlist": ["q"], "gnd": [entry]}
    (tmp_path / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(content))
    images(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    assert check_dataset("roxford5k", tmp_path).problems == ("1 images of the ground truth are missing, such as q",)
    images(tmp_path, "q.jpg")
    assert check_dataset("roxford5k", tmp_path).complete


def test_names_are_the_truth_and_distractors_have_none(small, tmp_path):
    images(tmp_path, "100000.jpg", "100001.jpg", "100002.jpg")
    assert check_dataset("holidays", tmp_path).complete
    assert check_dataset("oxford100k", tmp_path).extra == 1
    images(tmp_path, "100101.jpg")
    assert "lacks its query 100100.jpg" in check_dataset("holidays", tmp_path).problems[0]


def test_what_is_not_there(small, tmp_path):
    found = check_dataset("oxford5k", tmp_path)
    assert found.problems == ("no images: expected images", "no ground truth: expected truth")
    (tmp_path / "hall_1_query.txt").write_text("")
    assert "missing, though" in check_dataset("oxford5k", tmp_path).problems[-1]
    with pytest.raises(InputError, match="unknown image set 'oxford', did you mean"):
        check_dataset("oxford", tmp_path)
    with pytest.raises(InputError, match="expected the folder that holds oxford5k"):
        check_dataset("oxford5k", tmp_path / "nowhere")


def test_the_published_ground_truth_is_known_by_its_checksum(real_images, tmp_path):
    for file in real_images("oxford5k-groundtruth").glob("*.txt"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert not any("checksum" in problem for problem in check_dataset("oxford5k", tmp_path).problems)
    good = tmp_path / "all_souls_1_good.txt"
    good.write_text(good.read_text().replace("all_souls_000026", "all_souls_000027"))
    assert any("checksum" in problem for problem in check_dataset("oxford5k", tmp_path).problems)
