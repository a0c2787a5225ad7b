"""Runs of trainings that were stopped, and runs whose weights are lost."""

import csv
import json
import shutil

import pytest
import torch
from training_samples import TINY, class_folders, clip_folders

from resight.errors import InputError, WorkError
from resight.images.examples import read_examples
from resight.train import finish_run
from resight.train.checkpoints import read_checkpoint
from resight.train.classifier import train_classifier
from resight.train.run_files import BEST, LAST, MODEL, RECORD
from resight.train.run_folders import reserved
from resight.train.runs import Run

pytestmark = pytest.mark.usefixtures("one_thread")
EPOCHS = {**TINY, "epochs": 4, "lr": 0.03, "augment": "flip", "batch": 8}
# A learning rate at which later epochs are worse than the first.
WILD = {"optimiser": "sgd", "lr": 0.2, "warmup": 0.0, "schedule": "constant", "seed": 1}
HEAD = {**EPOCHS, "tune": "head", "ema": 0.9}


@pytest.fixture
def data(tmp_path):
    return class_folders(tmp_path / "data", each=6)


def stopped(data, folder, after, **given):
    """A training that was interrupted after an epoch."""

    def stop(line):
        if line.epoch == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_classifier(data, folder, **given, report=stop)
    return folder


def killed(*given):
    raise KeyboardInterrupt


@pytest.mark.parametrize("given", [EPOCHS, HEAD], ids=["all", "head"])
def test_a_stopped_training_becomes_a_run(data, tmp_path, given):
    """Its weights are those of the best epoch so far: they give the accuracy and loss that this epoch had."""
    folder = stopped(data, tmp_path / "run", 3, **given)
    with pytest.raises(InputError, match=r"has not finished: .*--resume`; or keep .*`resight train finish "):
        Run.open(folder)
    told = []
    run = finish_run(folder, tell=told.append)
    assert told == [f"{folder}: stopped after epoch 3 of 4"]
    record = json.loads((folder / RECORD).read_text())
    assert run.record == record and record["state"] == "finished" and record["stopped"] == {"after": 3, "of": 4}
    assert record["epochs"] == record["last"]["epoch"] == 3 and record["best"]["epoch"] == run.history.best.epoch
    assert len(run.history) == 3 and (folder / "curves.png").stat().st_size > 1000
    val = read_examples(run.split_file).of("val").items
    truth = torch.tensor([run.classes.index(item.label) for item in val])
    scores = torch.stack([torch.tensor(row) for _, row in run.scores([item.path for item in val])])
    assert float((scores.argmax(1) == truth).float().mean()) == pytest.approx(record["best"]["val_accuracy"])
    loss = float(torch.nn.functional.nll_loss(scores.log(), truth))
    assert loss == pytest.approx(record["best"]["val_loss"], abs=1e-4)


def test_finishing_is_what_the_training_itself_does(data, tmp_path, monkeypatch):
    """Killed before it could write its weights: the same bytes."""
    whole = train_classifier(data, tmp_path / "whole", **HEAD)
    monkeypatch.setattr("resight.train.classifier.complete", killed)
    with pytest.raises(KeyboardInterrupt):
        train_classifier(data, tmp_path / "run", **HEAD)
    run = finish_run(tmp_path / "run")
    assert run.record["model"] == whole.record["model"] and run.record["best"] == {
        **whole.record["best"], "seconds": run.record["best"]["seconds"],
    }  # fmt: skip


def test_resume_says_that_it_was_stopped(data, tmp_path):
    folder = stopped(data, tmp_path / "run", 2, **HEAD)
    before, told = finish_run(folder).record, []
    again = train_classifier(data, folder, **HEAD, resume=True, tell=told.append)
    assert told == [f"{folder} was stopped after epoch 2 of 4; nothing is trained"] and again.record == before
    told.clear()
    assert finish_run(folder, tell=told.append).record == before
    assert told == [f"{folder} has finished before; nothing is changed"]


def test_sequences(tmp_path):
    data = clip_folders(tmp_path / "clips")
    given = {**TINY, "epochs": 3, "sequences": True, "head": "gru", "frames": 3, "tune": "head", "validation": 0.25}
    run = finish_run(stopped(data, tmp_path / "run", 2, **given))
    assert run.record["stopped"]["after"] == 2
    assert len(list(run.scores(sorted(data.glob("*/*"))))) == 8


def test_the_checkpoint_of_the_best_epoch_lost(data, tmp_path):
    """The last epoch is kept then, and that is said."""
    folder = stopped(data, tmp_path / "run", 3, **{**EPOCHS, **WILD})
    last = read_checkpoint(folder / LAST)
    (folder / BEST).unlink()
    told = []
    run = finish_run(folder, tell=told.append)
    best = run.history.best.epoch
    assert best < 3 == run.record["best"]["epoch"]
    assert told[1] == f"  the weights of its best epoch, {best}, are lost: those of epoch 3 are kept"
    assert torch.equal(run.network.head.weight, last["state_dict"]["learned.head.weight"])


@pytest.mark.parametrize("given", [EPOCHS, HEAD], ids=["all", "head"])
def test_lost_weights_come_back_as_they_were(data, tmp_path, given):
    run = train_classifier(data, tmp_path / "run", **{**given, "epochs": 2})
    whole = (run.folder / MODEL).read_bytes()
    for loss in (lambda file: file.unlink(), lambda file: file.write_bytes(whole[:-1])):
        loss(run.folder / MODEL)
        with pytest.raises(WorkError, match=f"`resight train finish {run.folder}` restores it"):
            _ = Run.open(run.folder).network
        told = []
        train_classifier(data, run.folder, **{**given, "epochs": 2}, resume=True, tell=told.append)
        assert told[0] == f"{run.folder / MODEL} was lost, and is restored from {BEST}"
        assert (run.folder / MODEL).read_bytes() == whole
        loss(run.folder / MODEL)
        finish_run(run.folder, tell=told.append)
        assert (run.folder / MODEL).read_bytes() == whole and told[-1] == told[0]


def test_lost_weights_that_cannot_come_back(data, tmp_path):
    run = train_classifier(data, tmp_path / "run", **{**HEAD, "epochs": 2})
    other = train_classifier(data, tmp_path / "other", **{**HEAD, "epochs": 2, "seed": 1})
    (run.folder / MODEL).unlink()
    shutil.copy(other.folder / BEST, run.folder / BEST)
    with pytest.raises(WorkError, match="is missing, and cannot be restored"):
        train_classifier(data, run.folder, **{**HEAD, "epochs": 2}, resume=True)
    (run.folder / BEST).unlink()
    shutil.copy(other.folder / LAST, run.folder / LAST)
    with pytest.raises(WorkError, match=r"cannot be restored \(so is .*best.ckpt, and .*last.ckpt is of"):
        finish_run(run.folder)
    shutil.rmtree(run.folder / "checkpoints")
    with pytest.raises(WorkError, match=r"is missing, and so is .*best.ckpt: bring the file back, or train again"):
        finish_run(run.folder)
    with pytest.raises(WorkError, match=r"so are the checkpoints it could be restored from: bring model.safe"):
        _ = Run.open(run.folder).network
    assert not (run.folder / MODEL).exists()


def test_weights_that_only_the_head_was_trained_on(data, tmp_path):
    """The checkpoint has the head alone: the rest is read again, and must be what it was."""
    import timm

    file = tmp_path / "start.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    given = {**HEAD, "weights": str(file)}
    folders = [stopped(data, tmp_path / name, 1, **given) for name in "abc"]
    assert finish_run(folders[0]).record["stopped"]["after"] == 1
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    with pytest.raises(WorkError, match=r"cannot be put together again .*these weights have changed since"):
        finish_run(folders[1])
    file.unlink()
    with pytest.raises(WorkError, match=r"cannot be put together again .*does not exist"):
        finish_run(folders[2])
    assert json.loads((folders[2] / RECORD).read_text())["state"] == "training"


def test_door(data, tmp_path):
    with pytest.raises(InputError, match="expected the folder of a training run"):
        finish_run(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    folder = stopped(data, tmp_path / "run", 1, **HEAD)
    with reserved(folder), pytest.raises(WorkError, match="another process is training"):
        finish_run(folder)
    shutil.rmtree(folder / "checkpoints")
    (folder / "metrics.csv").unlink()
    with pytest.raises(InputError, match="no epoch of this training has ended, there is nothing to keep"):
        finish_run(folder)


def test_metrics_are_those_of_the_epochs_kept(data, tmp_path):
    """Last checkpoint lost: what came after the best is cut from metrics.csv."""
    folder = stopped(data, tmp_path / "run", 3, **HEAD)
    (folder / LAST).write_bytes(b"")
    ended = len(read_checkpoint(folder / BEST)["history"])
    run = finish_run(folder)
    with (folder / "metrics.csv").open() as file:
        assert len(list(csv.DictReader(file))) == ended == run.record["epochs"] == run.record["stopped"]["after"]
