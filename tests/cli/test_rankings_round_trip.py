"""Rankings that `--save-rankings` writes give the same scores through `--load`, for every protocol."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from samples import picture

from resight.cli import run
from resight.images.truth import PROTOCOLS

FILES = {
    "oxford5k": ["all_souls_000000", "all_souls_000001", "all_souls_000002", "bodleian_000000", "bodleian_000001"],
    "holidays": ["jpg1/100000", "jpg1/100001", "jpg2/100002", "jpg2/100100", "jpg2/100101", "jpg2/100102"],
    "ukbench": [f"full/ukbench{number:05d}" for number in range(8)],
    "copydays": ["original/200000", "original/200100", "strong/200001", "strong/200102", "jpeg/3/200000",
                 "jpeg/3/200100", "crops/50/200000"],
    "pairs": ["a/1", "a/2", "a/3", "b/1", "b/2", "b/3"],
    "labels": ["x/a/1", "x/a/2", "x/a/3 with spaces", "y/b/1", "y/b/2", "y/b/3 with spaces"],
}  # fmt: skip
FILES["paris6k"] = FILES["oxford5k"]
FILES["roxford5k"] = FILES["rparis6k"] = FILES["oxford5k"]
PAIRS = """query,positive,kind
a/1.png,b/1.png,
a/1.png,b/2.png,
b/3.png,a/3.png,
b/3.png,a/2.png,junk
b/2.png,a/3.png,
"""


def write_truth(protocol, root, tmp_path):
    """The ground truth of the images below `root`, as an argument of --truth."""
    if protocol in ("oxford5k", "paris6k"):
        (tmp_path / "gt").mkdir()
        for query, good, junk in (("all_souls", "12", ""), ("bodleian", "01", "")):
            start = tmp_path / "gt" / f"{query}_1"
            prefix = "oxc1_" if protocol == "oxford5k" else ""
            start.with_name(f"{query}_1_query.txt").write_text(f"{prefix}{query}_000000 1 1 30 30\n")
            start.with_name(f"{query}_1_good.txt").write_text("".join(f"{query}_00000{n}\n" for n in good))
            for group in ("ok", "junk"):
                start.with_name(f"{query}_1_{group}.txt").write_text(junk)
        return tmp_path / "gt"
    if protocol in ("roxford5k", "rparis6k"):
        import pickle

        names = FILES[protocol]
        gnd = [{"easy": [0, 1], "hard": [3], "junk": [2], "bbx": [1, 1, 30, 30]}]
        content = {"imlist": names[1:], "qimlist": names[:1], "gnd": gnd}
        (tmp_path / "gnd.pkl").write_bytes(pickle.dumps(content, protocol=2))
        return tmp_path / "gnd.pkl"
    if protocol == "pairs":
        (tmp_path / "pairs.csv").write_text(PAIRS)
        return tmp_path / "pairs.csv"
    return root / "set"


@pytest.fixture
def made(request, tmp_path, capsys):
    """(protocol, a collection of its images and three others, options that say what is right)."""
    protocol, root = request.param, tmp_path / "images"
    for number, name in enumerate([*(f"set/{name}" for name in FILES[protocol]), "extra/1", "extra/2x", "more/1 of 2"]):
        if protocol in ("oxford5k", "paris6k", "roxford5k", "rparis6k") and name == "more/1 of 2":
            name = "more/3x"
        if protocol == "pairs" and name.startswith("extra"):
            name = f"extra/{name}"  # extra/extra/1 is not a/1
        file = root / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number, 40, 48)).save(file)
    options = ["--backbone", "test_resnet", "--weights", "random", "--size", "32"]
    source = root / "set" if protocol == "labels" else root
    assert run(["index", str(source), "--to", str(tmp_path / "c.resight"), *options]) == 0
    truth = ["--labels", "folder"] if protocol == "labels" else [
        "--protocol", protocol, "--truth", str(write_truth(protocol, root, tmp_path)),
    ]  # fmt: skip
    capsys.readouterr()
    return protocol, tmp_path / "c.resight", truth


def scores(capsys, *words):
    code = run(["evaluate", *map(str, words), "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    found = json.loads(out)
    return {name: found[name] for name in ("settings", "ns")}


@pytest.mark.parametrize("made", sorted(FILES), indirect=True)
def test_there_and_back(made, tmp_path, capsys):
    """With and without the collection; and in the text form of the predecessor where that can tell images apart."""
    protocol, collection, truth = made
    expected = scores(capsys, collection, *truth, "--then", "aqe:k=2", "--save-rankings", tmp_path / "r")
    assert scores(capsys, collection, *truth, "--load", tmp_path / "r") == expected
    if protocol == "labels":
        assert run(["evaluate", *truth, "--load", str(tmp_path / "r")]) == 2
        assert "which collection?" in capsys.readouterr().err
        return
    assert scores(capsys, *truth, "--load", tmp_path / "r") == expected
    if protocol in ("holidays", "ukbench"):
        for file in (tmp_path / "r").iterdir():
            names = [line.rpartition("/")[2].removesuffix(".png") for line in file.read_text().splitlines()]
            file.write_text("".join(f"{name}\n" for name in names))
        assert scores(capsys, *truth, "--load", tmp_path / "r") == expected


def test_every_protocol_is_tried():
    assert set(FILES) == {*PROTOCOLS, "labels"}


@pytest.mark.parametrize("made", ["labels", "oxford5k"], indirect=True)
def test_the_names_in_the_files(made, tmp_path, capsys):
    protocol, collection, truth = made
    scores(capsys, collection, *truth, "--save-rankings", tmp_path / "r")
    files = sorted((tmp_path / "r").iterdir())
    lines = sorted(files[0].read_text().splitlines())
    if protocol == "labels":
        assert files[0].name == "x%2Fa%2F1.png.txt"
        assert lines == ["x/a/2.png", "x/a/3 with spaces.png", "y/b/1.png", "y/b/2.png", "y/b/3 with spaces.png"]
    else:
        assert [file.name for file in files] == ["all_souls_1.txt", "bodleian_1.txt"]
        assert lines == sorted([*FILES["oxford5k"], "1", "2x", "3x"])


@pytest.mark.parametrize("made", ["holidays"], indirect=True)
def test_loaded_scores_have_a_key(made, tmp_path, capsys):
    _, collection, truth = made
    scores(capsys, collection, *truth, "--save-rankings", tmp_path / "r")
    keys = []
    for changed in (False, True):
        if changed:
            file = tmp_path / "r" / "100000.txt"
            file.write_text("".join(reversed(file.read_text().splitlines(keepends=True))))
        assert run(["evaluate", *truth, "--load", str(tmp_path / "r")]) == 0
        out = capsys.readouterr().out
        line = next(line for line in out.splitlines() if line.startswith("  protocol"))
        assert "rankings from files" in line
        keys.append(line.split()[1])
    assert keys[0] != keys[1] and all(len(key) == 13 for key in keys)
