"""Which images a run is tested on: its own parts, the data's, all of them; leaks and labels that it does not know."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
from made_runs import colour_images, make_run
from PIL import Image
from training_samples import clip_folders

from resight.errors import InputError
from resight.images.examples import read_examples
from resight.train.classifier import train_classifier
from resight.train.held_out import held_out, learn_and_test
from resight.train.runs import Run
from resight.train.seen_before import seen_before, trained_parts

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that has held a third of its data back for testing, and its data, in a folder of their own."""
    root = tmp_path_factory.mktemp("run")
    return make_run(root / "run", colour_images(root / "data"), test=0.34, validation=0.17)


def names(chosen):
    return sorted(f"{item.label}/{item.path.name}" for item in chosen.items)


def parts_of(run):
    rows = csv.DictReader(run.split_file.open())
    found = {part: [] for part in ("train", "val", "test")}
    for row in rows:
        found[row["part"]].append("/".join(row["path"].split("/")[-2:]))
    return {part: sorted(members) for part, members in found.items()}


def write_rows(file, rows, columns=("path", "label")):
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([columns, *rows])
    return file


@pytest.mark.parametrize("part", ["train", "val", "test"])
@pytest.mark.parametrize("given", [True, False])
def test_data_of_the_run_has_the_parts_of_the_run(run, part, given):
    data = run.record["data"]["source"]
    found = held_out(run, data if given else None, part=part)
    assert names(found) == parts_of(run)[part]
    assert found.source == data
    assert (found.part, found.left_out) == (part, {})
    told = "this is no test" in " ".join(found.notes)
    assert told == (part == "train")


def test_the_parts_together_are_all(run):
    members = [name for part in ("train", "val", "test") for name in names(held_out(run, part=part))]
    assert len(set(members)) == len(members) == 18
    assert set(trained_parts(run).values()) == {"train", "val", "test"}
    whole = held_out(run, part="all", allow_leak=True)
    assert names(whole) == sorted(members)
    assert any("were trained on" in note for note in whole.notes)


def test_moved_data_is_known_by_its_digest(run, tmp_path):
    shutil.copytree(run.record["data"]["source"], tmp_path / "elsewhere")
    assert names(held_out(run, tmp_path / "elsewhere")) == parts_of(run)["test"]


def test_a_list_of_the_runs_own_images_has_its_parts_too(run, tmp_path):
    items = read_examples(run.record["data"]["source"]).items[::2]
    listed = write_rows(tmp_path / "some.csv", [(item.path, item.label) for item in items])
    found = held_out(run, listed)
    half = {f"{item.label}/{item.path.name}" for item in items}
    assert names(found) == sorted(half & set(parts_of(run)["test"]))


def test_other_data_without_parts_is_taken_whole(run, tmp_path):
    found = held_out(run, colour_images(tmp_path / "new", 3, seed=9))
    assert len(found) == 9
    assert found.notes == (f"{tmp_path / 'new'} has no parts: all of it is tested",)


def test_other_data_with_parts_keeps_them(run, tmp_path):
    for number, part in enumerate(("train", "test")):
        colour_images(tmp_path / "new", 2 + number, part=part, seed=20 + number)
    assert len(held_out(run, tmp_path / "new")) == 9
    found = held_out(run, tmp_path / "new", part="train")
    assert len(found) == 6
    assert found.notes == ()
    with pytest.raises(InputError, match=r"no val images \(6 train, 9 test\).*one of train, test, all"):
        held_out(run, tmp_path / "new", part="val")


def test_a_run_that_held_nothing_back_says_so(run, tmp_path):
    plain = make_run(tmp_path / "plain", run.record["data"]["source"], test=0.0)
    with pytest.raises(InputError, match=r"no test images held back by the run \(15 train, 3 val\)"):
        held_out(plain, run.record["data"]["source"])
    with pytest.raises(InputError, match="give other data, or another --part, one of train, val, all"):
        held_out(plain)


def test_training_images_under_another_name_are_refused(run, tmp_path):
    colour_images(tmp_path / "new", 2, seed=9)
    trained = held_out(run, part="train").items[0]
    shutil.copy(trained.path, tmp_path / "new" / trained.label / "copy.png")
    with pytest.raises(InputError, match=r"1 of its 7 images were trained on, such as .*copy\.png: that is no test"):
        held_out(run, tmp_path / "new")
    found = held_out(run, tmp_path / "new", allow_leak=True)
    assert any("1 of the 7 images were trained on under the same or another name" in note for note in found.notes)


def test_copies_in_a_test_part_of_the_data_are_told(run, tmp_path):
    colour_images(tmp_path / "new", 2, part="test", seed=9)
    trained = held_out(run, part="train").items[0]
    shutil.copy(trained.path, tmp_path / "new" / "test" / trained.label / "copy.png")
    found = held_out(run, tmp_path / "new")
    assert len(found) == 7
    assert any("1 of the 7 images were trained on" in note for note in found.notes)


def test_a_training_image_named_for_testing_is_refused(run, tmp_path):
    new = read_examples(colour_images(tmp_path / "new", 1, seed=9)).items
    trained = held_out(run, part="train").items[0]
    rows = [(item.path, item.label, "test") for item in (*new, trained)]
    listed = write_rows(tmp_path / "mixed.csv", rows, ("path", "label", "split"))
    with pytest.raises(InputError, match="1 of its 4 images were trained on"):
        held_out(run, listed)
    assert len(held_out(run, listed, allow_leak=True)) == 4


def test_images_that_chose_the_epoch_are_told(run, tmp_path):
    colour_images(tmp_path / "new", 2, seed=9)
    validated = held_out(run, part="val").items[0]
    shutil.copy(validated.path, tmp_path / "new" / validated.label / "copy.png")
    found = held_out(run, tmp_path / "new")
    assert any("1 of the 7 images were used to choose the epoch" in note for note in found.notes)


def test_labels_never_seen(run, tmp_path):
    colour_images(tmp_path / "new", 2, seed=9)
    (tmp_path / "new" / "blue").rename(tmp_path / "new" / "Blue")
    (tmp_path / "new" / "green").rename(tmp_path / "new" / "violet")
    with pytest.raises(InputError, match=r"4 of 6 images .* never seen in training: 'Blue' \(2\), 'violet' \(2\)"):
        held_out(run, tmp_path / "new")
    found = held_out(run, tmp_path / "new", ignore_unknown=True)
    assert found.left_out == {"Blue": 2, "violet": 2}
    assert len(found) == 2
    assert any("no images of 'blue', 'green' to test" in note for note in found.notes)
    (tmp_path / "new" / "red").rename(tmp_path / "new" / "rot")
    with pytest.raises(InputError, match="none of its labels was seen in training: known are 'blue', 'green', 'red'"):
        held_out(run, tmp_path / "new", ignore_unknown=True)


def test_one_image_of_one_class_will_do(run, tmp_path):
    colour_images(tmp_path / "new", 1, classes=("red",), seed=9)
    assert names(held_out(run, tmp_path / "new")) == ["red/0.png"]


def test_training_images_that_are_gone_are_told(run, tmp_path):
    data = shutil.copytree(run.record["data"]["source"], tmp_path / "data")
    other = make_run(tmp_path / "run", data, test=0.34)
    gone = held_out(other, part="train").items[0].path
    Image.open(gone).close()
    gone.unlink()
    found = held_out(other, colour_images(tmp_path / "new", 1, seed=9))
    assert any("1 of the" in note and "no longer there to be compared with" in note for note in found.notes)
    shutil.rmtree(data)
    with pytest.raises(InputError, match="was trained on cannot be read, give data instead"):
        held_out(other)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.png,red\n", "expected a column 'part'"),
        ("path,label,part\na.png,red,later\n", "line 2: expected a path and its part, one of train, val, test"),
        ("", "expected a column 'path'"),
    ],
)
def test_a_damaged_split(run, tmp_path, text, message):
    folder = shutil.copytree(run.folder, tmp_path / "run")
    (folder / "split.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        held_out(type(run).open(folder, "cpu"), colour_images(tmp_path / "new", 1, seed=9))


def test_doors(run, tmp_path):
    with pytest.raises(InputError, match="unknown part 'tset', did you mean 'test'"):
        held_out(run, part="tset")
    with pytest.raises(InputError, match="nothing"):
        held_out(run, tmp_path / "nothing")
    clips = colour_images(tmp_path / "clips" / "a", 2).parent
    with pytest.raises(InputError, match=r"this run is of images, and .* was read as sequences"):
        held_out(run, read_examples(clips, sequences=True, least=1))


def test_fit_and_test_for_another_classifier(run, tmp_path):
    train, test = learn_and_test(run)
    assert sorted(f"{item.label}/{item.path.name}" for item in train) == parts_of(run)["train"]
    assert names(test) == parts_of(run)["test"]
    other = colour_images(tmp_path / "new", 2, seed=9)
    train, test = learn_and_test(run, other)
    assert sorted(f"{item.label}/{item.path.name}" for item in train) == parts_of(run)["train"]
    assert len(test) == 6


def test_another_classifier_may_have_other_classes(run, tmp_path):
    for number, part in enumerate(("train", "test")):
        colour_images(tmp_path / "new", 2, part=part, classes=("blue", "red"), seed=20 + number)
        (tmp_path / "new" / part / "red").rename(tmp_path / "new" / part / "rouge")
    train, test = learn_and_test(run, tmp_path / "new")
    assert {item.label for item in train} == {"blue", "rouge"} == {item.label for item in test.items}
    (tmp_path / "new" / "test" / "rouge").rename(tmp_path / "new" / "test" / "rosso")
    with pytest.raises(InputError, match=r"never seen in training: 'rosso' \(2\); known are 'blue', 'rouge'"):
        learn_and_test(run, tmp_path / "new")


def test_a_split_is_a_data_set(run):
    """split.csv feeds back as it is, whatever its column of parts is called."""
    again = read_examples(run.split_file)
    parts = {part: sorted(f"{item.label}/{item.path.name}" for item in again.of(part).items) for part in parts_of(run)}
    assert parts == parts_of(run)
    assert names(held_out(run, run.split_file)) == parts_of(run)["test"]


def test_sequences_are_called_so(tmp_path):
    data = clip_folders(tmp_path / "clips", each=6)
    run = make_run(tmp_path / "run", data, sequences=True, frames=2, size=32, test=0.34, validation=0.0)
    with pytest.raises(InputError, match=r"no val sequences \(8 train, 4 test\)"):
        held_out(run, part="val")
    with pytest.raises(InputError, match=r"of its 12 sequences were trained on, .* give other sequences, or"):
        held_out(run, part="all")
    assert "these are the sequences that the run was trained on: this is no test" in held_out(run, part="train").notes
    (clip_folders(tmp_path / "new") / "red").rename(tmp_path / "new" / "rot")
    with pytest.raises(InputError, match=r"4 of 8 sequences have labels that were never seen"):
        held_out(run, tmp_path / "new")
    assert (
        "no sequences of 'red' to test" in held_out(run, tmp_path / "new", ignore_unknown=True, allow_leak=True).notes
    )


def test_what_the_start_of_a_run_was_trained_on_is_no_test(run, tmp_path):
    later = tmp_path / "later"
    make_run(later, colour_images(tmp_path / "data", seed=7), test=0.34, validation=0.17)
    record = json.loads((later / "run.json").read_text())
    assert len(held_out(Run.open(later, "cpu"), run.split_file, part="train")) == 9  # nothing to do with each other
    for weights in (run.folder, run.folder / "model.safetensors"):
        record["network"]["rgb"]["weights"] = str(weights)
        (later / "run.json").write_text(json.dumps(record))
        with pytest.raises(InputError, match="were trained on"):
            held_out(Run.open(later, "cpu"), run.split_file, part="train")
        assert len(held_out(Run.open(later, "cpu"), run.split_file)) == 6


@pytest.fixture
def chain(run, tmp_path):
    """Three generations: a run, one on other images that starts from it, and one on others still that starts there."""
    start = run.folder
    for name in ("second", "third"):
        data = colour_images(tmp_path / f"data of {name}", seed=len(name))
        given = {"backbone": "test_resnet", "size": 64, "device": "cpu", "workers": 0, "epochs": 1, "test": 0.34}
        start = train_classifier(data, tmp_path / name, weights=str(start), **given).folder
    return start


def test_a_run_keeps_what_those_before_it_were_trained_on(run, chain, tmp_path):
    kept = [path for path, part in seen_before(run).items() if part == "train"]
    with (tmp_path / "second" / "learned_before.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == list(map(str, kept))
    second = Run.open(tmp_path / "second", "cpu")
    shutil.rmtree(second.folder)  # and yet nothing is forgotten
    third = Run.open(chain, "cpu")
    assert {path for path, part in seen_before(third).items() if part == "train"} >= set(kept)
    assert not set(kept) & set(trained_parts(third))
    for data, own in ((run, run), (second, third)):
        source = data.record["data"]["source"]
        with pytest.raises(InputError, match="were trained on"):
            held_out(third, source)
        assert len(held_out(own)) == 6
    make_run(second.folder, colour_images(tmp_path / "none of them", seed=30))
    with pytest.raises(InputError, match="were trained on"):
        held_out(third, run.record["data"]["source"])
    (chain / "learned_before.csv").unlink()
    with pytest.raises(InputError, match=r"learned_before.csv: expected a CSV file, got none"):
        held_out(third)


def test_the_note_of_a_training_looks_further_back_than_one_run(run, chain, tmp_path):
    told = []
    given = {"backbone": "test_resnet", "size": 64, "device": "cpu", "workers": 0, "epochs": 1, "seed": 9}
    train_classifier(run.record["data"]["source"], tmp_path / "new", weights=str(chain), **given, tell=told.append)
    assert any(f"{chain}, or a run before it, was trained on" in line and "validation examples" in line
               for line in told)  # fmt: skip


def test_a_start_that_lost_its_split_is_told(run, tmp_path):
    start = shutil.copytree(run.folder, tmp_path / "start")
    (start / "split.csv").unlink()
    given = {"backbone": "test_resnet", "size": 64, "device": "cpu", "workers": 0, "epochs": 1, "test": 0.34}
    made = train_classifier(colour_images(tmp_path / "data", seed=8), tmp_path / "new", weights=str(start), **given)
    assert f"whether they were trained on by {start}, which training started from, cannot be told" in " ".join(
        held_out(made).notes
    )


def test_sequences_whose_frames_were_trained_on_one_by_one(tmp_path):
    """Each clip is a folder of the class, so a run of single images takes its frames."""
    data = clip_folders(tmp_path / "clips", each=6)
    given = {"backbone": "test_resnet", "size": 32, "device": "cpu", "workers": 0, "epochs": 1}
    frames = train_classifier(data, tmp_path / "frames", weights="random", groups="folder", validation=0.0, **given)
    told = []
    later = {**given, "weights": str(frames.folder), "sequences": True, "frames": 2, "test": 0.34, "validation": 0.0}
    run = train_classifier(data, tmp_path / "run", **later, tell=told.append)
    assert any("was trained on 4 of the 4 test examples" in line for line in told)
    with pytest.raises(InputError, match="4 of its 4 sequences were trained on as single frames, such as"):
        held_out(run)
    assert len(held_out(run, allow_leak=True)) == 4
    copied = tmp_path / "copied"
    shutil.copytree(data, copied)
    assert any("4 of the 4 sequences were trained on as single frames under the same or another name" in note
               for note in held_out(run, copied).notes)  # fmt: skip
    shutil.rmtree(copied / "blue" / "clip-0")  # so that it is not that data any more
    with pytest.raises(InputError, match="11 of its 11 sequences were trained on"):
        held_out(run, read_examples(copied, sequences=True))
    other = clip_folders(tmp_path / "other", each=1, frames=(1,))
    for file in other.rglob("*.png"):
        Image.new("RGB", (9, 9), (len(file.parts), 7, 9)).save(file)
    assert len(held_out(run, other)) == 2


def test_frames_of_sequences_that_were_trained_on(tmp_path):
    clips = clip_folders(tmp_path / "clips", each=6)
    takes = make_run(tmp_path / "takes", clips, sequences=True, frames=2, size=32, validation=0.0)
    given = {"backbone": "test_resnet", "size": 32, "device": "cpu", "workers": 0, "epochs": 1}
    new = colour_images(tmp_path / "new", classes=("blue", "red"))
    run = train_classifier(new, tmp_path / "run", weights=str(takes.folder), **given)
    frames = sorted(clips.rglob("*.png"))
    listed = write_rows(tmp_path / "list.csv", [(frame, frame.parts[-3]) for frame in frames[:6] + frames[-6:]])
    with pytest.raises(InputError, match="12 of its 12 images were trained on as frames of sequences"):
        held_out(run, listed)


def test_runs_that_start_from_each_other_end(run, tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, other in (folders, folders[::-1]):
        shutil.copytree(run.folder, folder)
        record = json.loads((folder / "run.json").read_text())
        record["network"]["rgb"]["weights"] = str(other)
        (folder / "run.json").write_text(json.dumps(record))
    assert set(seen_before(Run.open(folders[0], "cpu")).values()) == {"train", "val"}


def test_what_could_not_be_read_was_not_seen(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run.folder, copy)
    before = seen_before(Run.open(run.folder, "cpu"))
    lost = next(path for path, part in before.items() if part == "train")
    with (run.folder / "split.csv").open(newline="") as file:
        rows = [(run.folder / row["path"], row["label"], row["part"]) for row in csv.DictReader(file)]
    write_rows(copy / "split.csv", rows, ("path", "label", "part"))
    write_rows(copy / "skipped.csv", [(lost, "train", "truncated")], ("path", "part", "reason"))
    assert set(before) - set(seen_before(Run.open(copy, "cpu"))) == {lost}
