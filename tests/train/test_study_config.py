"""A study's file says what it says, and each wrong value is told with its key."""

from __future__ import annotations

import json

import pytest

from resight.errors import InputError
from resight.train.study_config import read_study

WHOLE = {
    "data": "sky",
    "seeds": [3, 1],
    "train_images": 20,
    "perturb": ["rotate=90"],
    "options": {"size": 64, "epochs": 2, "backbone": "resnet18", "weights": "w.pth"},
    "rows": {"rgb": {"input": "rgb"}, "both": {"input": "fusion", "epochs": 7, "weights": "random"}},
}


def written(folder, content):
    file = folder / "mine.json"
    file.write_text(json.dumps(content))
    return file


def test_rows_take_what_is_common_and_their_own(tmp_path):
    study = read_study(written(tmp_path, WHOLE))
    rows = dict(study.rows)
    assert list(rows) == ["rgb", "both"]
    assert (rows["rgb"].epochs, rows["both"].epochs, rows["both"].size) == (2, 7, 64)
    assert rows["rgb"].weights == str(tmp_path / "w.pth") and rows["both"].weights == "random"
    assert study.data == str(tmp_path / "sky") and study.out == str(tmp_path / "mine") and study.name == "mine"
    assert study.seeds == (3, 1) and study.train_images == 20


def test_out_may_be_given(tmp_path):
    assert read_study(written(tmp_path, WHOLE), tmp_path / "there").out == str(tmp_path / "there")


def test_a_preset_stands_behind_what_is_given(tmp_path):
    content = {"data": "sky", "preset": "deepsky", "rows": {"a": {"input": "fusion"}, "b": {"size": 64}}}
    rows = dict(read_study(written(tmp_path, content)).rows)
    assert (rows["a"].epochs, rows["a"].size, rows["b"].epochs, rows["b"].size) == (10, 280, 50, 64)


def test_the_example_can_be_read():
    from pathlib import Path

    study = read_study(Path(__file__).parents[2] / "examples" / "study.yaml")
    assert [options.input for _, options in study.rows] == ["rgb", "sift", "sift", "fusion"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seds": [1]}, "unknown key 'seds', did you mean 'seeds'?"),
        ({"rows": {}}, "rows is empty"),
        ({"rows": {"a": {"inptu": "rgb"}}}, "rows.a: unknown training option 'inptu', did you mean 'input'"),
        ({"rows": {"a": {"input": "rbg"}}}, "rows.a: unknown input 'rbg', did you mean 'rgb'?"),
        ({"rows": {"a": {"seed": 1}}}, "rows.a: seed is given by seeds"),
        ({"rows": {"../a": {}}}, "1 to 80 characters without / and"),
        ({"rows": {"..": {}}}, "1 to 80 characters without / and"),
        ({"rows": {"A": {}, "a": {}}}, "the same name but for case"),
        ({"rows": ["a"]}, "rows must be a table"),
        ({"rows": {"a": {"sequences": True}, "b": {}}}, "do not go together"),
        ({"seeds": [1, 1]}, "seeds has one twice"),
        ({"seeds": []}, "seeds is empty"),
        ({"seeds": 3}, "seeds must be a list"),
        ({"seeds": list(range(501))}, "at most 1,000 runs, this one has 1,002"),
        ({"train_images": 1}, "train_images must be 0 (all) or at least 2"),
        ({"test_images": "all"}, "test_images takes whole numbers"),
        ({"perturb": ["rotat=90"]}, "did you mean 'rotate'"),
        ({"preset": "deepsy"}, "rows.rgb: unknown preset 'deepsy', did you mean 'deepsky'?"),
    ],
)
def test_wrong_values(tmp_path, change, said):
    file = written(tmp_path, {**WHOLE, **change})
    with pytest.raises(InputError) as caught:
        read_study(file)
    assert said in str(caught.value) and str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["data", "rows"])
def test_what_must_be_there(tmp_path, key):
    with pytest.raises(InputError, match=f"expected a key '{key}'"):
        read_study(written(tmp_path, {name: value for name, value in WHOLE.items() if name != key}))
