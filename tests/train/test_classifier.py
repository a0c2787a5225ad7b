"""A training from the data to the run."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from training_samples import TINY, class_folders, clip_folders

import resight.train
from resight.errors import InputError, WorkError
from resight.images.examples import read_examples
from resight.train.classifier import train_classifier
from resight.train.folds import FoldedRuns
from resight.train.options import TrainOptions
from resight.train.plan import rank
from resight.train.run_files import SKIPPED, SPLIT
from resight.train.runs import Run

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = {**TINY, "tune": "head", "epochs": 2, "lr": 0.01}
EPOCHS = {**TINY, "epochs": 2, "lr": 0.01, "augment": "flip", "batch": 8}


@pytest.fixture
def data(tmp_path):
    return class_folders(tmp_path / "data", each=6)


def rows(run):
    """metrics.csv but for the times."""
    with (run.folder / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def test_the_main_job(data, tmp_path):
    lines, told = [], []
    run = train_classifier(data, tmp_path / "run", **EPOCHS, report=lines.append, tell=told.append)
    assert sorted(file.name for file in run.folder.iterdir()) == sorted(
        "run.json options.yaml split.csv skipped.csv metrics.csv curves.png tensorboard checkpoints".split()
        + ["model.safetensors"]
    )
    assert sorted(file.name for file in (run.folder / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    record = run.record
    assert record["state"] == "finished" and record["epochs"] == 2 and record["last"]["epoch"] == 2
    assert record["best"]["val_accuracy"] == max(one.val_accuracy for one in run.history.epochs)
    assert record["data"]["digest"] == read_examples(data).digest and record["fresh"] == [
        "rgb: all layers (random)",
        "head",
    ]
    assert {"python", "torch", "lightning", "resight"} <= record["versions"].keys()
    assert [line.epoch for line in lines] == [1, 2] and lines[-1].left == 0
    assert told[0].startswith("rgb: test_resnet at 32 pixels, tune all; new: ")
    assert told[1] == f"15 train, 3 val, 0 test images of 3 classes, from {data}"
    again = read_examples(run.folder / SPLIT)  # the split is a data set of its own
    assert {part: len(again.of(part)) for part in ("train", "val")} == {"train": 15, "val": 3}


def test_the_weights_kept_are_those_of_the_best_epoch(data, tmp_path):
    run = train_classifier(data, tmp_path / "run", **{**EPOCHS, "epochs": 4, "lr": 0.03})
    val = read_examples(run.split_file).of("val")
    truth = [run.classes.index(item.label) for item in val.items]
    scores = [row for _, row in run.scores([item.path for item in val.items])]
    loss = float(torch.nn.functional.nll_loss(torch.tensor(np.stack(scores)).log(), torch.tensor(truth)))
    right = sum(int(row.argmax() == label) for row, label in zip(scores, truth, strict=True))
    best = run.history.best
    assert best is not None
    assert right / len(truth) == best.val_accuracy and loss == pytest.approx(best.val_loss, abs=1e-4)


def test_the_same_twice_is_bit_identical_and_another_seed_is_not(data, tmp_path):
    runs = [train_classifier(data, tmp_path / name, **EPOCHS, seed=seed) for name, seed in zip("abc", (1, 1, 2))]
    digests = [run.record["model"]["sha256"] for run in runs]
    assert digests[0] == digests[1] != digests[2] and rows(runs[0]) == rows(runs[1])


def test_features_computed_once_are_those_computed_each_time(data, tmp_path):
    """tune head with kept features against the frozen network in every step."""
    options = {**QUICK, "dropout": 0.0, "augment": "none"}
    kept = train_classifier(data, tmp_path / "kept", **options)
    with pytest.MonkeyPatch.context() as patch:
        import resight.train.preparing as module

        patch.setattr(module, "BANKED", ())
        each = train_classifier(data, tmp_path / "each", **options)
    for one, two in zip(kept.history.epochs, each.history.epochs, strict=True):
        assert one.train_loss == pytest.approx(two.train_loss, abs=1e-5)
        assert one.val_loss == pytest.approx(two.val_loss, abs=1e-5)


def test_unreadable_images_are_listed_and_not_learned_from(data, tmp_path):
    (data / "red" / "2.png").write_bytes(b"nothing")
    (data / "blue" / "3.png").write_bytes((data / "blue" / "3.png").read_bytes()[:200])
    told = []
    run = train_classifier(data, tmp_path / "run", **QUICK, tell=told.append)
    with (run.folder / SKIPPED).open() as file:
        listed = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert sorted(listed) == [str(data / "blue" / "3.png"), str(data / "red" / "2.png")] and all(listed.values())
    counted = run.record["split"]
    assert counted["skipped"] == 2 and counted["train"] + counted["val"] == 16  # those do not count
    assert sum(counted["train_by_class"].values()) == counted["train"]
    assert told[1] == f"{counted['train']} train, {counted['val']} val, 0 test images of 3 classes, from {data}"
    assert sum("cannot be read: " in line for line in told) == 2
    other = train_classifier(data, tmp_path / "other", **EPOCHS)
    assert other.record["split"]["skipped"] == 2
    assert other.history.epochs[0].images == other.record["split"]["train"]


def test_a_class_without_a_readable_image(data, tmp_path):
    for file in (data / "green").iterdir():
        file.write_bytes(b"nothing")
    with pytest.raises(WorkError, match=r"class 'green' has nothing to train on, none of its images .* can be read"):
        train_classifier(data, tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


def test_validation_without_a_readable_image(tmp_path):
    data = class_folders(tmp_path / "data" / "train", each=3).parent
    for name in ("blue", "red"):
        (data / "val" / name).mkdir(parents=True)
        (data / "val" / name / "0.png").write_bytes(name.encode())
    with pytest.raises(WorkError, match="none of the 2 images for validation can be read"):
        train_classifier(data, tmp_path / "run", **QUICK)


def test_a_class_that_is_only_tested(tmp_path):
    data = class_folders(tmp_path / "data" / "train", each=3, classes=("blue", "red")).parent
    class_folders(data / "test", each=1)
    with pytest.raises(InputError, match="class 'green' has nothing to train on, all its images are for"):
        train_classifier(data, tmp_path / "run", **QUICK)


def test_early_stop_needs_validation(data, tmp_path):
    with pytest.raises(InputError, match="early_stop needs images to validate with"):
        train_classifier(data, tmp_path / "run", **QUICK, validation=0.0, early_stop=1)
    assert not (tmp_path / "run").exists()


def test_shares_that_the_data_makes_idle_are_told(tmp_path):
    data = class_folders(tmp_path / "data" / "train", each=4).parent
    class_folders(data / "test", each=1)
    told = []
    train_classifier(data, tmp_path / "run", **QUICK, test=0.2, tell=told.append)
    assert "  the data has a part test of its own: test 0.2 is not used" in told


def test_data_left_out_without_a_run(tmp_path):
    with pytest.raises(InputError, match="give the data"):
        train_classifier(None, tmp_path / "run", **QUICK)
    with pytest.raises(InputError, match="run holds no run to go on with: give the data as well"):
        train_classifier(None, tmp_path / "run", **QUICK, resume=True)


@pytest.fixture
def materials(monkeypatch):
    """What the engine was given in each training, in order."""
    from resight.train import engine

    seen, real = [], engine.train_network

    def spy(network, options, material, folder, **given):
        seen.append(material)
        return real(network, options, material, folder, **given)

    monkeypatch.setattr(engine, "train_network", spy)
    return seen


@pytest.mark.parametrize("tune", ["all", "head"])
def test_validation_sees_the_images_as_they_are_and_the_test_part_is_not_seen(data, tmp_path, materials, tune):
    chosen = {**EPOCHS, "augment": "standard", "epochs": 1, "mask": "circle", "tune": tune}
    run = train_classifier(data, tmp_path / "run", **chosen, test=0.2)
    (material,) = materials
    items = read_examples(data).items

    def fitted(places):
        return torch.stack([run.fitting(items[place].path) for place in places])

    assert torch.equal(material.val[0, material.val_places].inputs, fitted(material.val_places))
    assert not torch.equal(material.train[0, material.train_places].inputs, fitted(material.train_places))
    tested = {item.path for item in read_examples(run.split_file).of("test").items}
    assert len(tested) == 3
    places = {*material.train_places, *material.val_places, *material.train.stored, *material.val.stored}
    assert not tested & {items[place].path for place in places}


def test_kept_features_of_validation_are_not_mirrored(data, tmp_path, materials):
    train_classifier(data, tmp_path / "run", **{**QUICK, "epochs": 1})
    (material,) = materials
    assert {len(material.val.stored[place]) for place in material.val_places} == {1}
    assert {len(material.train.stored[place]) for place in material.train_places} == {2}


def test_balancing_never_sees_validation_images(tmp_path, materials):
    data = class_folders(tmp_path / "data", each=6)
    for number in range(6, 14):
        shutil.copy(data / "red" / "0.png", data / "red" / f"{number}.png")
        with (data / "red" / f"{number}.png").open("ab") as file:
            file.write(bytes(number))  # another content
    for balance in ("none", "weights", "sampler"):
        train_classifier(data, tmp_path / balance, **QUICK, balance=balance, validation=0.3)
    none, weights, sampler = materials
    labels = [weights.train.labels[place] for place in weights.train_places]
    counts = [labels.count(one) for one in range(3)]
    assert weights.class_weights == pytest.approx([len(labels) / (3 * count) for count in counts])
    assert len(set(counts)) > 1
    assert sampler.chances == pytest.approx([weights.class_weights[one] for one in labels])
    assert none.class_weights is None and none.chances is None
    for material in materials:
        assert not set(material.train_places) & set(material.val_places)
    assert none.val_places == weights.val_places == sampler.val_places


def test_folds(data, tmp_path):
    found = train_classifier(data, tmp_path / "folds", **QUICK, folds=3)
    assert isinstance(found, FoldedRuns) and len(found.runs) == 3
    validated = [item.path for run in found.runs for item in read_examples(run.split_file).of("val").items]
    assert len(validated) == len(set(validated)) == 18
    assert found.mean == pytest.approx(sum(found.accuracies) / 3)
    summary = json.loads((tmp_path / "folds" / "folds.json").read_text())
    assert (
        summary["accuracies"] == list(found.accuracies) == [run.history.epochs[-1].val_accuracy for run in found.runs]
    )
    shutil.rmtree(tmp_path / "folds" / "fold-2")
    again = train_classifier(data, tmp_path / "folds", **QUICK, folds=3, resume=True)
    assert [run.record["model"] for run in again.runs] == [run.record["model"] for run in found.runs]
    with pytest.raises(InputError, match="is there already and is not overwritten"):
        train_classifier(data, tmp_path / "folds", **QUICK, folds=3)
    shutil.rmtree(tmp_path / "folds" / "fold-3")
    alone = train_classifier(None, tmp_path / "folds", resume=True)  # data, options and folds are the runs'
    assert [run.record["model"] for run in alone.runs] == [run.record["model"] for run in found.runs]
    with pytest.raises(InputError, match="begun with other choices: folds 3, now 2"):
        train_classifier(data, tmp_path / "folds", **QUICK, folds=2, resume=True)
    with pytest.raises(InputError, match=r"holds folds, each a run of its own: give one of them, such as .*fold-1$"):
        Run.open(tmp_path / "folds")


def test_no_validation(data, tmp_path):
    run = train_classifier(data, tmp_path / "run", **QUICK, validation=0.0)
    assert run.record["best"]["val_accuracy"] is None and run.record["best"]["epoch"] == 2
    assert run.record["split"]["val"] == 0


def test_fusion_and_sift_and_sequences_train(data, tmp_path):
    small = {**QUICK, "size": 64}
    fusion = train_classifier(data, tmp_path / "fusion", **small, input="fusion")
    assert set(fusion.record["network"]) == {"rgb", "sift"}
    sift = train_classifier(data, tmp_path / "sift", **{**small, "tune": "all"}, input="sift", augment="none")
    assert (
        set(sift.record["network"]) == {"sift"}
        and len(list(Run.open(sift.folder).scores([data / "red" / "0.png"]))) == 1
    )
    clips = clip_folders(tmp_path / "clips")
    for tune in ("head", "all"):
        run = train_classifier(clips, tmp_path / tune, **{**QUICK, "tune": tune}, augment="none", head="gru", frames=3,
                               sequences=True, validation=0.25)  # fmt: skip
        assert run.record["split"]["val"] == 2 and run.options.motion == "yes"


def test_weights_that_are_missing_are_told_before_anything_is_written(data, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        train_classifier(data, tmp_path / "run", **{**QUICK, "weights": str(tmp_path / "none.pth")})
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number(data, tmp_path):
    with pytest.raises(WorkError, match=r"the loss .* of epoch \d is (nan|inf).*--lr"):
        train_classifier(data, tmp_path / "run", **{**EPOCHS, "lr": 1000.0, "epochs": 20}, optimiser="sgd", warmup=0.0)


def test_lightning_missing_is_one_line(data, tmp_path, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lightning" else real(name))
    with pytest.raises(InputError, match=r"training needs lightning: pip install 'resight\[train\]'"):
        train_classifier(data, tmp_path / "run", **QUICK)


def test_door(data, tmp_path):
    with pytest.raises(InputError, match="give options, or epochs: not both"):
        train_classifier(data, tmp_path / "run", TrainOptions(), epochs=3)
    with pytest.raises(InputError, match="unknown training option 'epoch', did you mean 'epochs'"):
        train_classifier(data, tmp_path / "run", epoch=3)
    with pytest.raises(InputError, match="need the option sequences"):
        train_classifier(read_examples(data), tmp_path / "run", sequences=True)


def test_which_process_this_is(monkeypatch):
    one, two = TrainOptions(), TrainOptions(devices=2, nodes=3)
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    assert rank(one) == rank(two) == 0
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert rank(one) == 0 and rank(two) == 1
    monkeypatch.setenv("NODE_RANK", "2")
    assert rank(two) == 5
    monkeypatch.setenv("RANK", "3")
    assert rank(two) == 3


@pytest.mark.parametrize("name", resight.train.__all__)
def test_public_names_load_on_first_use(name):
    assert getattr(resight.train, name) is not None


def test_a_new_first_convolution_is_not_left_as_it_was_drawn(data, tmp_path):
    for chosen in ("sift", "fusion"):
        with pytest.raises(InputError, match="use tune all"):
            train_classifier(data, tmp_path / "no", input=chosen, tune="head")
    assert not (tmp_path / "no").exists()
