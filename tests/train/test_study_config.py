"""A study's file says what it says, and each wrong value is told with its key."""

from __future__ import annotations

import json

import pytest

from resight.errors import InputError
from resight.train.options import TrainOptions
from resight.train.study_config import Study, read_study

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
        ({"options": {"head": "tcn"}}, "rows.rgb: head has no effect on single images: give sequences as well"),
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
        ({"rows": {"a": []}}, "rows.a must be a table of names and values, got []"),
        ({"rows": {"a": False}}, "rows.a must be a table of names and values, got False"),
        ({"rows": {"a": {"test": 0.2}}}, "rows.a: a study tests on what the data itself holds back"),
        ({"options": {"test": 0.0}}, "options: a study tests on what the data itself holds back"),
        ({"options": {"device": "cpu"}}, "options: device is given by --device"),
        ({"rows": {"a": {"devices": 2}}}, "rows.a: a study trains each run in one process: leave devices out"),
        ({"rows": {"a": {"head": "gru"}}}, "rows.a: head has no effect on single images"),
        ({"rows": {"a": {"sift_backbone": "resnet18"}}}, "rows.a: sift_backbone has no effect on input rgb"),
        ({"rows": {"a": {"lr": 0.1}, "b": None, "c": {"lr": 0.1}}}, "rows 'a' and 'c' have the same options"),
        ({"test": "no"}, "test must be true or false, got 'no'"),
        ({"test": False}, "test is false, no test image is looked at: leave perturb out"),
        ({"test": False, "perturb": [], "test_images": 3}, "test is false, no test image is looked at: leave test_im"),
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
    for content in ({name: value for name, value in WHOLE.items() if name != key}, {**WHOLE, key: None}):
        with pytest.raises(InputError, match=f"expected a key '{key}'"):
            read_study(written(tmp_path, content))


def test_an_empty_value_is_as_if_left_out(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("data: sky\nseeds:\noptions:\nperturb:\nrows:\n  plain:\n  slow: {lr: 1.0e-5}\n")
    study = read_study(file)
    assert study.seeds == (0, 1, 2) and study.perturb == () and study.test
    assert dict(study.rows) == {"plain": TrainOptions(), "slow": TrainOptions(lr=1e-5)}


def test_names_are_text(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("data: sky\nrows:\n  224: {size: 224}\n")
    with pytest.raises(InputError, match="rows: a name must be text, got 224: put it into quotes"):
        read_study(file)


def test_common_options_need_not_matter_in_every_row(tmp_path):
    common = {"sift": "vlfeat:step=1", "sift_backbone": "resnet18"}
    study = read_study(written(tmp_path, {"data": "sky", "options": common, "rows": {"a": {}, "b": {"input": "sift"}}}))
    assert [options.sift_backbone for _, options in study.rows] == ["resnet18", "resnet18"]


def test_a_study_of_the_library_is_checked_too():
    for given in ({"test": 0.2}, {"devices": 2}):
        with pytest.raises(InputError, match=r"rows.a: a study t"):
            Study("sky", (("a", TrainOptions(**given)),))


def test_a_study_without_a_test(tmp_path):
    study = read_study(written(tmp_path, {"data": "sky", "rows": {"a": {}}, "test": False}))
    assert study.test is False
