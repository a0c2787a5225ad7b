import shutil

import pytest
from training_samples import TINY, class_folders

from resight.errors import InputError
from resight.images.examples import read_examples
from resight.train.classifier import train_classifier
from resight.train.groups import folder_notes, grouped
from resight.train.options import TrainOptions

FOLDER = TrainOptions(groups="folder")


@pytest.fixture
def takes(tmp_path):
    """Two classes of four nights with four images each."""
    for name in ("cirrus", "stratus"):
        for night in range(4):
            made = class_folders(tmp_path / "made", each=4, classes=("red",)) / "red"
            for number, file in enumerate(sorted(made.iterdir())):
                with file.open("ab") as stream:
                    stream.write(f"{name}{night}{number}".encode())  # another content
            (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
            made.rename(tmp_path / "photos" / name / f"night{night}")
            shutil.rmtree(tmp_path / "made")
    return tmp_path / "photos"


def test_images_of_a_folder_are_one_group(takes):
    found = grouped(read_examples(takes), FOLDER)
    assert {item.group for item in found.items} == {
        f"{name}/night{n}" for name in ("cirrus", "stratus") for n in range(4)
    }
    assert all(item.path.parent == takes / item.group for item in found.items)
    assert grouped(found, TrainOptions()) is found


def test_groups_of_a_list_stay(takes, tmp_path):
    rows = ["path,label,group", "photos/cirrus/night0/0.png,cirrus,mine", "photos/stratus/night1/0.png,stratus,"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    found = grouped(read_examples(tmp_path / "list.csv"), FOLDER)
    assert [item.group for item in found.items] == ["mine", "photos/stratus/night1"]


def test_a_folder_in_two_parts_is_refused(takes, tmp_path):
    rows = ["path,label,split"]
    rows += [f"photos/{name}/night0/{n}.png,{name},{part}" for name in ("cirrus", "stratus")
             for n, part in enumerate(("train", "val"))]  # fmt: skip
    (tmp_path / "list.csv").write_text("\n".join(rows))
    with pytest.raises(InputError, match=r"the group 'photos/cirrus/night0' is in train .* and in val"):
        grouped(read_examples(tmp_path / "list.csv"), FOLDER)


def test_takes_that_are_split_image_by_image_are_told(takes, tmp_path):
    (note,) = folder_notes(read_examples(takes), TrainOptions())
    assert note.startswith("images of 8 folders inside the classes, such as cirrus/night0, are split one by one: ")
    assert "--groups folder" in note and "--sequences" in note and "column group" in note
    assert folder_notes(read_examples(takes), FOLDER) == []
    assert folder_notes(read_examples(takes), TrainOptions(validation=0.0)) == []
    assert folder_notes(read_examples(takes), TrainOptions(validation=0.0), folds=3)
    assert folder_notes(read_examples(takes, sequences=True), TrainOptions(sequences=True)) == []
    assert folder_notes(read_examples(class_folders(tmp_path / "flat", each=2)), TrainOptions()) == []
    parts = tmp_path / "parts"
    for part in ("train", "val"):
        shutil.copytree(takes, parts / part)
    assert folder_notes(read_examples(parts), TrainOptions()) == []
    assert folder_notes(read_examples(parts), TrainOptions(test=0.2))


def test_folders_where_the_data_names_all_groups(takes, tmp_path):
    rows = ["path,label,group"]
    rows += [f"photos/{name}/night0/{n}.png,{name},{name}{n}" for name in ("cirrus", "stratus") for n in (0, 1)]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    said = ["groups folder has no effect: the data names a group for each example, which stays"]
    assert folder_notes(read_examples(tmp_path / "list.csv"), FOLDER) == said
    assert folder_notes(read_examples(tmp_path / "list.csv"), TrainOptions()) == []
    (tmp_path / "list.csv").write_text("\n".join([*rows, "photos/cirrus/night1/0.png,cirrus,"]))
    assert folder_notes(read_examples(tmp_path / "list.csv"), FOLDER) == []


@pytest.mark.usefixtures("one_thread")
def test_a_run_keeps_folders_whole(takes, tmp_path):
    told = []
    quick = {**TINY, "tune": "head", "epochs": 1, "validation": 0.25}
    run = train_classifier(takes, tmp_path / "run", **quick, groups="folder", tell=told.append)
    items = read_examples(run.split_file).items
    parts = {folder: {item.part for item in items if item.path.parent == folder} for folder in takes.glob("*/*")}
    assert sorted(len(part) for part in parts.values()) == [1] * 8
    assert sum(part == {"val"} for part in parts.values()) == 2 and not any("one by one" in line for line in told)
    assert all(takes / item.group == item.path.parent for item in items)
    train_classifier(takes, tmp_path / "other", **quick, tell=told.append)
    assert sum("are split one by one" in line for line in told) == 1
